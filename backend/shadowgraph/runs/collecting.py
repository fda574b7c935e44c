"""Removes what is old, batch by batch. Each batch is one short transaction: between two of them anybody may write, stop us or die."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core import failpoints
from shadowgraph.core.clock import Clock
from shadowgraph.db.engine import LOCK_NOT_AVAILABLE, Database, sqlstate_of
from shadowgraph.runs import expiry
from shadowgraph.runs.amounts import Amount, Removed, add_up
from shadowgraph.runs.expiry import find_expired
from shadowgraph.runs.partitions import drop_month, find_missing_months, find_unneeded_months, make_month
from shadowgraph.runs.references import PAYLOADS, delete_orphans, find_orphans
from shadowgraph.runs.retention import Ages, CheckpointStore, age_runs, find_due
from shadowgraph.runs.version_files import collect_version_files

log = logging.getLogger(__name__)

MONTHS = "months of old runs"
RUNS_AT_ONCE = 50
PAUSE_SECONDS = 0.1
"""Between two batches of a process that has something better to do: others write meanwhile."""

TURN_LOCK = 0x5368_6167  # of PostgreSQL: one batch at a time over all processes, so that no two lock each other out

Step = Callable[[], Awaitable[Removed]]


@asynccontextmanager
async def turn(database: Database) -> AsyncIterator[AsyncConnection]:
    """The transaction of one batch."""
    async with database.write() as connection:
        if database.dialect == "postgresql":  # SQLite has one writer anyway
            await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": TURN_LOCK})
        yield connection
        failpoints.hit("runs.collecting.before_commit")
    failpoints.hit("runs.collecting.batch_done")


class Collector:
    def __init__(
        self, database: Database, store: CheckpointStore, ages: Ages, *, clock: Clock, pause_seconds: float = 0
    ) -> None:
        self._database = database
        self._store = store
        self._ages = ages
        self._clock = clock
        self._pause_seconds = pause_seconds
        self._orphans_after = ""

    async def collect(self) -> Removed:
        """All of it."""
        return add_up(*[await step() for step in (*self.small_steps(), self.delete_orphans)])

    def small_steps(self) -> Sequence[Step]:
        """All but the search for orphans, which reads every payload."""
        steps: list[Step] = [self.age_runs, self.delete_expired, self.collect_version_files]
        if self._database.dialect == "postgresql":
            return [self.make_months, *steps, self.drop_months]
        return steps

    async def age_runs(self) -> Removed:
        """Until no run is left that has come to the age of its next step, but for those that somebody else works on."""
        removed: Removed = {}
        while True:
            now = self._clock.now()
            async with turn(self._database) as connection:
                due = await find_due(connection, self._ages, now=now, limit=RUNS_AT_ONCE)
                dialect = self._database.dialect
                aging = await age_runs(connection, dialect, self._store, due, self._ages, now=now)
            removed = add_up(removed, aging.removed)
            if len(due) < RUNS_AT_ONCE or not aging.runs:
                return removed
            await asyncio.sleep(self._pause_seconds)

    async def delete_expired(self) -> Removed:
        removed = {}
        for expired in find_expired(self._clock.now()):
            rows = 0
            while True:
                async with turn(self._database) as connection:
                    deleted = await expiry.delete_some(connection, expired)
                rows += deleted
                if deleted < expiry.BATCH:
                    break
                await asyncio.sleep(self._pause_seconds)
            removed[expired.kind] = Amount(rows)
        return removed

    async def collect_version_files(self) -> Removed:
        async with turn(self._database) as connection:
            return await collect_version_files(connection, self._database.dialect, now=self._clock.now())

    async def delete_orphans(self, *, windows: int | None = None) -> Removed:
        """Goes on where it stopped the last time, for so many windows or to the end; then it begins anew."""
        total = Amount()
        while windows is None or windows > 0:
            async with self._database.read() as connection:
                found, last = await find_orphans(connection, self._database.dialect, after=self._orphans_after)
            if found:
                async with turn(self._database) as connection:
                    total += await delete_orphans(connection, self._database.dialect, found)
            self._orphans_after = last or ""
            if last is None:
                break
            windows = None if windows is None else windows - 1
            await asyncio.sleep(self._pause_seconds)
        return {PAYLOADS: total}

    async def make_months(self) -> Removed:
        async with self._database.read() as connection:
            missing = await find_missing_months(connection, now=self._clock.now())
        for month in missing:
            async with _unless_busy(f"{month.name} is made later"), turn(self._database) as connection:
                await make_month(connection, month)
        return {}

    async def drop_months(self) -> Removed:
        async with self._database.read() as connection:
            months = await find_unneeded_months(connection, self._ages, now=self._clock.now())
        total = Amount()
        for month in months:
            async with _unless_busy(f"{month.name} is dropped later"), turn(self._database) as connection:
                if (size := await drop_month(connection, month)) is not None:
                    total += Amount(1, size)
        return {MONTHS: total}


@asynccontextmanager
async def _unless_busy(consequence: str) -> AsyncIterator[None]:
    """What cannot be locked now is left for the next time."""
    try:
        yield
    except OperationalError as error:
        if sqlstate_of(error) != LOCK_NOT_AVAILABLE:
            raise
        log.info("others need the table: %s", consequence)
