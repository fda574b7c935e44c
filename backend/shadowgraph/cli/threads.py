"""`shadowgraph threads …`: conversations, runs that continue each other."""

import json
from typing import Annotated

import typer

from shadowgraph.cli.client import connect, segment
from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.deleting import Cascade
from shadowgraph.cli.deleting import delete as delete_it
from shadowgraph.cli.groups import make_group
from shadowgraph.cli.options import Cursor, Fields, JsonLines, Limit, Url, split_fields
from shadowgraph.cli.output import pick
from shadowgraph.cli.server import require_url
from shadowgraph.cli.tables import Column, print_table
from shadowgraph.cli.telling import local_time, print_facts, seconds_taken, tell_more

app = make_group("List, show and delete conversations.")

THREAD_COLUMNS = [
    Column("thread", lambda thread: thread["thread_id"]),
    Column("workflow", lambda thread: thread["workflow"]),
    Column("runs", lambda thread: str(thread["run_count"]), is_number=True),
    Column("latest", lambda thread: local_time(thread["updated_at"])),
]
RUN_COLUMNS = [
    Column("id", lambda run: run["id"]),
    Column("status", lambda run: run["status"]),
    Column("created", lambda run: local_time(run["created_at"])),
    Column("seconds", seconds_taken, is_number=True),
    Column("request", lambda run: run["preview"], may_be_cut=True),
]

ThreadId = Annotated[str, typer.Argument(metavar="THREAD_ID", help="As `run --thread` named it.", show_default=False)]


@command(app, "list")
async def list_threads(
    cli: Cli,
    limit: Limit = 20,
    cursor: Cursor = None,
    fields: Fields = None,
    jsonl: JsonLines = False,
    url: Url = None,
) -> None:
    """List threads, the one with the newest run first. A run that names none has one of its own."""
    async with connect(require_url(cli.load(url=url).settings)) as client:
        page = await client.get("/threads", limit=limit, cursor=cursor)
    print_table(cli.output, page, THREAD_COLUMNS, fields=split_fields(fields), as_json_lines=jsonl)
    tell_more(cli, page)


@command(app)
async def show(cli: Cli, thread_id: ThreadId, fields: Fields = None, url: Url = None) -> None:
    """Show a thread's runs, newest first, and the state that its next run continues."""
    async with connect(require_url(cli.load(url=url).settings)) as client:
        thread = await client.get(f"/threads/{segment(thread_id)}")
    chosen = split_fields(fields)
    if cli.output.as_json or chosen:
        cli.output.json(pick(thread, chosen))
        return
    print_facts(cli, {"thread": thread["thread_id"], "runs": thread["run_count"], "state of": thread["state_run_id"]})
    cli.output.text("")
    print_table(cli.output, {"items": thread["runs"], "next_cursor": None}, RUN_COLUMNS)
    if thread["state"] is not None:
        cli.output.text(f"\n{json.dumps(thread['state'], indent=2, ensure_ascii=False)}")


@command(app)
async def delete(cli: Cli, thread_id: ThreadId, cascade: Cascade = False, url: Url = None) -> None:
    """Delete all runs of a thread, with every text of them; what they cost stays in the sums.

    \b
      shadowgraph threads delete THREAD_ID --yes
    """
    await delete_it(cli, f"thread {thread_id}", f"/threads/{segment(thread_id)}", cascade=cascade, url=url)
