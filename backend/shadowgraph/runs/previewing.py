"""What `runs.collecting` would remove, without removing it.

Runs are aged as they would be, and each batch is undone. What one batch leaves to the next is counted by queries of its own: a payload
goes with the last of the calls that refer to it, a month with the last of its journals.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from itertools import groupby

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.clock import Clock
from shadowgraph.db.engine import Database
from shadowgraph.models.runs import runs
from shadowgraph.runs import expiry
from shadowgraph.runs.amounts import Amount, Removed, add_up
from shadowgraph.runs.collecting import MONTHS, RUNS_AT_ONCE, turn
from shadowgraph.runs.expiry import find_expired
from shadowgraph.runs.partitions import find_unneeded_months, size_of_month
from shadowgraph.runs.references import PAYLOADS, measure_orphans
from shadowgraph.runs.retention import Ages, CheckpointStore, age_runs, find_due, loses_journal
from shadowgraph.runs.version_files import collect_version_files


class _Undo(Exception):
    """Rolls a batch back."""


async def preview(database: Database, store: CheckpointStore, ages: Ages, *, clock: Clock) -> Removed:
    now = clock.now()
    parts = [
        await _measure_aging(database, store, ages, now=now),
        await _measure_expired(database, now=now),
        await _measure_orphans(database, ages, now=now),
        await _measure_version_files(database, now=now),
    ]
    if database.dialect == "postgresql":
        parts.append(await _measure_months(database, ages, now=now))
    return add_up(*parts)


async def _measure_aging(database: Database, store: CheckpointStore, ages: Ages, *, now: datetime) -> Removed:
    async with database.read() as connection:
        due = await find_due(connection, ages, now=now)
        batches = list(_whole_threads(await _thread_ids(connection, due)))
    removed: Removed = {}
    for batch in batches:
        async with _undone(database) as connection:
            aging = await age_runs(connection, database.dialect, store, batch, ages, now=now)
        removed = add_up(removed, aging.removed)
    return {kind: amount for kind, amount in removed.items() if kind != PAYLOADS}


@asynccontextmanager
async def _undone(database: Database) -> AsyncIterator[AsyncConnection]:
    try:
        async with turn(database) as connection:
            yield connection
            raise _Undo
    except _Undo:
        pass


async def _thread_ids(connection: AsyncConnection, run_ids: Sequence[str]) -> list[tuple[str, str]]:
    """(thread, run), ordered by thread."""
    found: list[tuple[str, str]] = []
    for start in range(0, len(run_ids), expiry.BATCH):
        some = runs.c.id.in_(run_ids[start : start + expiry.BATCH])
        found += [
            (row.thread_id, row.id) for row in await connection.execute(select(runs.c.thread_id, runs.c.id).where(some))
        ]
    return sorted(found)


def _whole_threads(pairs: Sequence[tuple[str, str]]) -> Iterator[list[str]]:
    """Batches that cut no conversation: the end of one run in it takes checkpoints of another, which would be counted twice."""
    batch: list[str] = []
    for _, conversation in groupby(pairs, key=lambda pair: pair[0]):
        batch += [run_id for _, run_id in conversation]
        if len(batch) >= RUNS_AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


async def _measure_expired(database: Database, *, now: datetime) -> Removed:
    async with database.read() as connection:
        return {expired.kind: Amount(await expiry.count(connection, expired)) for expired in find_expired(now)}


async def _measure_orphans(database: Database, ages: Ages, *, now: datetime) -> Removed:
    total, place = Amount(), ""
    while True:
        async with database.read() as connection:
            amount, last = await measure_orphans(
                connection, database.dialect, after=place, loses_journal=loses_journal(ages, now=now)
            )
        total += amount
        if last is None:
            return {PAYLOADS: total}
        place = last


async def _measure_version_files(database: Database, *, now: datetime) -> Removed:
    removed: list[Removed] = []
    async with _undone(database) as connection:
        removed.append(await collect_version_files(connection, database.dialect, now=now))
    return add_up(*removed)


async def _measure_months(database: Database, ages: Ages, *, now: datetime) -> Removed:
    async with database.read() as connection:
        doomed = loses_journal(ages, now=now)
        months = await find_unneeded_months(connection, ages, now=now, loses_journal=doomed)
        sizes = [await size_of_month(connection, month) for month in months]
    return {MONTHS: Amount(len(months), sum(sizes))}
