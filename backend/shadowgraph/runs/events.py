"""The events of runs: what happened, numbered in commit order."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.ids import SYSTEM_RUN
from shadowgraph.core.json import JsonObject
from shadowgraph.db.dialect import DialectName, next_number
from shadowgraph.models.events import EVENT_IDS, events

RUN_QUEUED = "run.queued"
RUN_STARTED = "run.started"
RUN_TAKEN_OVER = "run.taken_over"
RUN_PARKED = "run.parked"
RUN_PAUSED = "run.paused"
RUN_RESUMED = "run.resumed"
RUN_AWAITING_HUMAN = "run.awaiting_human"
RUN_BUDGET_EXCEEDED = "run.budget_exceeded"
RUN_FINISHED = "run.finished"
STEP_STARTED = "step.started"
STEP_FINISHED = "step.finished"
STEP_FAILED = "step.failed"
CALL_STARTED = "call.started"
CALL_FINISHED = "call.finished"
CALL_RETRIED = "call.retried"
CALL_FAILED = "call.failed"
OUTPUT_DELTA = "output.delta"
ARTIFACT_CREATED = "artifact.created"
INTERACTION_CREATED = "interaction.created"
INTERACTION_RESOLVED = "interaction.resolved"
NOTE = "note"
ALERT_CREATED = "alert.created"
BREAKER_CHANGED = "breaker.changed"
BUDGET_CHANGED = "budget.changed"
VERSION_CHANGED = "version.changed"


@dataclass(frozen=True, slots=True)
class NewEvent:
    type: str
    payload: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """A stored event. `seq` counts within the run; gaps are normal (pruned deltas)."""

    run_id: str
    seq: int
    type: str
    payload: JsonObject
    at: datetime


_APPEND = insert(events).inline()


async def append_events(
    connection: AsyncConnection, run_id: str, new: Sequence[NewEvent], *, last_seq: int, at: datetime
) -> None:
    """Stores events that end at number `last_seq`; the caller has just raised `runs.event_seq` to it in this transaction."""
    if not new:
        return
    first = last_seq - len(new) + 1
    await connection.execute(
        _APPEND,
        [event_row(run_id, first + offset, event, at=at) for offset, event in enumerate(new)],
    )


async def append_system_event(
    connection: AsyncConnection, dialect: DialectName, event: NewEvent, *, at: datetime
) -> None:
    """For what belongs to no run: without a row to count under, its number is its id."""
    number = await connection.scalar(select(next_number(events.c.id, dialect, sequence=EVENT_IDS)))
    assert number is not None
    await connection.execute(insert(events), {**event_row(SYSTEM_RUN, number, event, at=at), "id": number})


def event_row(run_id: str, seq: int, event: NewEvent, *, at: datetime) -> dict[str, Any]:
    return {"run_id": run_id, "seq": seq, "type": event.type, "payload": dict(event.payload), "at": at}
