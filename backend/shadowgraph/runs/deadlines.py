"""What ends by itself: runs past their deadline, and questions that nobody answered in time."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.clock import Clock
from shadowgraph.db.dialect import now_ms
from shadowgraph.models.interactions import interactions
from shadowgraph.models.runs import runs
from shadowgraph.runs import events as ev
from shadowgraph.runs.interactions import (
    BY_DEFAULT,
    Interaction,
    answer_interaction,
    close_questions,
    lock_run,
)
from shadowgraph.runs.run import Run
from shadowgraph.runs.states import Status
from shadowgraph.runs.transitions import change_state

BATCH = 100
WITHOUT_WORKER = (Status.QUEUED, Status.AWAITING_HUMAN, Status.PAUSED, Status.BUDGET_EXCEEDED)
"""A RUNNING run is ended by its own worker."""


async def fail_overdue(connection: AsyncConnection, *, clock: Clock) -> list[str]:
    """Ends the runs whose deadline has passed while no worker had them; their ids."""
    statement = (
        select(runs.c.id)
        .where(runs.c.deadline_at < now_ms(), runs.c.status.in_(WITHOUT_WORKER))
        .order_by(runs.c.id)
        .limit(BATCH)
        .with_for_update(skip_locked=True)
    )
    overdue = (await connection.scalars(statement)).all()
    for run_id in overdue:
        await _fail(
            connection, await lock_run(connection, run_id), reason="deadline", error=deadline_error(), clock=clock
        )
    return list(overdue)


def deadline_error() -> dict[str, Any]:
    return {
        "code": "deadline",
        "message": "the run was not finished within its timeout_s",
        "kind": "permanent",
        "retryable": False,
    }


async def settle_unanswered(connection: AsyncConnection, *, clock: Clock) -> list[str]:
    """Gives the default answer to questions past their deadline, or fails their runs; the questions' ids."""
    c = interactions.c
    statement = (
        select(*(c[name] for name in Interaction.__match_args__))
        .join(runs, runs.c.id == c.run_id)
        .where(c.status == "open", c.deadline_at < now_ms(), runs.c.status == Status.AWAITING_HUMAN)
        .order_by(c.id)
        .limit(BATCH)
        .with_for_update(skip_locked=True, of=runs)  # the run first, as everybody else locks
    )
    late = [Interaction(**row) for row in (await connection.execute(statement)).mappings()]
    for found in late:
        await _settle(connection, found, clock=clock)
    return [found.id for found in late]


async def _settle(connection: AsyncConnection, found: Interaction, *, clock: Clock) -> None:
    if found.default is not None:
        value = found.default["value"]
        await answer_interaction(connection, found.run_id, found.id, value, who=BY_DEFAULT, clock=clock)
        return
    run = await lock_run(connection, found.run_id)
    if run.status is Status.AWAITING_HUMAN:
        await _fail(connection, run, reason="unanswered", error=_unanswered(found), clock=clock)


def _unanswered(found: Interaction) -> dict[str, Any]:
    return {
        "code": "unanswered",
        "message": "nobody answered before the question's deadline, and it has no default",
        "kind": "permanent",
        "retryable": False,
        "interaction_id": found.id,
    }


async def _fail(connection: AsyncConnection, run: Run, *, reason: str, error: dict[str, Any], clock: Clock) -> None:
    now = clock.now()
    finished = ev.NewEvent(ev.RUN_FINISHED, {"status": Status.FAILED, "error": error})
    await change_state(
        connection,
        run,
        to=Status.FAILED,
        events=[finished],
        at=now,
        reason=reason,
        error=error,
        finished_at=now,
        control=None,
        lease_token=runs.c.lease_token + 1,
    )
    await close_questions(connection, run.id)
