"""Rows that nobody asks for any more after a day: idempotency keys, published messages, workers that are silent."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Table, delete, exists, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.db.dialect import now_ms
from shadowgraph.models.idempotency_keys import idempotency_keys
from shadowgraph.models.outbox import outbox
from shadowgraph.models.runs import runs
from shadowgraph.models.workers import workers
from shadowgraph.runs.idempotency import KEPT_FOR
from shadowgraph.runs.states import Status

BATCH = 1_000


@dataclass(frozen=True, slots=True)
class Expired:
    """Rows of one table whose time is over."""

    kind: str
    table: Table
    condition: ColumnElement[bool]
    age: ColumnElement[object]
    """The oldest first: with an index on it, the search ends at the first young row."""


def find_expired(now: datetime) -> Sequence[Expired]:
    day_ago = now - KEPT_FOR
    silent = workers.c.seen_at < now_ms() - int(KEPT_FOR.total_seconds() * 1000)
    holds_a_run = exists().where(runs.c.lease_owner == workers.c.id, runs.c.status == Status.RUNNING)
    keys = idempotency_keys.c
    return [
        Expired("idempotency keys", idempotency_keys, keys.created_at < day_ago, keys.created_at),
        Expired("published messages", outbox, outbox.c.published_at < day_ago, outbox.c.id),
        Expired("silent workers", workers, silent & ~holds_a_run, workers.c.seen_at),
    ]


async def delete_some(connection: AsyncConnection, expired: Expired) -> int:
    """How many went: fewer than a batch means that no more are left, but for those that somebody else deletes."""
    key = list(expired.table.primary_key)
    some = select(*key).where(expired.condition).order_by(expired.age).limit(BATCH).with_for_update(skip_locked=True)
    statement = delete(expired.table).where(tuple_(*key).in_(some.correlate(None)))
    return (await connection.execute(statement)).rowcount


async def count(connection: AsyncConnection, expired: Expired) -> int:
    statement = select(func.count()).select_from(expired.table).where(expired.condition)
    return (await connection.scalar(statement)) or 0
