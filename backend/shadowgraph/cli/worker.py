"""`shadowgraph worker`."""

from typing import Annotated

import typer

from shadowgraph.cli import lazy
from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.options import MemoryLimit, Projects
from shadowgraph.cli.run_target import find_project_here
from shadowgraph.cli.serving import serve_until_stopped
from shadowgraph.wiring.plan import Isolation, WorkOptions

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@command(app)
async def worker(
    cli: Cli,
    slots: Annotated[
        int | None, typer.Option("--slots", min=1, max=10_000, metavar="N", help="Runs at once (WORKER_SLOTS).")
    ] = None,
    project: Projects = None,
    isolation: Annotated[
        Isolation,
        typer.Option(
            "--isolation",
            help="none: all in this process. project: each --project in a process of its own. "
            "process: a process for each slot, for graphs that block or leak.",
        ),
    ] = Isolation.NONE,
    memory_limit: MemoryLimit = None,
    snapshot: Annotated[
        str | None,
        typer.Option(
            "--snapshot",
            metavar="DIGEST",
            help="Serve the code of this version's snapshot, in the environment of this command, instead of what folders have.",
        ),
    ] = None,
) -> None:
    """Start one worker; as many as you like may share a PostgreSQL database.

    \b
      shadowgraph worker --slots 8
      shadowgraph worker --project ./mine --isolation process --slots 4 --memory-limit 1024
    """
    cli.output.note("starting a worker")
    settings = cli.load_aloud(worker_slots=slots).settings

    def tell(line: str) -> None:
        cli.output.json({"ready": line}) if cli.output.as_json else cli.output.text(line)

    if snapshot is not None:
        home = project[0] if project else find_project_here()
        await serve_until_stopped(
            settings, lambda: lazy.serve_code(settings, snapshot=snapshot, home=home, on_ready=tell)
        )
        return
    work = WorkOptions(project or (), isolation, memory_mb=memory_limit)
    await serve_until_stopped(settings, lambda: lazy.serve_worker(settings, on_ready=tell, work=work))
