"""The work of `shadowgraph demo`."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from shadowgraph.cli.client import Client, Json, connect
from shadowgraph.cli.command import Cli
from shadowgraph.cli.exits import ExitCode, exit_of_run
from shadowgraph.cli.files import File, load_files, write_files
from shadowgraph.cli.problem import CommandFailed, failure
from shadowgraph.cli.progress import size_text
from shadowgraph.cli.results import output_of, result_text
from shadowgraph.cli.running import Stay, stay_with, tell_end
from shadowgraph.cli.server import OFFLINE, Server, curl_line, find_server
from shadowgraph.cli.serving import quiet_logs
from shadowgraph.core.settings import Loaded, Settings

EMBEDDED = {"database_url": "", "database_direct_url": "", "broker_url": "", "redis_url": ""}
"""Whatever these are in the shell: the demo works on the storage folder alone."""
NO_KEY = {"groq_api_key": ""}


OpenStack = Callable[[Settings], AbstractAsyncContextManager[str]]
"""Starts API and worker in this process; gives the base URL."""


async def play(cli: Cli, query: str, *, is_live: bool, open_stack: OpenStack) -> ExitCode:
    loaded = cli.load(**EMBEDDED) if is_live else cli.load(**EMBEDDED, **NO_KEY)
    if is_live:
        _require_key(loaded.settings)
    async with _server(cli, loaded, is_live=is_live, open_stack=open_stack) as (client, is_own):
        started = await client.post("/runs", {"query": query})
        stay = Stay(is_own_worker=is_own)
        run = await stay_with(cli, client, started["id"], stay)
        files = await load_files(client, run["id"])
    folder = loaded.settings.folder_of_run(run["id"])
    if files:
        write_files(folder, files)
    if cli.output.as_json:
        cli.output.json(_facts(run, folder, files))
    elif run["status"] == "COMPLETED":
        cli.output.text("\n".join(_story(run, folder, files)))
        cli.output.note(_next_steps(loaded.settings))
    else:
        tell_end(cli, run, stay)
    return exit_of_run(run["status"])


def _require_key(settings: Settings) -> None:
    if settings.serving_model == OFFLINE:
        raise failure(
            "--live needs a key, and GROQ_API_KEY is not set",
            code="key_missing",
            exit_code=ExitCode.UNAVAILABLE,
            hint="export GROQ_API_KEY=gsk_…, or leave --live out",
        )


@asynccontextmanager
async def _server(
    cli: Cli, loaded: Loaded, *, is_live: bool, open_stack: OpenStack
) -> AsyncIterator[tuple[Client, bool]]:
    """The server on the storage folder, or one in this process; and which of the two it is."""
    if server := find_server(loaded.settings):
        if (server.model != OFFLINE) != is_live:
            raise _wrong_model(server, is_live=is_live)
        cli.output.note(f"using the server at {server.url}")
        async with connect(server.url) as client:
            yield client, False
        return
    quiet_logs(cli, loaded)
    cli.output.note(f"starting API and worker on {loaded.settings.storage} (a few seconds)")
    async with open_stack(loaded.settings) as url, connect(url) as client:
        yield client, True


def _wrong_model(server: Server, *, is_live: bool) -> CommandFailed:
    if is_live:
        detail, hint = f"the server at {server.url} runs without a key", "stop it, or leave --live out"
    else:
        detail = f"the server at {server.url} uses {server.model}, which costs money"
        hint = "stop it, or agree with --live"
    return failure(detail, code="other_model", exit_code=ExitCode.UNAVAILABLE, hint=hint, url=server.url)


def _facts(run: Json, folder: Path, files: Sequence[File]) -> Json:
    listed = [{"path": file.path, "size": len(file.body)} for file in files]
    return {"run": run, "folder": str(folder) if files else None, "files": listed, "tests": _tests(run)}


def _story(run: Json, folder: Path, files: Sequence[File]) -> list[str]:
    listed = [f"  {file.path}  {size_text(len(file.body))}" for file in files]
    return ["", result_text(run), "", *([f"files in {_short(folder)}:", *listed] if files else []), _tests(run)]


def _tests(run: Json) -> str:
    """What became of the generated program's tests, in one line."""
    return str(output_of(run).get("checks", {}).get("summary") or "tests: there was nothing to run")


def _next_steps(settings: Settings) -> str:
    return "\n".join(
        [
            "",
            "next:",
            '  ./shadowgraph run "Build a to-do CLI" --out todo   another request',
            "  ./shadowgraph up                                   the server, with an HTTP API:",
            f"  {curl_line(f'http://{settings.host}:{settings.port}')}",
        ]
    )


def _short(folder: Path) -> Path:
    return folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
