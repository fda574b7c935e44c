"""What people do to a run between its start and its end: pause, resume, retry, fork. (Start and cancel: `service.py`.)

Each verb changes the row itself where no worker owns it, and asks the worker where one does. At the wrong time: `WrongState`.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import exists, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.clock import Clock
from shadowgraph.core.ids import new_run_id
from shadowgraph.core.json import JsonObject
from shadowgraph.db.dialect import DialectName, now_ms
from shadowgraph.models.runs import runs
from shadowgraph.runs import audit
from shadowgraph.runs import events as ev
from shadowgraph.runs.budgets import require_room
from shadowgraph.runs.doubts import reopen_given_up_calls
from shadowgraph.runs.inputs import check_storable
from shadowgraph.runs.interactions import has_open_question, lock_run
from shadowgraph.runs.outbox import enqueue_run
from shadowgraph.runs.payloads import json_payload, store_payloads
from shadowgraph.runs.repository import require_run
from shadowgraph.runs.run import Run
from shadowgraph.runs.service import WrongState
from shadowgraph.runs.states import Status
from shadowgraph.runs.texts import REQUEST_PART, store_text
from shadowgraph.runs.transitions import change_state

POSSIBLE: dict[Status, tuple[str, ...]] = {
    Status.QUEUED: ("pause", "cancel"),
    Status.RUNNING: ("pause", "cancel"),
    Status.AWAITING_HUMAN: ("answer", "pause", "cancel"),
    Status.PAUSED: ("resume", "cancel"),
    Status.BUDGET_EXCEEDED: ("resume", "cancel"),
    Status.COMPLETED: ("fork",),
    Status.FAILED: ("retry", "fork"),
    Status.CANCELLED: ("fork",),
}
"""What a person may do in each state."""


def wrong_state(run: Run, verb: str) -> WrongState:
    possible = POSSIBLE[run.status]
    hint = f"possible now: {', '.join(possible)}" if possible else None
    return WrongState(f"cannot {verb} a run that is {run.status}", state=run.status, possible=list(possible), hint=hint)


async def pause_run(connection: AsyncConnection, run_id: str, *, who: str, clock: Clock) -> Run:
    """PAUSED now, or asked for: a worker stops at the next node boundary, and the run is RUNNING with `control = pause` until then.

    Errors: `RunNotFound`, `WrongState`.
    """
    run = await lock_run(connection, run_id)
    if run.status is Status.RUNNING:
        return await _ask_to_pause(connection, run, who=who, clock=clock)
    if run.status not in (Status.QUEUED, Status.AWAITING_HUMAN):
        raise wrong_state(run, "pause")
    return await _move(connection, run, Status.PAUSED, ev.NewEvent(ev.RUN_PAUSED), verb="pause", who=who, clock=clock)


async def _ask_to_pause(connection: AsyncConnection, run: Run, *, who: str, clock: Clock) -> Run:
    if run.control is not None:
        doing = "paused" if run.control == "pause" else "cancelled"
        raise WrongState(f"the run is being {doing} already", state=run.status, possible=["cancel"])
    await connection.execute(update(runs).where(runs.c.id == run.id).values(control="pause"))
    await audit.record(connection, who=who, action="run.pause", subject=run.id, at=clock.now())
    return await require_run(connection, run.id)


async def resume_run(connection: AsyncConnection, run_id: str, *, who: str, clock: Clock) -> Run:
    """QUEUED again, or AWAITING_HUMAN when its question is still open.

    Errors: `RunNotFound`, `WrongState`; `StillExceeded` while its budget has no room for the call at which it stopped.
    """
    run = await lock_run(connection, run_id)
    if run.status is Status.BUDGET_EXCEEDED:
        await require_room(connection, run, now=clock.now())
    elif run.status is not Status.PAUSED:
        raise wrong_state(run, "resume")
    resumed = ev.NewEvent(ev.RUN_RESUMED)
    if await has_open_question(connection, run_id):
        return await _move(connection, run, Status.AWAITING_HUMAN, resumed, verb="resume", who=who, clock=clock)
    await enqueue_run(connection, run_id, why="resumed", at=clock.now())
    return await _move(
        connection, run, Status.QUEUED, resumed, verb="resume", who=who, clock=clock, available_at=now_ms(), error=None
    )


async def retry_run(connection: AsyncConnection, run_id: str, *, who: str, clock: Clock) -> Run:
    """A FAILED run goes on from its last checkpoint; what it has paid stays paid.

    Errors: `RunNotFound`, `WrongState` (also when a later run continued its thread).
    """
    run = await lock_run(connection, run_id)
    if run.status is not Status.FAILED:
        raise wrong_state(run, "retry")
    later = select(exists().where(runs.c.thread_id == run.thread_id, runs.c.kind == "live", runs.c.id > run.id))
    if run.kind == "live" and await connection.scalar(later):
        raise WrongState("a later run continued this run's thread", state=run.status, possible=["fork"])
    await reopen_given_up_calls(connection, run_id)
    await enqueue_run(connection, run_id, why="retried", at=clock.now())
    queued = ev.NewEvent(ev.RUN_QUEUED, {"why": "retried"})
    fresh: dict[str, Any] = {
        "error": None,
        "finished_at": None,
        "crash_streak": 0,
        "takeovers": 0,
        "available_at": now_ms(),
        "retention": 0,
    }
    return await _move(connection, run, Status.QUEUED, queued, verb="retry", who=who, clock=clock, **fresh)


async def _move(
    connection: AsyncConnection,
    run: Run,
    to: Status,
    event: ev.NewEvent,
    *,
    verb: str,
    who: str,
    clock: Clock,
    **values: Any,
) -> Run:
    token = runs.c.lease_token + 1
    moved = await change_state(
        connection, run, to=to, events=[event], at=clock.now(), lease_token=token, reason=None, control=None, **values
    )
    if moved is None:
        raise wrong_state(await require_run(connection, run.id), verb)
    await audit.record(connection, who=who, action=f"run.{verb}", subject=run.id, at=clock.now())
    return moved


@dataclass(frozen=True, slots=True)
class ForkSpec:
    """Where a new run begins. The worker applies it at the first claim: the API has no graph library."""

    checkpoint_id: str
    """Of the parent's own thread."""
    state: JsonObject | None = None
    """Channels that take the place of those in the checkpoint; None: as it is."""


async def fork_run(
    connection: AsyncConnection, dialect: DialectName, run_id: str, spec: ForkSpec, *, who: str, clock: Clock
) -> Run:
    """A new QUEUED run with `parent_run_id`, on a thread of its own.

    Errors: `RunNotFound`; `WrongState` while the parent has no checkpoint yet; `InvalidInput` for text that cannot be stored.
    """
    parent = await lock_run(connection, run_id)
    if parent.started_at is None:
        raise WrongState("the run has not started: there is no checkpoint to fork", state=parent.status, possible=[])
    check_storable(spec.state, "/state")
    state = None if spec.state is None else json_payload(spec.state)
    if state:
        await store_payloads(connection, dialect, [state])
    seed = {
        "checkpoint_thread": parent.checkpoint_thread,
        "checkpoint_id": spec.checkpoint_id,
        "state_ref": state.sha256 if state else None,
    }
    return await _insert_fork(connection, dialect, parent, seed, who=who, clock=clock)


async def _insert_fork(
    connection: AsyncConnection, dialect: DialectName, parent: Run, seed: JsonObject, *, who: str, clock: Clock
) -> Run:
    fork_id, now = new_run_id(), clock.now()
    row = {
        "id": fork_id,
        "workflow": parent.workflow,
        "kind": "live",
        "status": Status.QUEUED,
        "input_ref": parent.input_ref,
        "input_preview": parent.input_preview,
        "thread_id": fork_id,
        "checkpoint_thread": fork_id,
        "generation": parent.generation + 1,
        "priority": parent.priority,
        "available_at": now_ms(),
        "event_seq": 1,
        "owner": parent.owner,
        "subject": parent.subject,
        "parent_run_id": parent.id,
        "metadata": dict(parent.metadata),
        "options": dict(parent.options),
        "seed": dict(seed),
        "created_at": now,
    }
    await connection.execute(insert(runs).values(row))
    await store_text(connection, dialect, fork_id, REQUEST_PART, parent.input_preview)
    queued = ev.NewEvent(ev.RUN_QUEUED, {"why": "forked", "parent_run_id": parent.id})
    await ev.append_events(connection, fork_id, [queued], last_seq=1, at=now)
    await enqueue_run(connection, fork_id, why="forked", at=now)
    await audit.record(connection, who=who, action="run.fork", subject=parent.id, at=now, data={"run_id": fork_id})
    return await require_run(connection, fork_id)
