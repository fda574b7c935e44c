"""`shadowgraph runs pause|resume|retry|cancel|fork|delete`: what people do to a run."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import click
import typer

from shadowgraph.cli.client import Client, Json, connect, segment
from shadowgraph.cli.command import Cli, command
from shadowgraph.cli.deleting import Cascade
from shadowgraph.cli.deleting import delete as delete_it
from shadowgraph.cli.options import RunId, Url
from shadowgraph.cli.problem import usage
from shadowgraph.cli.server import require_url
from shadowgraph.cli.telling import tell_state

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@command(app)
async def cancel(cli: Cli, run_id: RunId, url: Url = None) -> None:
    """Cancel a run: now, or as soon as its worker has heard of it."""
    await _send(cli, run_id, "cancel", url=url)


@command(app)
async def pause(cli: Cli, run_id: RunId, url: Url = None) -> None:
    """Pause a run: now, or when the node that it is at has ended."""
    await _send(cli, run_id, "pause", url=url)


@command(app)
async def resume(cli: Cli, run_id: RunId, url: Url = None) -> None:
    """Let a paused run go on where it was."""
    await _send(cli, run_id, "resume", url=url)


@command(app)
async def retry(cli: Cli, run_id: RunId, url: Url = None) -> None:
    """Let a failed run go on from its last checkpoint; what it has paid stays paid."""
    await _send(cli, run_id, "retry", url=url)


@command(app)
async def fork(
    cli: Cli,
    run_id: RunId,
    checkpoint: Annotated[
        str, typer.Option("--checkpoint", metavar="ID", help="Where to begin, as `runs checkpoints` prints it.")
    ],
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=JSON", help="Change this part of the state; may be repeated."),
    ] = None,
    state_file: Annotated[
        str | None, typer.Option("--state", metavar="FILE", help="The changed parts, a JSON object; - reads stdin.")
    ] = None,
    edit: Annotated[bool, typer.Option("--edit", help="Change the state in $EDITOR.")] = False,
    url: Url = None,
) -> None:
    """Start a new run at a checkpoint of another one, with its state changed or as it was.

    \b
      shadowgraph runs checkpoints RUN_ID
      shadowgraph runs fork RUN_ID --checkpoint ID --set 'plan=["one step"]'

    What is no JSON after KEY= is taken as text.
    """
    if sum([bool(assignments), state_file is not None, edit]) > 1:
        raise usage("give one of --set, --state and --edit")
    if edit and not cli.may_ask():
        raise usage("--edit needs a terminal", hint="--set KEY=JSON, or --state FILE")
    state = _assigned(assignments) if assignments else _read_state(state_file) if state_file is not None else None
    async with connect(require_url(cli.load(url=url).settings)) as client:
        if edit:
            state = await _edited(client, run_id, checkpoint)
        body = {"checkpoint_id": checkpoint, "state": state}
        run = await client.post(f"/runs/{segment(run_id)}/fork", body)
    tell_state(cli, run)
    cli.output.note(f"follow it: shadowgraph runs watch {run['id']}")


@command(app)
async def delete(cli: Cli, run_id: RunId, cascade: Cascade = False, url: Url = None) -> None:
    """Delete a run that has ended, with every text of it; what it cost stays in the sums.

    \b
      shadowgraph runs delete RUN_ID --yes
    """
    await delete_it(cli, f"run {run_id}", f"/runs/{segment(run_id)}", cascade=cascade, url=url)


async def _send(cli: Cli, run_id: str, verb: str, *, url: str | None) -> None:
    async with connect(require_url(cli.load(url=url).settings)) as client:
        run = await client.post(f"/runs/{segment(run_id)}/{verb}")
    tell_state(cli, run)


def _assigned(assignments: Sequence[str]) -> dict[str, Any]:
    state: dict[str, Any] = {}
    for assignment in assignments:
        key, found, value = assignment.partition("=")
        if not key or not found:
            raise usage(f"--set {assignment!r} is not KEY=JSON")
        state[key] = _json_or_text(value)
    return state


def _json_or_text(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return value


def _read_state(name: str) -> dict[str, Any]:
    try:
        return _require_object(sys.stdin.read() if name == "-" else Path(name).read_text())
    except (OSError, ValueError) as error:
        raise usage(f"--state {name} cannot be read: {error}") from error


def _require_object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError("it is no JSON object")
    return value


async def _edited(client: Client, run_id: str, checkpoint: str) -> dict[str, Any]:
    shown: Json = await client.get(f"/runs/{segment(run_id)}/checkpoints/{segment(checkpoint)}")
    before = shown["state"]
    text = click.edit(json.dumps(before, indent=2, ensure_ascii=False) + "\n", extension=".json")
    try:
        after = before if text is None else _require_object(text)
    except ValueError as error:
        raise usage(f"what the editor left cannot be used: {error}") from error
    return changed_parts(before, after)


def changed_parts(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Only these are sent: the rest of the state stays as the graph has it, objects and all.

    Errors: `CommandFailed` (usage) when a part is gone, or nothing changed.
    """
    if gone := sorted(before.keys() - after.keys()):
        raise usage(f"{', '.join(gone)} cannot be removed from the state", hint="give it an empty value")
    changed = {key: value for key, value in after.items() if key not in before or before[key] != value}
    if not changed:
        raise usage("nothing was changed", hint="leave --edit out to fork the state as it is")
    return changed
