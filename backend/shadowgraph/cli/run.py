"""`shadowgraph run`."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from shadowgraph.cli import lazy
from shadowgraph.cli.client import Client, connect, segment
from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.exits import ExitCode
from shadowgraph.cli.files import load_files
from shadowgraph.cli.options import JsonLines, Timeout, Url
from shadowgraph.cli.problem import CommandFailed, usage
from shadowgraph.cli.run_input import input_of_text, read_input
from shadowgraph.cli.run_target import Target, choose_target
from shadowgraph.cli.running import Stay, stay_with, tell_end
from shadowgraph.cli.saving import save_files
from shadowgraph.cli.server import find_server, require_url, up_command
from shadowgraph.cli.serving import quiet_logs
from shadowgraph.core.settings import Settings
from shadowgraph.wiring.plan import Isolation, WorkOptions

UNKNOWN_WORKFLOW = ("unknown_workflow", "workflow_not_found")

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@command(app)
async def run(
    cli: Cli,
    query: Annotated[
        str | None, typer.Argument(metavar="REQUEST", help="What is to be done, where the workflow takes a text.")
    ] = None,
    workflow: Annotated[
        str | None,
        typer.Option(
            "--workflow",
            metavar="NAME",
            help="Default: the only one of the project, in a folder with langgraph.json; else the built-in pipeline.",
            show_default=False,
        ),
    ] = None,
    input_given: Annotated[
        str | None,
        typer.Option(
            "--input", metavar="FILE", help="The input, a JSON object: a file, the object itself, or - for stdin."
        ),
    ] = None,
    project: Annotated[
        Path | None,
        typer.Option("--project", metavar="DIR", help="A folder with langgraph.json, instead of the current one."),
    ] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Print the run's id and leave.")] = False,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Write the run's files there.")] = None,
    timeout_seconds: Timeout = None,
    max_steps: Annotated[
        int | None, typer.Option("--max-steps", min=1, metavar="N", help="The run fails after so many steps.")
    ] = None,
    thread: Annotated[
        str | None, typer.Option("--thread", metavar="ID", help="The conversation that the run continues.")
    ] = None,
    version: Annotated[
        str | None,
        typer.Option("--version", metavar="VERSION", help="Such as v3; without it the one that is active."),
    ] = None,
    enqueue: Annotated[
        bool, typer.Option("--enqueue", help="Wait in line while another run of the thread is unfinished.")
    ] = False,
    budget: Annotated[
        float | None, typer.Option("--budget", min=0, metavar="USD", help="The run stops before it spends more.")
    ] = None,
    time_limit: Annotated[
        float | None, typer.Option("--time-limit", min=0, metavar="S", help="The run fails after so many seconds.")
    ] = None,
    jsonl: JsonLines = False,
    url: Url = None,
) -> ExitCode:
    """Start a run, watch it, and print its result.

    \b
      shadowgraph run "Build a snake game" --out snake
      echo '{"query": "Hello"}' | shadowgraph run --workflow pipeline --input - --json
      shadowgraph run "And now with a high score" --thread snake
      shadowgraph run --project ./trip --input '{"place": "Lisbon"}'

    Without a server it starts one for this run, with the project of the current folder if there is one. Ctrl-C leaves the run, a second Ctrl-C cancels it.
    """
    options = {
        "max_steps": max_steps,
        "thread_id": thread,
        "version": version,
        "on_busy": "enqueue" if enqueue else None,
        "timeout_s": time_limit,
        "budget_usd": budget,
    }
    chosen = {name: value for name, value in options.items() if value is not None}
    target = choose_target(workflow, project=project)
    _require_sense(query, target, input_given)
    given = read_input(input_given) if input_given is not None else None
    async with _server(cli, target.project, url=url, must_outlive=detach) as (client, is_own):
        with _saying_how_to_serve(target.project, client.url):
            started = await client.post("/runs", {**await _body(client, query, target, given), **chosen})
        if detach:
            cli.output.json(started) if cli.output.as_json else cli.output.text(started["id"])
            return ExitCode.OK
        cli.output.note(f"{started['id']}  {started['workflow']}")
        stay = Stay(timeout_seconds, as_json_lines=jsonl, is_own_worker=is_own)
        ended = await stay_with(cli, client, started["id"], stay)
        files = await load_files(client, ended["id"]) if out and ended["status"] == "COMPLETED" else []
    code = tell_end(cli, ended, stay)
    if out and files:
        save_files(cli, out, files)
    return code


def _require_sense(query: str | None, target: Target, input_given: str | None) -> None:
    if query is not None and input_given is not None:
        raise usage("give a request or --input, not both")
    if query is None and (target.workflow is None or input_given is None):
        raise usage("nothing to run", hint='shadowgraph run "Build a snake game", or: --workflow NAME --input FILE')


@asynccontextmanager
async def _server(
    cli: Cli, project: Path | None, *, url: str | None, must_outlive: bool
) -> AsyncIterator[tuple[Client, bool]]:
    """The server to speak to, and whether it lives in this process, which then starts it for this one command."""
    loaded = cli.load_aloud(url=url)
    settings = loaded.settings
    found = find_server(settings) if not settings.url else None
    if settings.url or found or must_outlive:
        async with connect(found.url if found else require_url(settings)) as client:
            yield client, False
        return
    what = f" with the project in {project}" if project else ""
    cli.output.note(f"no server runs on {settings.storage}; starting one{what} for this run")
    async with _own_stack(cli, quiet_logs(cli, loaded), project) as address, connect(address) as client:
        yield client, True


def _own_stack(cli: Cli, settings: Settings, project: Path | None) -> AbstractAsyncContextManager[str]:
    if project is None:
        return lazy.embedded_stack(settings)
    work = WorkOptions([project], Isolation.PROJECT, serves_built_in=False, dev=True)
    return lazy.stack_for(settings, work, on_words=lambda name, line: cli.output.note(f"[{name}] {line}"))


@contextmanager
def _saying_how_to_serve(project: Path | None, url: str) -> Iterator[None]:
    """For a server that runs already, and knows nothing of the project."""
    try:
        yield
    except CommandFailed as failed:
        if project is None or failed.problem.get("code") not in UNKNOWN_WORKFLOW:
            raise
        hint = f"the server at {url} does not serve {project}: stop it, and it is started for this run; or {up_command()} --project {project}"
        raise CommandFailed({**failed.problem, "errors": [], "hint": hint}, failed.exit_code) from failed


async def _body(client: Client, query: str | None, target: Target, given: dict[str, Any] | None) -> dict[str, Any]:
    if target.workflow is None:
        return {"query": query}
    if query is None:
        return {"workflow": target.workflow, "input": given}
    described = await client.get(f"/workflows/{segment(target.workflow)}")
    return {
        "workflow": target.workflow,
        "input": input_of_text(query, target.workflow, described["input_schema"]),
    }
