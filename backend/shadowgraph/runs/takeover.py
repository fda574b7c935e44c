"""What happens to a run whose worker is gone: back to QUEUED with its calls in flight marked, or FAILED when it keeps killing workers."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.clock import Clock
from shadowgraph.core.ids import WorkerId
from shadowgraph.db.dialect import now_ms
from shadowgraph.models.runs import runs
from shadowgraph.models.steps import steps
from shadowgraph.runs import events as ev
from shadowgraph.runs.doubts import mark_calls_in_doubt
from shadowgraph.runs.interactions import close_questions
from shadowgraph.runs.outbox import enqueue_run
from shadowgraph.runs.run import FIELDS, Run, run_from_row
from shadowgraph.runs.settling import settle
from shadowgraph.runs.states import Status
from shadowgraph.runs.transitions import change_state
from shadowgraph.runs.workers import forget_worker

MAX_CRASH_STREAK = 3
"""Takeovers without a checkpoint in between after which a run is FAILED: it is what kills its workers."""

MAX_TAKEOVERS = 50
"""Takeovers in all, whatever progress was made in between."""

SWEEP_BATCH = 100

_RUN_COLUMNS = tuple(runs.c[name] for name in FIELDS)


@dataclass(frozen=True, slots=True)
class TakenAway:
    run_id: str
    status: Status


async def take_expired(connection: AsyncConnection, *, clock: Clock, within_ms: int | None = None) -> list[TakenAway]:
    """Frees the runs whose lease has run out (within that time only, when one is given); several sweepers may do this at once."""
    expired = runs.c.lease_expires_at < now_ms()
    if within_ms is not None:
        expired = expired & (runs.c.lease_expires_at >= now_ms() - within_ms)
    return await _take_away(connection, expired, clock=clock)


async def take_orphans(connection: AsyncConnection, *, clock: Clock) -> list[TakenAway]:
    """Frees every RUNNING run: right only where no worker can hold one.

    So it is for the process that has just locked its SQLite database, and after all tokens were raised.
    """
    taken: list[TakenAway] = []
    while some := await _take_away(connection, runs.c.lease_expires_at.is_not(None), clock=clock):
        taken += some
    return taken


async def take_from_worker(
    connection: AsyncConnection, worker_id: WorkerId, *, cause: str, clock: Clock
) -> list[TakenAway]:
    """Frees what a worker held that is known to be dead, and its own row. `cause`: how it died, for a person."""
    taken: list[TakenAway] = []
    while some := await _take_away(connection, runs.c.lease_owner == worker_id, clock=clock, cause=cause):
        taken += some
    await forget_worker(connection, worker_id)
    return taken


async def _take_away(
    connection: AsyncConnection, which: ColumnElement[bool], *, clock: Clock, cause: str | None = None
) -> list[TakenAway]:
    statement = (
        select(*_RUN_COLUMNS)
        .where(runs.c.status == Status.RUNNING, which)
        .order_by(runs.c.id)
        .limit(SWEEP_BATCH)
        .with_for_update(skip_locked=True)
    )
    lost = [run_from_row(row) for row in (await connection.execute(statement)).mappings()]
    if lost:
        await mark_in_doubt(connection, [run.id for run in lost], at=clock.now())
    return [await _release(connection, run, clock=clock, cause=cause) for run in lost]


def next_status(run: Run) -> Status:
    """Where a run goes whose worker is gone."""
    if run.control == "cancel":
        return Status.CANCELLED
    if run.crash_streak + 1 >= MAX_CRASH_STREAK or run.takeovers + 1 >= MAX_TAKEOVERS:
        return Status.FAILED
    return Status.QUEUED


async def _release(connection: AsyncConnection, run: Run, *, clock: Clock, cause: str | None) -> TakenAway:
    status, now = next_status(run), clock.now()
    await change_state(
        connection,
        run,
        to=status,
        events=_events(run, status, cause),
        at=now,
        lease_owner=None,
        lease_expires_at=None,
        lease_token=runs.c.lease_token + 1,
        control=run.control if status is Status.QUEUED else None,
        **_outcome(run, status, now, cause),
    )
    if status is not Status.QUEUED:
        await close_questions(connection, run.id)
        return TakenAway(run.id, status)
    await enqueue_run(connection, run.id, why="lease_expired", at=now)
    settled = await settle(connection, run.id, at=now)
    return TakenAway(run.id, settled.status)


def _outcome(run: Run, status: Status, now: datetime, cause: str | None) -> dict[str, Any]:
    if status is Status.QUEUED:
        return {"crash_streak": run.crash_streak + 1, "takeovers": run.takeovers + 1, "reason": "lease_expired"}
    if status is Status.FAILED:
        return {"finished_at": now, "reason": "worker_lost", "error": worker_lost(run, cause)}
    return {"finished_at": now, "reason": None}


def worker_lost(run: Run, cause: str | None = None) -> dict[str, Any]:
    """The run's own error when it took too many workers with it. `cause`: how the last one died, if somebody saw it."""
    last = f"; the last time: {cause}" if cause else ""
    return {
        "code": "worker_lost",
        "message": f"its worker died or froze {run.crash_streak + 1} times in a row ({run.takeovers + 1} in all){last}",
        "kind": "infrastructure",
        "retryable": True,
    }


def _events(run: Run, status: Status, cause: str | None) -> list[ev.NewEvent]:
    if status is Status.QUEUED:
        seen = {"cause": cause} if cause else {}
        return [ev.NewEvent(ev.RUN_QUEUED, {"why": "lease_expired", "worker": run.lease_owner, **seen})]
    return [ev.NewEvent(ev.RUN_FINISHED, {"status": status})]


async def mark_in_doubt(connection: AsyncConnection, run_ids: Sequence[str], *, at: datetime) -> None:
    """What a worker had under way when it was lost: its calls are in doubt, and its steps are lost."""
    await mark_calls_in_doubt(connection, run_ids, at=at)
    await connection.execute(
        update(steps)
        .where(steps.c.run_id.in_(run_ids), steps.c.status == "running")
        .values(status="lost", finished_at=at)
    )
