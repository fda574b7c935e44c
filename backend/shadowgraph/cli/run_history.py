"""`shadowgraph runs checkpoints|diff`: what a run was, and how it differs from another."""

import json
from collections.abc import Iterator
from typing import Annotated, Any

import typer

from shadowgraph.cli.client import Json, connect, segment
from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.options import Cursor, Fields, JsonLines, Limit, RunId, Url, split_fields
from shadowgraph.cli.output import pick
from shadowgraph.cli.server import require_url
from shadowgraph.cli.tables import Column, print_table
from shadowgraph.cli.telling import local_time, tell_more

app = typer.Typer(add_completion=False, rich_markup_mode=None)

CHECKPOINT_COLUMNS = [
    Column("checkpoint", lambda item: item["checkpoint_id"]),
    Column("superstep", lambda item: str(item["superstep"]), is_number=True),
    Column("source", lambda item: item["source"]),
    Column("created", lambda item: local_time(item["created_at"])),
    Column("next", lambda item: ", ".join(item["next_nodes"])),
]
SIGNS = {"added": "+", "removed": "-", "changed": "~"}
RELATIONS = {
    "same": "both are one run",
    "ancestor": "the other was forked from it",
    "descendant": "it was forked from the other",
    "siblings": "both were forked from {common_ancestor}",
    "thread": "both belong to one thread",
    "none": "they are not related",
}


@command(app)
async def checkpoints(
    cli: Cli,
    run_id: RunId,
    show: Annotated[str | None, typer.Option("--show", metavar="ID", help="One of them, with its state.")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    fields: Fields = None,
    jsonl: JsonLines = False,
    url: Url = None,
) -> None:
    """List a run's checkpoints, newest first, or show the state at one.

    \b
      shadowgraph runs checkpoints RUN_ID
      shadowgraph runs checkpoints RUN_ID --show ID
    """
    path, chosen = f"/runs/{segment(run_id)}/checkpoints", split_fields(fields)
    async with connect(require_url(cli.load(url=url).settings)) as client:
        if show is not None:
            _print_state(cli, await client.get(f"{path}/{segment(show)}"), chosen)
            return
        page = await client.get(path, limit=limit, cursor=cursor)
    print_table(cli.output, page, CHECKPOINT_COLUMNS, fields=chosen, as_json_lines=jsonl)
    tell_more(cli, page)


def _print_state(cli: Cli, found: Json, fields: list[str] | None) -> None:
    if cli.output.as_json or fields:
        cli.output.json(pick(found, fields))
    else:
        cli.output.text(json.dumps(found["state"], indent=2, ensure_ascii=False))


@command(app)
async def diff(
    cli: Cli,
    run_id: RunId,
    other_id: Annotated[str, typer.Argument(metavar="OTHER_ID", help="The run to compare with.", show_default=False)],
    url: Url = None,
) -> None:
    """Show what differs between two runs: input, output, files and steps.

    Only in the first run is -, only in the other +, in both but not alike ~.
    """
    async with connect(require_url(cli.load(url=url).settings)) as client:
        found = await client.get(f"/runs/{segment(run_id)}/diff/{segment(other_id)}")
    if cli.output.as_json:
        cli.output.json(found)
        return
    for line in describe_diff(found):
        cli.output.text(line)


def describe_diff(found: Json) -> Iterator[str]:
    lineage = found["lineage"]
    yield f"run    {found['run']['id']}  {found['run']['status']}"
    yield f"other  {found['other']['id']}  {found['other']['status']}"
    yield RELATIONS.get(lineage["relation"], lineage["relation"]).format_map(lineage)
    for part in ("input", "output"):
        for item in found[part]:
            yield f"{SIGNS[item['change']]} {'.'.join(filter(None, (part, item['key'])))}"
            yield from _values(item)
    for item in found["files"]:
        yield f"{SIGNS[item['change']]} {item['path']}"
    for item in found["steps"]:
        yield f"{SIGNS[item['change']]} step {item['superstep']} {item['node']}{_ending(item)}"
    if not any(found[part] for part in ("input", "output", "files", "steps")):
        yield "nothing differs"


def _values(item: Json) -> Iterator[str]:
    if item["change"] != "added":
        yield f"    - {_one_line(item['run'])}"
    if item["change"] != "removed":
        yield f"    + {_one_line(item['other'])}"


def _ending(item: Json) -> str:
    run, other = item["run_status"], item["other_status"]
    return f": {run} / {other}" if item["change"] == "changed" and run != other else ""


def _one_line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
