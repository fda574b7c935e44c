"""What the commands that serve have in common: logs, their start's refusals, a free port."""

import errno
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from shadowgraph.cli.command import Cli
from shadowgraph.cli.exits import ExitCode
from shadowgraph.cli.problem import failure_of
from shadowgraph.core.errors import Internal, ShadowgraphError
from shadowgraph.core.logging import configure_logging
from shadowgraph.core.settings import Loaded, Settings, require_parts_fit, require_safe_secret

PORTS_TRIED = 50


async def serve_until_stopped(settings: Settings, serve: Callable[[], Awaitable[None]]) -> None:
    configure_logging(settings.log_level, log_format=settings.log_format)
    with start_refusals():
        require_parts_fit(settings)
        require_safe_secret(settings)
        await serve()


@contextmanager
def start_refusals() -> Iterator[None]:
    """Whatever keeps us from starting is a missing prerequisite (exit 3), whoever found it out."""
    try:
        yield
    except Internal:
        raise
    except ShadowgraphError as error:
        raise failure_of(error, exit_code=ExitCode.UNAVAILABLE) from error


def with_free_port(loaded: Loaded) -> Settings:
    """The next free port when nobody asked for a certain one. A port that was asked for is left as it is, free or not."""
    settings = loaded.settings
    if loaded.sources["port"] != "default":
        return settings
    port = next(
        (p for p in range(settings.port, settings.port + PORTS_TRIED) if is_free(settings.host, p)), settings.port
    )
    return settings.model_copy(update={"port": port})


def is_free(host: str, port: int) -> bool:
    """Asked the way the server binds."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host.strip("[]"), port))
        except OSError as error:
            return error.errno not in (errno.EADDRINUSE, errno.EACCES)
    return True


def quiet_logs(cli: Cli, loaded: Loaded) -> Settings:
    """For a server inside a command: its ordinary lines would stand between those of the run. The settings say the same to worker processes."""
    chosen = "WARNING" if loaded.sources["log_level"] == "default" else loaded.settings.log_level
    level = "ERROR" if cli.output.quiet or cli.output.as_json else chosen
    configure_logging(level, log_format="plain")
    return loaded.settings.model_copy(update={"log_level": level, "log_format": "plain"})
