"""What somebody wanted of a run while its worker had it: honoured in the transaction in which the worker lets go."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.models.runs import runs
from shadowgraph.runs import events as ev
from shadowgraph.runs.interactions import close_questions, has_answer
from shadowgraph.runs.outbox import enqueue_run
from shadowgraph.runs.repository import require_run
from shadowgraph.runs.run import Run
from shadowgraph.runs.states import Status
from shadowgraph.runs.transitions import change_state

_LET_GO = (Status.QUEUED, Status.AWAITING_HUMAN, Status.PAUSED, Status.BUDGET_EXCEEDED)


async def settle(connection: AsyncConnection, run_id: str, *, at: datetime, waits_for: Collection[str] = ()) -> Run:
    """The run after a wish that came too late for its worker: a cancel, a pause, an answer to a question that it asks.

    `waits_for`: interrupt ids of the questions that the graph stands at.
    """
    run = await require_run(connection, run_id)
    if run.status not in _LET_GO:
        return run
    if run.control == "cancel":
        await close_questions(connection, run_id)
        return await _move(connection, run, Status.CANCELLED, at=at)
    if run.control == "pause":
        return await _move(connection, run, Status.PAUSED, at=at)
    if waits_for and await has_answer(connection, run_id, waits_for):
        await enqueue_run(connection, run_id, why="answered", at=at)
        return await _move(connection, run, Status.QUEUED, at=at)
    return run


async def _move(connection: AsyncConnection, run: Run, to: Status, *, at: datetime) -> Run:
    ended = {"finished_at": at} if to is Status.CANCELLED else {}
    moved = await change_state(
        connection,
        run,
        to=to,
        events=[_event(to)],
        at=at,
        control=None,
        lease_token=runs.c.lease_token + 1,
        **ended,
    )
    return moved or run


def _event(to: Status) -> ev.NewEvent:
    if to is Status.CANCELLED:
        return ev.NewEvent(ev.RUN_FINISHED, {"status": to})
    if to is Status.PAUSED:
        return ev.NewEvent(ev.RUN_PAUSED)
    return ev.NewEvent(ev.RUN_QUEUED, {"why": "answered"})
