"""Workers of several projects on one queue: the hint of a run reaches a worker that can claim it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

import pytest

from shadowgraph.core import failpoints
from shadowgraph.db.engine import Database
from shadowgraph.engine.projects import Project
from shadowgraph.queue.inprocess import InProcessQueue
from shadowgraph.queue.port import JobQueue
from shadowgraph.queue.postgres import PostgresQueue
from shadowgraph.queue.rabbitmq import RabbitMqQueue
from shadowgraph.runs.relay import Relay
from shadowgraph.runs.states import Status
from shadowgraph.worker.worker import Worker, WorkerSettings
from tests.integration.worker.test_worker import NEVER, Gate, reread
from tests.support.graphs import driver_parts, line, project
from tests.support.runs import CLOCK, start_run
from tests.support.waiting import wait_until

RUNS = 12


@dataclass(frozen=True, slots=True)
class Place:
    database: Database
    queue: JobQueue


@pytest.fixture(params=["sqlite", "postgresql", "distributed"])
def ways(request: pytest.FixtureRequest) -> tuple[str, Callable[[], JobQueue]]:
    """URL of the database, and what opens a queue: each of the supported pairs."""

    def named(fixture: str) -> str:
        return str(request.getfixturevalue(fixture))

    if request.param == "sqlite":
        return named("sqlite_url"), InProcessQueue
    if request.param == "postgresql":
        return named("postgresql_url"), partial(PostgresQueue, named("direct_postgresql_url"))
    return named("postgresql_url"), partial(RabbitMqQueue, named("broker_url"), prefix=named("queue_prefix"))


@pytest.fixture
async def place(ways: tuple[str, Callable[[], JobQueue]]) -> AsyncIterator[Place]:
    """One end of the queue for all of the test: consumers are told apart all the same."""
    database_url, open_queue = ways
    database, queue = Database(database_url), open_queue()
    yield Place(database, queue)
    await queue.close()
    await database.close()


@asynccontextmanager
async def working(place: Place, *projects: Project) -> AsyncIterator[None]:
    """A worker for each, with room for all runs. Each polls once at its start, and again when a run of it ends."""
    polled = asyncio.Event()
    failpoints.switch_on("db.committed", polled.set, on_hit=2 * len(projects))  # each registers first
    settings = WorkerSettings(RUNS, 30, "test", place.database.url, poll_seconds=NEVER)
    async with AsyncExitStack() as stack:
        parts = await stack.enter_async_context(driver_parts(place.database))
        for served in projects:
            await stack.enter_async_context(Worker(parts, [served], place.queue, settings).running())
        await polled.wait()
        yield


async def test_every_run_is_started_by_its_message_while_a_worker_of_another_project_idles(place: Place) -> None:
    gate = Gate()
    ours = replace(project(line({"gate": gate}), workflow="ours"), name="shapes")
    others = replace(project(line({"gate": Gate()}), workflow="others"), name="faults")
    async with working(place, others, ours):
        started = [await start_run(place.database, workflow="ours") for _ in range(RUNS)]

        assert await Relay(place.database, place.queue, clock=CLOCK).relay_once() == RUNS

        await wait_until(lambda: gate.entered == RUNS, what="every run to be started")
        statuses = [(await reread(place.database, run)).status for run in started]
        gate.opened.set()

    assert statuses == [Status.RUNNING] * RUNS
