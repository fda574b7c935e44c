"""`shadowgraph projects …`: what the workers serve, and what a folder would bring."""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from shadowgraph.cli.client import Json, connect
from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.groups import make_group
from shadowgraph.cli.options import Fields, JsonLines, Url, split_fields
from shadowgraph.cli.output import pick
from shadowgraph.cli.project_child import ask_child
from shadowgraph.cli.server import require_url
from shadowgraph.cli.tables import Column, lay_out, print_table
from shadowgraph.cli.telling import print_facts

app = make_group("List what the workers serve, and check a project before they do.")

CHECK = "shadowgraph.cli.project_check"

WORKFLOW_COLUMNS = [
    Column("project", lambda workflow: workflow["project"]),
    Column("workflow", lambda workflow: workflow["name"]),
    Column("level", lambda workflow: workflow["level"] or "-"),
    Column("workers", lambda workflow: str(workflow["workers"]), is_number=True),
    Column("description", lambda workflow: _first_line(workflow["description"]), may_be_cut=True),
]
NODE_COLUMNS = [
    Column("node", lambda node: node["name"]),
    Column("level", lambda node: node["level"] or "-"),
    Column("to gain more", lambda node: "; ".join(node["advice"])),
]


@command(app, "list")
async def list_projects(cli: Cli, fields: Fields = None, jsonl: JsonLines = False, url: Url = None) -> None:
    """List the workflows that workers have loaded, and the projects that they could not load.

    The level says what a workflow's model and tool calls gain: L0 metered, L1 never paid twice, L2 prompts as files.
    """
    async with connect(require_url(cli.load(url=url).settings)) as client:
        page = await client.get("/workflows")
    chosen = split_fields(fields)
    if cli.output.as_json and not jsonl:
        cli.output.json({**page, "items": [pick(item, chosen) for item in page["items"]]})
        return
    print_table(cli.output, page, WORKFLOW_COLUMNS, fields=chosen, as_json_lines=jsonl)
    if not jsonl and chosen is None:
        for broken in page["broken_projects"]:
            cli.output.text("\n".join(["", f"project {broken['project']} cannot be loaded", *_in_lines(broken)]))


@command(app)
async def check(
    cli: Cli,
    directory: Annotated[
        Path, typer.Argument(metavar="[DIR]", help="A folder with langgraph.json.", show_default=False)
    ] = Path(),
    timeout_seconds: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            metavar="S",
            help="What importing it may take. Default: PROJECT_LOAD_SECONDS.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Import a project in a process of its own; show its graphs, what each node gains here, and what is not served.

    \b
      shadowgraph projects check ./mine
    """
    settings = cli.load(project_load_seconds=timeout_seconds).settings
    found = await ask_child(cli, CHECK, directory, within_seconds=settings.project_load_seconds)
    if cli.output.as_json:
        cli.output.json(found)
        return
    print_facts(cli, {"project": found["project"], "folder": found["directory"]})
    for workflow in found["workflows"]:
        _tell_workflow(cli, workflow)
    if found["notes"]:
        cli.output.text("\nnot as you may expect")
        for note in found["notes"]:
            cli.output.text(f"  {note['about']}: {note['what']}")


def _tell_workflow(cli: Cli, workflow: Json) -> None:
    keys = ", ".join(f"{item['key']}{' (required)' if item['required'] else ''}" for item in workflow["input"])
    timeout = f"{workflow['timeout_s']:g} s" if workflow["timeout_s"] else None
    cli.output.text("")
    print_facts(
        cli,
        {
            "workflow": workflow["name"],
            "about": _first_line(workflow["description"]) or None,
            "level": workflow["level"] or "-  (no call of a model or tool was seen)",
            "input": keys or None,
            "timeout": timeout,
        },
    )
    for line in lay_out(workflow["nodes"], NODE_COLUMNS, width=None):
        cli.output.text(f"  {line}")


def _in_lines(broken: Json) -> Iterable[str]:
    yield f"  {broken['message']}"
    yield from (f"  {item['pointer']}: {item['detail']}" for item in broken["errors"])
    if broken["hint"]:
        yield f"  fix: {broken['hint']}"


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
