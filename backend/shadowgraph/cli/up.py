"""`shadowgraph up`."""

import asyncio
import os
import webbrowser
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from shadowgraph.cli import lazy
from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.exits import ExitCode
from shadowgraph.cli.options import Host, MemoryLimit, Port, Projects
from shadowgraph.cli.problem import failure
from shadowgraph.cli.run_target import find_project_here
from shadowgraph.cli.server import OFFLINE, Server, announced, curl_line, find_server
from shadowgraph.cli.serving import serve_until_stopped, with_free_port
from shadowgraph.core.redaction import redact
from shadowgraph.core.settings import Settings
from shadowgraph.wiring.plan import Isolation, WorkOptions

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@command(app)
async def up(
    cli: Cli,
    port: Port = None,
    host: Host = None,
    project: Projects = None,
    workers: Annotated[
        int,
        typer.Option(
            "--workers",
            min=0,
            max=64,
            metavar="N",
            help="Worker processes for each project, the built-in one too; this process then drives no run itself.",
        ),
    ] = 0,
    isolation: Annotated[
        Isolation,
        typer.Option(
            "--isolation",
            help="project: each --project in a process of its own. process: one for each slot. none: all in this process.",
        ),
    ] = Isolation.PROJECT,
    memory_limit: MemoryLimit = None,
    dev: Annotated[
        bool,
        typer.Option(
            "--dev", help="Deploy and promote the projects as their folders are: now, and at every saved file."
        ),
    ] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open the API docs in a browser.")] = False,
) -> None:
    """Start the HTTP API and a worker on whatever database is configured; in a folder with langgraph.json also serve that project.

    \b
      shadowgraph up
      shadowgraph up --project ./mine --port 9000
      shadowgraph up --workers 2 --memory-limit 1024
    """
    cli.output.note("starting API and worker")
    loaded = cli.load_aloud(port=port, host=host)
    _refuse_second(loaded.settings)
    settings = with_free_port(loaded)
    with ExitStack() as until_the_end:

        def tell(url: str) -> None:
            server = Server(url, os.getpid(), settings.serving_model)
            until_the_end.enter_context(announced(settings, server))
            _tell(cli, settings, server)
            if open_page:
                asyncio.get_running_loop().run_in_executor(None, webbrowser.open, f"{url}/docs")

        work = WorkOptions(project or _of_this_folder(cli), isolation, workers, memory_limit, dev=dev)
        await serve_until_stopped(settings, lambda: lazy.serve(settings, on_ready=tell, work=work))
    cli.output.note("stopped")


def _of_this_folder(cli: Cli) -> list[Path]:
    here = find_project_here()
    if here is None:
        return []
    cli.output.note(f"serving the project in {here}")
    return [here]


def _refuse_second(settings: Settings) -> None:
    """Found out here in milliseconds; the lock on the database finds it out for sure."""
    if not settings.is_embedded:
        return
    if server := find_server(settings):
        raise failure(
            f"a server runs on {settings.storage} already: {server.url} (process {server.pid})",
            code="storage_locked",
            exit_code=ExitCode.UNAVAILABLE,
            hint=f"use it, or stop it with: kill {server.pid}",
            url=server.url,
        )


def _tell(cli: Cli, settings: Settings, server: Server) -> None:
    docs = f"{server.url}/docs"
    if cli.output.as_json:
        data = redact(settings.effective_database_url)
        facts = {"url": server.url, "docs": docs, "pid": server.pid, "model": server.model, "database": data}
        cli.output.json({**facts, "storage": str(settings.storage)})
        return
    cli.output.text(
        "\n".join(
            [
                f"Shadowgraph is up at {server.url}",
                f"  API docs  {docs}",
                f"  model     {_describe_model(server.model, settings)}",
                f"  data      {redact(settings.effective_database_url)}",
                f"  try       {curl_line(server.url)}",
                "  stop      Ctrl-C",
            ]
        )
    )


def _describe_model(model: str, settings: Settings) -> str:
    """As the settings say; `shadowgraph routes list` also knows what was changed since."""
    if model == OFFLINE:
        return "the offline demo model: rule-based, no key needed; set GROQ_API_KEY for a real one"
    others = [name for name in settings.set_up_models if name != model]
    return f"{model} (costs money)" + (f", then {', '.join(others)}" if others else "")
