"""What `run`, `demo` and `runs watch` share: stay with a run, leave it, tell its end."""

from contextlib import suppress
from dataclasses import dataclass

from shadowgraph.cli.client import Client, Json, segment
from shadowgraph.cli.command import Cli
from shadowgraph.cli.display import Silent, open_display
from shadowgraph.cli.exits import ExitCode, exit_of_run
from shadowgraph.cli.problem import CommandFailed, failure
from shadowgraph.cli.results import next_command, result_text, run_problem
from shadowgraph.cli.server import up_command
from shadowgraph.cli.watching import SECOND_PRESS_SECONDS, Interrupts, Watched, watch

CANCEL_SECONDS = 10.0
"""So long our own worker gets to end a run before it is stopped."""


@dataclass(frozen=True, slots=True)
class Stay:
    """How to stay with a run."""

    timeout_seconds: float | None = None
    as_json_lines: bool = False
    is_own_worker: bool = False
    """True: the run goes on in this process, and stops with it."""


async def stay_with(cli: Cli, client: Client, run_id: str, stay: Stay) -> Json:
    """The run, at rest.

    Errors: `CommandFailed` (124, 130) when the time is up or the user left.
    """
    with Interrupts().caught() as interrupts:
        with open_display(cli.output, run_id, as_json_lines=stay.as_json_lines) as display:
            watched = await watch(client, run_id, display, timeout_seconds=stay.timeout_seconds, interrupts=interrupts)
        if watched.run is not None:
            return watched.run
        raise await _leave(cli, client, run_id, watched, stay, interrupts)


async def _leave(
    cli: Cli, client: Client, run_id: str, watched: Watched, stay: Stay, interrupts: Interrupts
) -> CommandFailed:
    goes_on = "the run is kept and goes on when a server starts" if stay.is_own_worker else "the run goes on"
    hint = (
        f"{up_command()}, then: shadowgraph runs watch {run_id}"
        if stay.is_own_worker
        else f"shadowgraph runs watch {run_id}"
    )
    if watched.ending == "timeout":
        detail = f"{run_id} has not ended after {stay.timeout_seconds:g} s; {goes_on}"
        return failure(detail, code="timed_out", exit_code=ExitCode.TIMED_OUT, hint=hint, run_id=run_id)
    cli.output.note(f"leaving; Ctrl-C again within {SECOND_PRESS_SECONDS:g} s cancels the run")
    if await interrupts.next_within(SECOND_PRESS_SECONDS):
        await _cancel(client, run_id, stay)
        return failure(
            f"{run_id} was asked to cancel", code="interrupted", exit_code=ExitCode.INTERRUPTED, run_id=run_id
        )
    detail = f"left {run_id}; {goes_on}"
    return failure(detail, code="interrupted", exit_code=ExitCode.INTERRUPTED, hint=hint, run_id=run_id)


async def _cancel(client: Client, run_id: str, stay: Stay) -> None:
    with suppress(CommandFailed):  # it may have ended in between
        await client.post(f"/runs/{segment(run_id)}/cancel")
    if stay.is_own_worker:
        await watch(client, run_id, Silent(), timeout_seconds=CANCEL_SECONDS, interrupts=Interrupts())


def tell_end(cli: Cli, run: Json, stay: Stay) -> ExitCode:
    """Prints the result of a run at rest, or why there is none."""
    if cli.output.as_json:
        cli.output.json(run)
    elif not stay.as_json_lines and run["status"] == "COMPLETED":
        cli.output.text(result_text(run))
    if run["status"] != "COMPLETED" and not cli.output.as_json:
        start = f"{up_command()}, then: " if stay.is_own_worker else ""
        cli.output.problem({**run_problem(run), "hint": f"{start}{next_command(run)}"})
    return exit_of_run(run["status"])
