from collections.abc import Collection

import pytest
from sqlalchemy import func, select

from shadowgraph.db.engine import Database
from shadowgraph.models.outbox import outbox
from shadowgraph.queue.message import JobMessage
from shadowgraph.queue.port import JobHandler, QueueUnavailable
from shadowgraph.runs.outbox import enqueue_run
from shadowgraph.runs.relay import Relay
from shadowgraph.runs.workers import WorkflowInfo, register_workflow
from tests.support.runs import CLOCK, start_run


class Broker:
    """Takes everything, except for one pool, and remembers it."""

    def __init__(self, *, refused_pool: str = "") -> None:
        self.taken: list[tuple[str, str | None]] = []
        self._refused_pool = refused_pool

    async def publish(self, message: JobMessage, *, message_id: str, pool: str | None) -> None:
        if pool == self._refused_pool:
            raise QueueUnavailable("planted")
        self.taken.append((message.id, pool))

    async def consume(self, handler: JobHandler, *, pools: Collection[str]) -> None: ...

    async def check(self) -> None: ...

    async def close(self) -> None: ...


async def register(database: Database, workflow: str, *, project: str) -> None:
    async with database.write() as connection:
        info = WorkflowInfo(workflow, project, "digest", {}, {}, {}, "")
        await register_workflow(connection, database.dialect, info, at=CLOCK.now())


async def relay_all(database: Database, broker: Broker) -> None:
    await Relay(database, broker, clock=CLOCK).relay_once()


async def test_message_goes_to_the_pool_of_its_runs_project(database: Database) -> None:
    await register(database, "agent", project="teamwork")
    await register(database, "pipeline", project="agents")
    started = {name: (await start_run(database, workflow=name)).id for name in ("agent", "pipeline")}

    broker = Broker()
    await relay_all(database, broker)

    assert broker.taken == [(started["agent"], "teamwork"), (started["pipeline"], "agents")]


async def test_message_has_no_pool_until_somebody_has_registered_its_workflow(database: Database) -> None:
    run = await start_run(database, workflow="agent")
    broker = Broker()
    await relay_all(database, broker)

    await register(database, "agent", project="teamwork")
    async with database.write() as connection:
        await enqueue_run(connection, run.id, why="stale", at=CLOCK.now())
    await relay_all(database, broker)

    assert broker.taken == [(run.id, None), (run.id, "teamwork")]


async def test_pool_whose_queue_takes_nothing_keeps_its_rows_and_no_others(database: Database) -> None:
    for project in ("healthy", "ill"):
        await register(database, project, project=project)
    await start_run(database, workflow="ill")
    healthy = await start_run(database, workflow="healthy")

    broker = Broker(refused_pool="ill")
    with pytest.raises(QueueUnavailable):
        await relay_all(database, broker)

    assert broker.taken == [(healthy.id, "healthy")]
    async with database.read() as connection:
        left = await connection.scalar(select(func.count()).select_from(outbox).where(outbox.c.published_at.is_(None)))
    assert left == 1
