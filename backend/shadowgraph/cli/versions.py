"""`shadowgraph versions …`: look at the versions of workflows. (Making them: `version_archives.py`; promoting them: `version_verbs.py`.)"""

from typing import Annotated, Any

import typer

from shadowgraph.cli import version_archives, version_verbs
from shadowgraph.cli.client import Json, connect, segment
from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.groups import make_group
from shadowgraph.cli.options import Cursor, Fields, JsonLines, Limit, Url, split_fields
from shadowgraph.cli.output import pick
from shadowgraph.cli.progress import size_text
from shadowgraph.cli.server import require_url
from shadowgraph.cli.tables import Column, print_table
from shadowgraph.cli.telling import local_time, print_facts, tell_more
from shadowgraph.cli.version_choice import VersionRef, Workflow, active_digest, choose_version, choose_workflow
from shadowgraph.cli.version_diff import describe_diff, state_text

app = make_group("Deploy, compare, promote and roll back versions of workflows.")
app.add_typer(version_archives.app)
app.add_typer(version_verbs.app)

DIGEST_CHARACTERS = 12

COLUMNS = [
    Column("version", lambda version: version["label"]),
    Column("state", state_text),
    Column("created", lambda version: local_time(version["created_at"])),
    Column("runs", lambda version: str(version["runs"] or ""), is_number=True),
    Column("unfinished", lambda version: str(version["unfinished_runs"] or ""), is_number=True),
    Column("digest", lambda version: version["snapshot_digest"][:DIGEST_CHARACTERS]),
    Column("message", lambda version: version["message"].partition("\n")[0], may_be_cut=True),
]


@command(app, "list")
async def list_versions(
    cli: Cli,
    workflow: Workflow = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    fields: Fields = None,
    jsonl: JsonLines = False,
    url: Url = None,
) -> None:
    """List a workflow's versions, newest first, with the runs that are pinned to each.

    \b
      shadowgraph versions list --workflow pipeline
    """
    async with connect(require_url(cli.load(url=url).settings)) as client:
        name = await choose_workflow(client, workflow)
        page = await client.get(f"/workflows/{segment(name)}/versions", limit=limit, cursor=cursor)
    print_table(cli.output, page, COLUMNS, fields=split_fields(fields), as_json_lines=jsonl)
    tell_more(cli, page)


@command(app)
async def show(
    cli: Cli, version: VersionRef, workflow: Workflow = None, fields: Fields = None, url: Url = None
) -> None:
    """Show a version: its state, where it was built, its nodes."""
    async with connect(require_url(cli.load(url=url).settings)) as client:
        found = await choose_version(client, version, workflow)
    chosen = split_fields(fields)
    if cli.output.as_json or chosen:
        cli.output.json(pick(found, chosen))
        return
    print_facts(cli, _facts(found))


def _facts(found: Json) -> dict[str, Any]:
    built = found["provenance"]
    commit = f"{built['commit']}{' with changes' if built.get('dirty') else ''}" if "commit" in built else None
    return {
        "version": f"{found['label']} of {found['workflow']}",
        "state": state_text(found),
        "id": found["id"],
        "digest": found["snapshot_digest"],
        "message": found["message"] or None,
        "author": found["author"],
        "created": local_time(found["created_at"]),
        "commit": commit,
        "size": size_text(found["size"]),
        "runs": found["unfinished_runs"] or None,
        "revoked": found["revoke_reason"],
        "nodes": ", ".join(sorted(found["nodes"])),
    }


@command(app)
async def diff(
    cli: Cli,
    version: VersionRef,
    other: Annotated[
        str | None,
        typer.Argument(
            metavar="[OTHER]", help="Without it, VERSION is compared with the active one.", show_default=False
        ),
    ] = None,
    workflow: Workflow = None,
    url: Url = None,
) -> None:
    """Show what differs from VERSION to OTHER, or from the active version to VERSION.

    \b
      shadowgraph versions diff v3 v4
      shadowgraph versions diff v4
    """
    async with connect(require_url(cli.load(url=url).settings)) as client:
        first = await choose_version(client, version, workflow)
        second = await choose_version(client, other, first["workflow"]) if other else first
        before = first["snapshot_digest"] if other else await active_digest(client, first["workflow"])
        found = await client.get("/snapshots/diff", a=before, b=second["snapshot_digest"])
    if cli.output.as_json:
        cli.output.json(found)
        return
    for line in describe_diff(found):
        cli.output.text(line)
