"""`shadowgraph versions promote|rollback|withdraw|revoke|keep|history`: which version is active, and how it came to that."""

from typing import Annotated, Any

import typer

from shadowgraph.cli.client import Client, Json, connect, segment
from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.exits import ExitCode
from shadowgraph.cli.options import Cursor, Fields, JsonLines, Limit, Url, split_fields
from shadowgraph.cli.problem import failure
from shadowgraph.cli.server import require_url
from shadowgraph.cli.tables import Column, print_table
from shadowgraph.cli.telling import local_time, tell_more
from shadowgraph.cli.version_choice import VersionRef, Workflow, choose_version, choose_workflow

app = typer.Typer(add_completion=False, rich_markup_mode=None)

LAST_GOOD = "last_good"

Reason = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why; it stays in the history.")]
Expect = Annotated[
    int | None,
    typer.Option("--expect", min=1, metavar="REVISION", help="Refuse if the release is at another revision (exit 6)."),
]
InFlight = Annotated[
    str,
    typer.Option(
        "--in-flight",
        metavar="POLICY",
        help="Unfinished runs of the version that is left: finish, restart, cancel or hold.",
    ),
]

EVENT_COLUMNS = [
    Column("revision", lambda event: str(event["revision"]), is_number=True),
    Column("at", lambda event: local_time(event["at"])),
    Column("action", lambda event: event["action"]),
    Column("active", lambda event: event["active"]),
    Column("by", lambda event: event["actor"]),
    Column("runs", lambda event: _runs(event)),
    Column("reason", lambda event: event["reason"], may_be_cut=True),
]


@command(app)
async def promote(
    cli: Cli,
    version: VersionRef,
    workflow: Workflow = None,
    reason: Reason = "",
    force: Annotated[bool, typer.Option("--force", help="Also when it was withdrawn. Needs --reason.")] = False,
    in_flight: InFlight = "finish",
    expect: Expect = None,
    url: Url = None,
) -> None:
    """Make a version active: runs that begin from now on begin with it.

    \b
      shadowgraph versions promote v4 --reason "shorter answers"
    """
    body = {"reason": reason, "force": force, "in_flight": in_flight, "expected_revision": expect}
    async with connect(require_url(cli.load(url=url).settings)) as client:
        found = await choose_version(client, version, workflow)
        path = f"/workflows/{segment(found['workflow'])}/promote"
        _tell(cli, await client.post(path, {**body, "version": found["id"]}))


@command(app)
async def rollback(
    cli: Cli,
    workflow: Workflow = None,
    to: Annotated[
        str,
        typer.Option("--to", metavar="VERSION", help="last_good: active last, and neither withdrawn nor revoked."),
    ] = LAST_GOOD,
    reason: Reason = "",
    in_flight: InFlight = "finish",
    expect: Expect = None,
    url: Url = None,
) -> None:
    """Go back to a version that was active before. The one that is left is withdrawn.

    \b
      shadowgraph versions rollback --workflow pipeline
      shadowgraph versions rollback --to v2 --in-flight restart
    """
    body = {"reason": reason, "to": to, "in_flight": in_flight, "expected_revision": expect}
    async with connect(require_url(cli.load(url=url).settings)) as client:
        name = await choose_workflow(client, workflow)
        _tell(cli, await client.post(f"/workflows/{segment(name)}/rollback", body))


@command(app)
async def withdraw(
    cli: Cli, version: VersionRef, workflow: Workflow = None, reason: Reason = "", url: Url = None
) -> None:
    """Mark a version: no rollback goes to it, and promoting it needs --force."""
    await _mark(cli, version, workflow, "withdraw", {"reason": reason}, url)


@command(app)
async def revoke(
    cli: Cli,
    version: VersionRef,
    workflow: Workflow = None,
    reason: Reason = "",
    in_flight: Annotated[
        str,
        typer.Option("--in-flight", metavar="POLICY", help="Its unfinished runs: hold, cancel or restart."),
    ] = "hold",
    url: Url = None,
) -> None:
    """Take a version out of use for good. The active one is rolled back to the last good one. Asks first (--yes)."""
    cli.require_consent(f"Revoke {version} for good?", why=f"{version} could never be active again")
    await _mark(cli, version, workflow, "revoke", {"reason": reason, "in_flight": in_flight}, url)


@command(app)
async def keep(
    cli: Cli,
    version: VersionRef,
    workflow: Workflow = None,
    off: Annotated[bool, typer.Option("--off", help="Let its files be collected again.")] = False,
    url: Url = None,
) -> None:
    """Never collect a version's files."""
    await _mark(cli, version, workflow, "keep", {"keep": not off}, url)


async def _mark(cli: Cli, version: str, workflow: str | None, verb: str, body: dict[str, Any], url: str | None) -> None:
    async with connect(require_url(cli.load(url=url).settings)) as client:
        found = await choose_version(client, version, workflow)
        _tell(cli, await client.post(f"/versions/{segment(found['id'])}/{verb}", body))


def _tell(cli: Cli, changed: Json) -> None:
    if cli.output.as_json:
        cli.output.json(changed)
        return
    release = changed["release"]
    done = changed["event"]["action"] if changed["event"] else "nothing to do"
    cli.output.text(
        f"{release['workflow']}  {release['active']['label']} active  revision {release['revision']}  {done}"
    )
    for status, number in changed["moved"].items():
        cli.output.text(f"  {number} runs are {status} now")


@command(app)
async def history(
    cli: Cli,
    workflow: Workflow = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the chain of all changes (exit 1 if it is broken).")
    ] = False,
    limit: Limit = 20,
    cursor: Cursor = None,
    fields: Fields = None,
    jsonl: JsonLines = False,
    url: Url = None,
) -> None:
    """List who changed which version is active, newest first. Each change carries the hash of the one before."""
    async with connect(require_url(cli.load(url=url).settings)) as client:
        name = await choose_workflow(client, workflow)
        path = f"/workflows/{segment(name)}/release/events"
        page = await client.get(path, limit=limit, cursor=cursor, verify=verify or None)
        labels = await _labels(client, name)
    for event in page["items"]:
        event["active"] = labels.get(event["after"]["active_version"], "?")
    if cli.output.as_json and not jsonl and not fields:
        cli.output.json(page)
    else:
        print_table(cli.output, page, EVENT_COLUMNS, fields=split_fields(fields), as_json_lines=jsonl)
        tell_more(cli, page)
    _judge(cli, page["verification"])


async def _labels(client: Client, workflow: str) -> dict[str, str]:
    found = await client.list_all(f"/workflows/{segment(workflow)}/versions")
    return {version["id"]: version["label"] for version in found}


def _judge(cli: Cli, verification: Json | None) -> None:
    """Errors: `CommandFailed` (1) for a broken chain."""
    if verification is None:
        return
    if not verification["ok"]:
        errors = [
            {"pointer": f"revision {problem['revision']}", "detail": problem["detail"]}
            for problem in verification["problems"]
        ]
        raise failure(
            "the history was tampered with", code="broken_chain", exit_code=ExitCode.UNEXPECTED, errors=errors
        )
    cli.output.note(f"the chain of {verification['checked']} changes is whole")


def _runs(event: Json) -> str:
    return f"{event['moved_runs']} {event['in_flight']}" if event["moved_runs"] else ""
