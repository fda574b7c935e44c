"""What every process has: a database, a queue, wake-ups, and the relay, sweeper and housekeeper that look after the rows."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from shadowgraph.core.clock import Clock, SystemClock
from shadowgraph.core.errors import Unavailable
from shadowgraph.core.settings import Settings
from shadowgraph.core.waiting import end_tasks
from shadowgraph.db.engine import Database
from shadowgraph.db.migrate import require_schema
from shadowgraph.db.patience import outlast_outage
from shadowgraph.engine.checkpoints.retention import STORE
from shadowgraph.queue.inprocess import InProcessBroadcast, InProcessQueue, InProcessWakeups
from shadowgraph.queue.port import JobQueue, Wakeups
from shadowgraph.queue.postgres import PostgresQueue
from shadowgraph.queue.rabbitmq import RabbitMqQueue, RabbitMqWakeups
from shadowgraph.runs.housekeeping import Housekeeper
from shadowgraph.runs.relay import Relay
from shadowgraph.runs.retention import Ages
from shadowgraph.runs.sweeper import Sweeper, SweepSettings
from shadowgraph.runs.version_files import sweep_copies, sweep_trees
from shadowgraph.versioning.store import BlobFiles
from shadowgraph.versioning.trees import Trees
from shadowgraph.wiring.recovery import tell_recovery

SPARE_CONNECTIONS = 4
"""Beside one for each few slots: relay, sweeper, readiness, a burst of requests."""
MAX_CONNECTIONS = 20


class NotEmbedded(Unavailable):
    """On SQLite one `up` process does everything: a second process would have to share its file."""

    code = "needs_postgresql"


@dataclass(frozen=True, slots=True)
class Base:
    settings: Settings
    database: Database
    queue: JobQueue
    wakeups: Wakeups
    relay: Relay
    clock: Clock


@dataclass(frozen=True, slots=True)
class Transport:
    """How processes reach each other."""

    queue: JobQueue
    wakeups: Wakeups


@asynccontextmanager
async def open_base(settings: Settings, transport: Transport | None = None) -> AsyncIterator[Base]:
    """Opens the connections and runs relay, sweeper and housekeeper while the block is open. `transport`: instead of what the settings say."""
    async with open_rows(settings, transport or build_transport(settings)) as base:
        sweeper = Sweeper(base.database, _sweep_settings(settings), clock=base.clock)
        sweeps = [
            partial(sweep_copies, base.database, BlobFiles(settings.snapshots), clock=base.clock),
            partial(sweep_trees, base.database, Trees(settings.snapshots), clock=base.clock),
        ]
        ages = Ages.of_days(settings.checkpoint_days)
        housekeeper = Housekeeper(base.database, STORE, ages, clock=base.clock, more=sweeps)
        await outlast_outage(sweeper.settle_timeline)
        await tell_recovery(base.database, settings)
        async with background(base.relay.run(), sweeper.run(), housekeeper.run()):
            yield base


@asynccontextmanager
async def open_rows(settings: Settings, transport: Transport) -> AsyncIterator[Base]:
    """The connections alone: for a process beside one that looks after the rows."""
    clock = SystemClock()
    database = Database(settings.effective_database_url, pool_size=_pool_size(settings))
    try:
        relay = Relay(database, transport.queue, clock=clock)
        yield Base(settings, database, transport.queue, transport.wakeups, relay, clock)
    finally:
        await transport.wakeups.close()
        await transport.queue.close()
        await database.close()


def build_transport(settings: Settings) -> Transport:
    return Transport(build_queue(settings), build_wakeups(settings))


def build_family_transport(settings: Settings) -> Transport:
    """For a process with worker processes below it: on SQLite each of them gets every job."""
    queue = InProcessBroadcast() if settings.is_embedded else build_queue(settings)
    return Transport(queue, build_wakeups(settings))


def _pool_size(settings: Settings) -> int:
    return min(MAX_CONNECTIONS, settings.worker_slots // 4 + SPARE_CONNECTIONS)


def _sweep_settings(settings: Settings) -> SweepSettings:
    return SweepSettings(lease_seconds=settings.lease_seconds, presence_grace_seconds=settings.presence_grace_s)


def build_queue(settings: Settings) -> JobQueue:
    if settings.is_embedded:
        return InProcessQueue()
    if settings.broker_url:
        return RabbitMqQueue(settings.broker_url, prefix=settings.queue_prefix)
    return PostgresQueue(settings.effective_direct_url, prefix=settings.queue_prefix)


def build_wakeups(settings: Settings) -> Wakeups:
    """Without a broker, processes learn of each other's news by polling."""
    if settings.is_embedded or not settings.broker_url:
        return InProcessWakeups()
    return RabbitMqWakeups(settings.broker_url, prefix=settings.queue_prefix)


@asynccontextmanager
async def background(*works: Awaitable[None]) -> AsyncIterator[None]:
    """Runs these beside the block and ends them with it."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        yield
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await end_tasks(tasks)


async def together(*works: Awaitable[None]) -> None:
    """Until all have ended. The first error ends the others and is raised as it is, not in a group."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def require_distributed(settings: Settings) -> None:
    """What a process started by hand needs.

    Errors: `NotEmbedded`, `SchemaOutdated`.
    """
    if settings.is_embedded:
        raise NotEmbedded(
            "an api or worker process of its own needs PostgreSQL; on SQLite one `up` process does everything",
            hint="set DATABASE_URL=postgresql://…, or start: shadowgraph up",
        )
    await asyncio.to_thread(require_schema, settings.effective_database_url)
