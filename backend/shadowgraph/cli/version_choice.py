"""Which workflow and which version a command means."""

from typing import Annotated

import typer

from shadowgraph.cli.client import Client, Json, segment
from shadowgraph.cli.problem import usage
from shadowgraph.cli.run_target import find_project_here
from shadowgraph.engine.loading.config import read_config

Workflow = Annotated[
    str | None,
    typer.Option(
        "--workflow",
        metavar="NAME",
        help="Without it the only one of the project in this folder, else the only one that there is.",
    ),
]
VersionRef = Annotated[
    str,
    typer.Argument(metavar="VERSION", help="A label such as v3, an id or a digest.", show_default=False),
]


async def choose_version(client: Client, version: str, workflow: str | None) -> Json:
    """As the API shows it.

    Errors: `CommandFailed`.
    """
    return await client.get(f"/versions/{segment(version)}", workflow=workflow or workflow_here())


async def choose_workflow(client: Client, workflow: str | None) -> str:
    """Errors: `CommandFailed` (usage) when it is not clear which one is meant."""
    if chosen := workflow or workflow_here():
        return chosen
    names = [item["name"] for item in (await client.get("/workflows"))["items"]]
    if len(names) != 1:
        known = f"the server has {', '.join(names)}" if names else "the server has none yet"
        raise usage(f"which workflow is meant? {known}", hint="say which: --workflow NAME")
    return str(names[0])


async def active_digest(client: Client, workflow: str) -> str:
    """Of the snapshot with which runs begin."""
    release = await client.get(f"/workflows/{segment(workflow)}/release")
    return str(release["active"]["snapshot_digest"])


def workflow_here() -> str | None:
    """The only workflow of the project in whose folder the command was typed."""
    here = find_project_here()
    names = list(read_config(here).graphs) if here else []
    return names[0] if len(names) == 1 else None
