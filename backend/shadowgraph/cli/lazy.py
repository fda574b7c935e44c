"""The parts of a command that are imported when they are needed, and not before: the one place in `cli/` with imports in functions.

The graph library and the database cost two to three seconds to import; `--help` and the first line of a command must not wait for them.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from shadowgraph.cli.checks import Check
    from shadowgraph.cli.command import Cli
    from shadowgraph.cli.exits import ExitCode
    from shadowgraph.core.settings import Loaded, Settings
    from shadowgraph.runs.amounts import Removed
    from shadowgraph.wiring.plan import WorkOptions

OnReady = Callable[[str], None]
OnWords = Callable[[str, str], None]
"""Project, line."""


def load_command(name: str) -> Any:
    """The command behind a name, as the command-line library wants it."""
    from typer.main import get_command

    return get_command(import_module(f"shadowgraph.cli.{name.replace('-', '_')}").app)


def report(error: Exception, *, as_json: bool) -> int:
    """Says what ended the command unexpectedly; the exit code."""
    from shadowgraph.cli.unexpected import report_error

    return report_error(error, as_json=as_json)


async def play_demo(cli: "Cli", query: str, *, is_live: bool) -> "ExitCode":
    from shadowgraph.cli.demo_run import play

    return await play(cli, query, is_live=is_live, open_stack=embedded_stack)


@asynccontextmanager
async def embedded_stack(settings: "Settings") -> AsyncIterator[str]:
    """API and worker in this process; gives the base URL."""
    from shadowgraph.wiring.embedded import embedded_stack as open_stack

    async with open_stack(settings) as url:
        yield url


@asynccontextmanager
async def stack_for(settings: "Settings", work: "WorkOptions", *, on_words: OnWords) -> AsyncIterator[str]:
    """The same with other projects; `on_words` hears what their worker processes write."""
    from shadowgraph.wiring.embedded import embedded_stack as open_stack

    async with open_stack(settings, work, on_words=on_words) as url:
        yield url


async def serve(settings: "Settings", *, on_ready: OnReady, work: "WorkOptions") -> None:
    from shadowgraph.wiring.embedded import serve as serve_all

    await serve_all(settings, on_ready=on_ready, options=work)


async def serve_api(settings: "Settings", *, on_ready: OnReady) -> None:
    from shadowgraph.wiring.api import serve_api as serve_only_api

    await serve_only_api(settings, on_ready=on_ready)


async def serve_worker(settings: "Settings", *, on_ready: OnReady, work: "WorkOptions") -> None:
    from shadowgraph.wiring.worker import serve_worker as serve_only_worker

    await serve_only_worker(settings, on_ready=on_ready, options=work)


async def serve_code(settings: "Settings", *, snapshot: str, home: "Path | None", on_ready: OnReady) -> None:
    from shadowgraph.wiring.code import Code
    from shadowgraph.wiring.worker import serve_code as serve_code_of_version

    await serve_code_of_version(settings, Code(snapshot, home), on_ready=on_ready)


async def serve_offline(settings: "Settings", *, on_ready: OnReady) -> None:
    from shadowgraph.api.offline_server import serve_offline as serve_face
    from shadowgraph.llm.offline.knobs import parse_knobs

    await serve_face(parse_knobs(settings.offline_model), port=settings.port, on_listening=on_ready)


def migrate(settings: "Settings") -> str:
    """The schema's revision afterwards. On SQLite nobody else may work on the database meanwhile."""
    from shadowgraph.cli.schema import bring_up_to_date

    return bring_up_to_date(settings)


async def collect_garbage(settings: "Settings", *, is_preview: bool) -> "Removed":
    """What went, or would go. On SQLite nobody else may work on the database meanwhile."""
    from shadowgraph.wiring.collecting import collect_garbage as collect

    return await collect(settings, is_preview=is_preview)


async def try_targets(settings: "Settings", models: Sequence[str]) -> "list[dict[str, Any]]":
    from shadowgraph.wiring.trials import try_targets as try_all

    return await try_all(settings, models)


async def check_parts(loaded: "Loaded", *, is_live: bool) -> "list[Check]":
    from shadowgraph.cli.parts import check_parts as check_all

    return await check_all(loaded, is_live=is_live)
