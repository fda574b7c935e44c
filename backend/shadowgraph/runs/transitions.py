"""State changes from outside: by the API, the sweeper and recovery. A RUNNING run's own worker goes through `engine/writer.py`."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.errors import Internal
from shadowgraph.models.runs import runs
from shadowgraph.runs.events import NewEvent, append_events
from shadowgraph.runs.repository import require_run
from shadowgraph.runs.run import Run
from shadowgraph.runs.states import Status, is_legal


class IllegalTransition(Internal):
    code = "illegal_transition"


async def change_state(
    connection: AsyncConnection, run: Run, *, to: Status, events: Sequence[NewEvent], at: datetime, **values: Any
) -> Run | None:
    """Moves the run as it was read to another state; None when somebody moved it since.

    Errors: `IllegalTransition` for a pair that `runs/states.py` does not name.
    """
    if not is_legal(run.status, to):
        raise IllegalTransition(f"{run.status} to {to} is not a legal transition", run_id=run.id)
    statement = (
        update(runs)
        .where(runs.c.id == run.id, runs.c.status == run.status, runs.c.lease_token == run.lease_token)
        .values(status=to, event_seq=runs.c.event_seq + len(events), **values)
        .returning(runs.c.event_seq)
    )
    last_seq = await connection.scalar(statement)
    if last_seq is None:
        return None
    await append_events(connection, run.id, events, last_seq=last_seq, at=at)
    return await require_run(connection, run.id)


async def add_events(connection: AsyncConnection, run: Run, events: Sequence[NewEvent], *, at: datetime) -> Run:
    """Events beside the run's state; right only while no worker owns it, or with its row locked."""
    statement = (
        update(runs)
        .where(runs.c.id == run.id)
        .values(event_seq=runs.c.event_seq + len(events))
        .returning(runs.c.event_seq)
    )
    last_seq = await connection.scalar(statement)
    assert last_seq is not None, "the run was read just now"
    await append_events(connection, run.id, events, last_seq=last_seq, at=at)
    return await require_run(connection, run.id)
