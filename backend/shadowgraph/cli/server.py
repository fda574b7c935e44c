"""Which server the commands speak to: the one that was named, else the one that `up` started on this storage folder."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from http import HTTPStatus
from http.client import HTTPException
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from shadowgraph.cli.exits import ExitCode
from shadowgraph.cli.problem import CommandFailed, failure
from shadowgraph.core.settings import HOME_VARIABLE, Settings

FILE_NAME = "server.json"
HEALTH_TIMEOUT_SECONDS = 3.0
OFFLINE = "offline"


@dataclass(frozen=True, slots=True)
class Server:
    """What `up` writes down about itself."""

    url: str
    pid: int
    model: str = OFFLINE
    """Who answers LLM calls there: `offline`, or `groq:<model>`, which costs money."""


def server_file(settings: Settings) -> Path:
    return settings.storage / FILE_NAME


@contextmanager
def announced(settings: Settings, server: Server) -> Iterator[None]:
    """The server's file stands while the block runs."""
    path = server_file(settings)
    draft = path.with_suffix(f".{server.pid}.tmp")
    draft.parent.mkdir(parents=True, exist_ok=True)  # with a DATABASE_URL nothing else has needed the folder yet
    draft.write_text(json.dumps(asdict(server)))
    draft.replace(path)
    try:
        yield
    finally:
        if read_server(settings) == server:
            path.unlink(missing_ok=True)


def read_server(settings: Settings) -> Server | None:
    """What the file says, if its process is alive. A process that was killed leaves its file behind."""
    with suppress(OSError, ValueError, TypeError):
        server = Server(**json.loads(server_file(settings).read_text()))
        return server if _is_alive(server.pid) else None
    return None


def find_server(settings: Settings) -> Server | None:
    """The one on this storage folder, if it answers."""
    server = read_server(settings)
    return server if server and _answers(server.url) else None


def up_command() -> str:
    """As it is typed here: the start script of a checkout says where its home is."""
    return "./shadowgraph up" if os.environ.get(HOME_VARIABLE) else "shadowgraph up"


def require_url(settings: Settings) -> str:
    """Errors: `CommandFailed` (3) when no server was named and none runs on this storage folder."""
    if settings.url:
        return settings.url
    if server := find_server(settings):
        return server.url
    raise failure(
        f"no server runs on {settings.storage}",
        code="server_unreachable",
        exit_code=ExitCode.UNAVAILABLE,
        hint=f"start one: {up_command()}",
        retryable=True,
    )


def curl_line(url: str) -> str:
    """Works as it stands in any shell."""
    return (
        f"curl -s '{url}/runs?wait=30' -H 'content-type: application/json' -d '{{\"query\": \"Build a snake game\"}}'"
    )


def unreachable(url: str, error: Exception) -> CommandFailed:
    return failure(
        f"{url} does not answer: {error or type(error).__name__}",
        code="server_unreachable",
        exit_code=ExitCode.UNAVAILABLE,
        hint=f"start one: {up_command()}",
        retryable=True,
    )


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _answers(url: str) -> bool:
    """With the standard library: the HTTP client's import would cost every command a third of a second."""
    ask = build_opener(ProxyHandler({})).open
    with suppress(OSError, ValueError, HTTPException), ask(f"{url}/healthz", timeout=HEALTH_TIMEOUT_SECONDS) as answer:
        return bool(answer.status == HTTPStatus.OK)
    return False
