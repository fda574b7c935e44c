"""What somebody has to look after once a second. Every API and worker process does; row locks keep them apart."""

import asyncio
import logging
import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import false, func, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.clock import Clock
from shadowgraph.costs.budgets import FOLD_AFTER_MS, fold_ended
from shadowgraph.db.dialect import now_ms
from shadowgraph.db.engine import Database, is_outage
from shadowgraph.db.sessions import timeline_of
from shadowgraph.models.outbox import outbox
from shadowgraph.models.runs import runs
from shadowgraph.models.workers import workers
from shadowgraph.runs.deadlines import fail_overdue, settle_unanswered
from shadowgraph.runs.outbox import DISPATCH_TOPIC, enqueue_run
from shadowgraph.runs.states import Status
from shadowgraph.runs.takeover import TakenAway, take_expired
from shadowgraph.runs.timelines import look_at_server, settle_timeline

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
PRESENCE_SECONDS = 0.3
STALE_MESSAGE_MS = 30_000
"""A due run that has waited this long gets another message: the first one may be lost."""
SHARE_TO_EXTEND = 1 / 3
"""Of a lease: two heartbeats, in which every worker that lives has extended its own."""
RESEND_BATCH = 100
PRESENCE_LOCK_CLASS = 7
"""First key of the session locks by which workers show that they live."""


@dataclass(frozen=True, slots=True)
class SweepSettings:
    lease_seconds: float
    presence_grace_seconds: float = 15.0
    """For so long after a start of the database, or the promotion of a standby, every session lock is gone and means nothing."""


class Grace:
    """When may leases be judged? Not within one lease after this process or the database was away: then every lease looks expired."""

    def __init__(self, *, lease_seconds: float, clock: Clock) -> None:
        self._lease_seconds = lease_seconds
        self._clock = clock
        self._began = self._last_contact = clock.monotonic()
        self._in_touch_since = clock.monotonic() - lease_seconds

    def contact(self) -> bool:
        """The database has just answered; True when judging is fair."""
        now = self._clock.monotonic()
        if now - self._last_contact > SWEEP_SECONDS + min(1.0, self._lease_seconds):
            self._in_touch_since = now
        self._last_contact = now
        return now - self._in_touch_since >= self._lease_seconds

    def lose_contact(self) -> None:
        """The database answers, but who could not sweep could not extend a lease either."""
        self._last_contact = -math.inf

    def judges_back_to_ms(self) -> int | None:
        """How long ago a lease may have run out; None: however long.

        A process that has just started cannot know whether the database was away until now: workers that live extend their leases first.
        """
        known_for = self._clock.monotonic() - self._began
        return None if known_for >= self._lease_seconds * SHARE_TO_EXTEND else int(known_for * 1000) + 1


class AbsenceWatch:
    """A worker counts as gone when its session lock was missing twice in a row."""

    def __init__(self) -> None:
        self._missing: frozenset[str] = frozenset()

    def observe(self, missing: Collection[str]) -> frozenset[str]:
        """Those that were missing the last time too."""
        gone = self._missing & frozenset(missing)
        self._missing = frozenset(missing)
        return gone


class Sweeper:
    def __init__(self, database: Database, settings: SweepSettings, *, clock: Clock) -> None:
        self._database = database
        self._settings = settings
        self._clock = clock
        self._grace = Grace(lease_seconds=settings.lease_seconds, clock=clock)
        self._absence = AbsenceWatch()
        self._is_doubtful = False
        """The last sweep failed."""
        self._was_synchronous = False
        """The server before us had a synchronous standby when it was seen last."""

    async def run(self) -> None:
        """Until cancelled. An outage of the database is waited out."""
        while True:
            try:
                await self.sweep_once()
                self._is_doubtful = False
            except Exception as error:
                self._grace.lose_contact()
                self._is_doubtful = True
                if not is_outage(error):
                    log.exception("the sweep failed")
            await asyncio.sleep(self._pause_seconds())

    def _pause_seconds(self) -> float:
        return PRESENCE_SECONDS if self._database.dialect == "postgresql" else SWEEP_SECONDS

    async def sweep_once(self) -> Sequence[TakenAway]:
        await self.settle_timeline()
        await self._require_writable()
        if not self._grace.contact():
            return []
        async with self._database.write() as connection:
            if self._database.dialect == "postgresql":
                await self._expire_absent(connection)
            taken = await take_expired(connection, clock=self._clock, within_ms=self._grace.judges_back_to_ms())
            await fail_overdue(connection, clock=self._clock)
            await settle_unanswered(connection, clock=self._clock)
            await resend_stale(connection, at=self._clock.now())
            await fold_ended(connection, self._database.dialect, older_than_ms=FOLD_AFTER_MS)
        for item in taken:
            log.warning("run %s lost its worker and is %s now", item.run_id, item.status)
        return taken

    async def settle_timeline(self) -> None:
        """From here on this process writes in the history that it finds; until then, not after a promotion."""
        if self._database.dialect != "postgresql":
            return
        async with self._database.settling() as connection:
            timeline = timeline_of(connection)
            if timeline is None:
                return
            server = await look_at_server(connection, timeline)
            if not server.is_known:
                is_lossless = self._was_synchronous
                await settle_timeline(connection, timeline, server, is_lossless=is_lossless, clock=self._clock)
        self._database.settled_timeline, self._was_synchronous = timeline, server.is_synchronous

    async def _require_writable(self) -> None:
        """Raises where heartbeats cannot write either. Asked anew each time: a pool can sit silently through an outage."""
        nothing = update(workers).where(false()).values(seen_at=workers.c.seen_at)
        first = select(func.min(workers.c.id)).scalar_subquery()
        something = update(workers).where(workers.c.id == first).values(seen_at=workers.c.seen_at)
        async with self._database.write() as connection:
            # A read-only database refuses the statement, but only a real write tells that a full disk has room again.
            await connection.execute(something if self._is_doubtful else nothing)

    async def _expire_absent(self, connection: AsyncConnection) -> None:
        gone = self._absence.observe(
            await missing_workers(connection, grace_seconds=self._settings.presence_grace_seconds)
        )
        if gone:
            await connection.execute(
                update(runs)
                .where(runs.c.status == Status.RUNNING, runs.c.lease_owner.in_(gone))
                .values(lease_expires_at=now_ms() - 1)
            )


async def missing_workers(connection: AsyncConnection, *, grace_seconds: float) -> set[str]:
    """Workers that hold a lease and announced a session lock that nobody holds now."""
    statement = text(
        """
        SELECT w.id FROM workers w
        WHERE w.presence IS NOT NULL
          AND EXISTS (SELECT 1 FROM runs r WHERE r.status = 'RUNNING' AND r.lease_owner = w.id)
          AND clock_timestamp() - pg_postmaster_start_time() > make_interval(secs => :grace)
          AND NOT EXISTS (
              SELECT 1 FROM timelines t
              WHERE t.promoted_at > extract(epoch FROM clock_timestamp() - make_interval(secs => :grace)) * 1000
          )
          AND NOT EXISTS (
              SELECT 1 FROM pg_locks l
              WHERE l.locktype = 'advisory' AND l.classid = :lock_class AND l.objid = w.presence::oid AND l.granted
                AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
          )
        """
    )
    rows = await connection.execute(statement, {"grace": grace_seconds, "lock_class": PRESENCE_LOCK_CLASS})
    return {row.id for row in rows}


async def resend_stale(connection: AsyncConnection, *, at: datetime) -> int:
    """Another message for due runs that nobody took for a while and that no young message names."""
    limit = now_ms() - STALE_MESSAGE_MS
    young = select(outbox.c.payload["run_id"].as_string()).where(
        outbox.c.topic == DISPATCH_TOPIC, outbox.c.available_at > limit
    )
    due = select(runs.c.id).where(runs.c.status == Status.QUEUED, runs.c.available_at < limit, runs.c.id.not_in(young))
    stale = (await connection.scalars(due.order_by(runs.c.available_at).limit(RESEND_BATCH))).all()
    for run_id in stale:
        await enqueue_run(connection, run_id, why="stale", at=at)
    return len(stale)
