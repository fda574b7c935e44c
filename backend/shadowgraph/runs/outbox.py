"""The only way out of a transaction: a row that the relay publishes after the commit."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.db.dialect import now_ms
from shadowgraph.models.outbox import outbox

DISPATCH_TOPIC = "run.dispatch"


async def enqueue_run(
    connection: AsyncConnection,
    run_id: str,
    *,
    why: str,
    at: datetime,
    available_at: int | ColumnElement[int] | None = None,
) -> None:
    """Tells some worker to look at the run, not before `available_at` (ms of the database's clock; now unless given)."""
    statement = _ENQUEUE_NOW if available_at is None else insert(outbox).values(available_at=available_at).inline()
    values = {"topic": DISPATCH_TOPIC, "payload": {"run_id": run_id, "why": why}, "created_at": at}
    await connection.execute(statement, values)


_ENQUEUE_NOW = insert(outbox).values(available_at=now_ms()).inline()


async def enqueue_runs(connection: AsyncConnection, run_ids: Sequence[str], *, why: str, at: datetime) -> None:
    """The same for many at once, now."""
    if run_ids:
        rows = [{"payload": {"run_id": run_id, "why": why}} for run_id in run_ids]
        await connection.execute(
            insert(outbox).values(topic=DISPATCH_TOPIC, available_at=now_ms(), created_at=at), rows
        )
