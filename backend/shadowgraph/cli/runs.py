"""`shadowgraph runs …`"""

from pathlib import Path
from typing import Annotated, Literal

import typer

from shadowgraph.cli import run_history, run_verbs
from shadowgraph.cli.answering import answer_command, question_text
from shadowgraph.cli.client import Json, connect, segment
from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.exits import ExitCode
from shadowgraph.cli.files import load_files
from shadowgraph.cli.groups import make_group
from shadowgraph.cli.moments import moment_of
from shadowgraph.cli.options import Cursor, Fields, JsonLines, Limit, RunId, Timeout, Url, split_fields
from shadowgraph.cli.output import pick
from shadowgraph.cli.progress import size_text
from shadowgraph.cli.results import result_text, run_problem
from shadowgraph.cli.running import Stay, stay_with, tell_end
from shadowgraph.cli.saving import save_files
from shadowgraph.cli.server import require_url
from shadowgraph.cli.tables import Column, print_table
from shadowgraph.cli.telling import local_time, print_facts, seconds_taken, tell_more
from shadowgraph.core.clock import SystemClock

app = make_group("List, watch, steer, compare and download runs.")
app.add_typer(run_verbs.app)
app.add_typer(run_history.app)

RUN_COLUMNS = [
    Column("id", lambda run: run["id"]),
    Column("status", lambda run: run["status"]),
    Column("workflow", lambda run: run["workflow"]),
    Column("version", lambda run: run["version"] or ""),
    Column("created", lambda run: local_time(run["created_at"])),
    Column("seconds", seconds_taken, is_number=True),
    Column("request", lambda run: run["preview"], may_be_cut=True),
]
STEP_COLUMNS = [
    Column("step", lambda step: step["node"]),
    Column("state", lambda step: step["status"]),
    Column("attempt", lambda step: str(step["attempt"]), is_number=True),
    Column("seconds", seconds_taken, is_number=True),
    Column("summary", lambda step: step.get("summary") or "", may_be_cut=True),
]
FILE_COLUMNS = [
    Column("path", lambda file: file["path"]),
    Column("size", lambda file: size_text(file["size"]), is_number=True),
    Column("type", lambda file: file["media_type"]),
    Column("sha256", lambda file: file["sha256"]),
]


@command(app, "list")
async def list_runs(
    cli: Cli,
    status: Annotated[
        list[str] | None, typer.Option("--status", metavar="STATE", help="Such as FAILED; may be repeated.")
    ] = None,
    workflow: Annotated[list[str] | None, typer.Option("--workflow", metavar="NAME", help="May be repeated.")] = None,
    search: Annotated[
        str | None, typer.Option("--search", metavar="WORDS", help="In request, result or error.")
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", metavar="AGE", help="30m, 24h, 7d, or a time (RFC 3339).")
    ] = None,
    thread: Annotated[str | None, typer.Option("--thread", metavar="ID", help="Runs of this conversation.")] = None,
    parent: Annotated[str | None, typer.Option("--parent", metavar="RUN_ID", help="Forks of this run.")] = None,
    version: Annotated[
        list[str] | None, typer.Option("--version", metavar="VERSION", help="Such as v3; may be repeated.")
    ] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    fields: Fields = None,
    jsonl: JsonLines = False,
    url: Url = None,
) -> None:
    """List runs, newest first.

    \b
      shadowgraph runs list --status FAILED --since 24h
      shadowgraph runs list --fields id,status --jsonl
    """
    states = [state.upper() for state in status or ()]
    filters = {
        "status": states,
        "workflow": workflow,
        "q": search,
        "thread_id": thread,
        "parent_run_id": parent,
        "version": version,
    }
    async with connect(require_url(cli.load(url=url).settings)) as client:
        page = await client.get(
            "/runs", since=moment_of(since, "--since", clock=SystemClock()), cursor=cursor, limit=limit, **filters
        )
    print_table(cli.output, page, RUN_COLUMNS, fields=split_fields(fields), as_json_lines=jsonl)
    tell_more(cli, page)


@command(app)
async def show(cli: Cli, run_id: RunId, fields: Fields = None, url: Url = None) -> None:
    """Show a run with its steps and its result.

    \b
      shadowgraph runs show RUN_ID
      shadowgraph runs show RUN_ID --json --fields status,usage
    """
    async with connect(require_url(cli.load(url=url).settings)) as client:
        run = await client.get_run(run_id)
        steps = await client.get(f"/runs/{segment(run_id)}/steps")
    chosen = split_fields(fields)
    if cli.output.as_json or chosen:
        cli.output.json(pick({**run, "steps": steps["items"]}, chosen))
        return
    _print_facts(cli, run)
    print_table(cli.output, steps, STEP_COLUMNS)
    if run["status"] == "COMPLETED":
        cli.output.text(f"\n{result_text(run)}")
    elif run.get("error"):
        cli.output.text(f"\n{run_problem(run)['detail']}")
    for asked in run.get("interactions") or ():
        cli.output.text(f"\n{question_text(asked)}\nanswer it: {answer_command(asked)}")


@command(app)
async def watch(
    cli: Cli, run_id: RunId, timeout_seconds: Timeout = None, jsonl: JsonLines = False, url: Url = None
) -> ExitCode:
    """Stay with a run until it rests, and print its result.

    Ctrl-C leaves the run, a second Ctrl-C cancels it.
    """
    stay = Stay(timeout_seconds, as_json_lines=jsonl)
    async with connect(require_url(cli.load(url=url).settings)) as client:
        run = await stay_with(cli, client, run_id, stay)
    return tell_end(cli, run, stay)


@command(app)
async def files(cli: Cli, run_id: RunId, fields: Fields = None, jsonl: JsonLines = False, url: Url = None) -> None:
    """List the files that a run produced."""
    async with connect(require_url(cli.load(url=url).settings)) as client:
        items = await client.list_all(f"/runs/{segment(run_id)}/artifacts")
    page = {"items": items, "next_cursor": None}
    print_table(cli.output, page, FILE_COLUMNS, fields=split_fields(fields), as_json_lines=jsonl)


@command(app)
async def download(
    cli: Cli,
    run_id: RunId,
    paths: Annotated[list[str] | None, typer.Argument(metavar="PATH", help="Only these files.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="DIR", help="Default: a folder named like the run.")
    ] = None,
    url: Url = None,
) -> None:
    """Write a run's files into a folder.

    \b
      shadowgraph runs download RUN_ID
      shadowgraph runs download RUN_ID snake.py --out .
    """
    async with connect(require_url(cli.load(url=url).settings)) as client:
        loaded = await load_files(client, run_id, paths=paths)
    written = save_files(cli, out or Path(segment(run_id)), loaded)
    if cli.output.as_json:
        cli.output.json(
            {"files": [{"path": file.path, "file": str(path)} for file, path in zip(loaded, written, strict=True)]}
        )


@command(app)
async def export(
    cli: Cli,
    run_id: RunId,
    form: Annotated[Literal["json", "md"], typer.Option("--format", help="json for programs, md for people.")] = "json",
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Default: stdout.")] = None,
    url: Url = None,
) -> None:
    """Write everything about a run as one document."""
    async with connect(require_url(cli.load(url=url).settings)) as client:
        body = await client.get_bytes(f"/runs/{segment(run_id)}/export.{form}")
    if out is None:
        cli.output.bytes(body)
        return
    if out.exists():
        cli.require_consent(f"Replace {out}?", why=f"{out} would be replaced")
    out.write_bytes(body)
    cli.output.note(f"wrote {out}")
    if cli.output.as_json:
        cli.output.json({"file": str(out), "size": len(body)})


def _print_facts(cli: Cli, run: Json) -> None:
    usage_ = run["usage"]
    facts = {
        "id": run["id"],
        "status": " ".join(filter(None, [run["status"], run.get("reason")])),
        "workflow": " ".join(filter(None, [run["workflow"], run["version"]])),
        "thread": run["thread_id"] if run["thread_id"] != run["id"] else None,
        "fork of": run["parent_run_id"],
        "request": run["preview"],
        "created": local_time(run["created_at"]),
        "until": local_time(run["deadline_at"]) if run.get("deadline_at") else None,
        "seconds": seconds_taken(run),
        "tokens": _tokens(usage_),
    }
    print_facts(cli, facts)
    cli.output.text("")


def _tokens(usage_: Json) -> str:
    counted = f"{usage_['prompt_tokens']:,} in, {usage_['completion_tokens']:,} out"
    return f"at least {counted} ({usage_['unreported']} calls unreported)" if usage_.get("unreported") else counted
