"""`shadowgraph runs delete` and `shadowgraph threads delete`."""

from typing import Annotated

import typer

from shadowgraph.cli.client import connect
from shadowgraph.cli.command import Cli
from shadowgraph.cli.server import require_url

Cascade = Annotated[bool, typer.Option("--cascade", help="Delete the forks along, and theirs.")]


async def delete(cli: Cli, what: str, path: str, *, cascade: bool, url: str | None) -> None:
    """Asks first: nothing brings it back."""
    settings = cli.load(url=url).settings
    server = require_url(settings)
    along = " and its forks" if cascade else ""
    cli.require_consent(f"Delete {what}{along} with every text?", why=f"{what}{along} would be deleted for good")
    async with connect(server) as client:
        deleted = await client.delete(path, cascade=1 if cascade else None)
    if cli.output.as_json:
        cli.output.json(deleted)
        return
    for run_id in deleted["run_ids"]:
        cli.output.text(f"{run_id}  deleted")
    if not deleted["scrubbed"]:
        cli.output.note("the space in the database is overwritten later")
