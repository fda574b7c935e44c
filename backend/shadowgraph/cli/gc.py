"""`shadowgraph gc`."""

from typing import Annotated

import typer

from shadowgraph.cli import lazy
from shadowgraph.cli.client import UNTIL_DONE, Json, connect
from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.progress import size_text
from shadowgraph.cli.server import find_server
from shadowgraph.cli.serving import start_refusals
from shadowgraph.cli.tables import Column, print_table
from shadowgraph.core.settings import Settings, require_parts_fit

app = typer.Typer(add_completion=False, rich_markup_mode=None)

COLUMNS = [
    Column("what", lambda item: item["kind"]),
    Column("rows", lambda item: f"{item['rows']:,}", is_number=True),
    Column("size", lambda item: size_text(item["bytes"]) if item["bytes"] else "", is_number=True),
]


@command(app)
async def gc(
    cli: Cli, preview: Annotated[bool, typer.Option("--preview", help="Change nothing; print what would go.")] = False
) -> None:
    """Remove what is past its age: checkpoints, recorded calls, keys and messages. Servers and workers do so once an hour.

    \b
      shadowgraph gc --preview
      shadowgraph gc
    """
    settings = cli.load_aloud().settings
    with start_refusals():
        require_parts_fit(settings)
        collected = await _collect(settings, is_preview=preview)
    if cli.output.as_json:
        cli.output.json(collected)
        return
    found = [item for item in collected["removed"] if item["rows"]]
    if found:
        print_table(cli.output, {"items": found, "next_cursor": None}, COLUMNS)
    cli.output.note(_last_line(found, is_preview=preview))


async def _collect(settings: Settings, *, is_preview: bool) -> Json:
    """The server on this storage folder does it, if there is one: on SQLite nobody else may."""
    if settings.is_embedded and (server := find_server(settings)):
        async with connect(server.url, patience=UNTIL_DONE) as client:
            return await client.post("/gc", preview=is_preview or None)
    removed = await lazy.collect_garbage(settings, is_preview=is_preview)
    rows = [{"kind": kind, "rows": amount.rows, "bytes": amount.bytes} for kind, amount in removed.items()]
    return {"preview": is_preview, "removed": rows}


def _last_line(found: list[Json], *, is_preview: bool) -> str:
    if not found:
        return "nothing is past its age"
    return "nothing was changed" if is_preview else "removed"
