import asyncio
import os
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import func, select, update

from shadowgraph.core import failpoints
from shadowgraph.core.calls import current_ports
from shadowgraph.db.engine import Database
from shadowgraph.engine.projects import Project
from shadowgraph.models.runs import runs
from shadowgraph.models.workers import workers
from shadowgraph.queue.inprocess import InProcessWakeups
from shadowgraph.queue.message import JobMessage, Wake
from shadowgraph.queue.port import JobHandler
from shadowgraph.runs import repository, service
from shadowgraph.runs.run import Run
from shadowgraph.runs.states import Status
from shadowgraph.runs.takeover import take_orphans
from shadowgraph.worker.worker import Worker, WorkerSettings
from tests.support.graphs import Recorder, State, chain, driver_parts, line, project
from tests.support.runs import CLOCK, claim, start_run
from tests.support.waiting import wait_until

NEVER = 3600.0
"""Seconds between polls for tests in which the poll would take the run before the message does."""


class OneHandler:
    """A queue whose messages the test hands over itself."""

    def __init__(self, *failures: Exception) -> None:
        self._failures = list(failures)
        self._handler: JobHandler | None = None

    async def publish(self, message: JobMessage, *, message_id: str, pool: str | None) -> None: ...

    async def consume(self, handler: JobHandler, *, pools: Collection[str]) -> None:
        if self._failures:
            raise self._failures.pop()
        self._handler = handler
        await asyncio.Event().wait()

    async def deliver(self, run: Run) -> None:
        handler = await wait_until(lambda: self._handler, what="a consumer")
        await handler(JobMessage(id=run.id, why="created"))

    async def check(self) -> None: ...

    async def close(self) -> None: ...


class Gate:
    """A node that waits until it is let through."""

    def __init__(self) -> None:
        self.entered = 0
        self.opened = asyncio.Event()

    async def __call__(self, state: State) -> State:
        self.entered += 1
        await self.opened.wait()
        return {"log": ["gate"]}


@pytest.fixture
def queue() -> OneHandler:
    return OneHandler()


@pytest.fixture
def wakeups() -> InProcessWakeups:
    return InProcessWakeups()


@asynccontextmanager
async def working(
    database: Database,
    code: Project,
    queue: OneHandler,
    *,
    wakeups: InProcessWakeups | None = None,
    slots: int = 1,
    lease_seconds: float = 30,
    drain_seconds: float = 5,
    poll_seconds: float = 0.05,
) -> AsyncIterator[Worker]:
    async with driver_parts(database, wakeups=wakeups) as parts:
        settings = WorkerSettings(
            slots, lease_seconds, "test", database.url, drain_seconds=drain_seconds, poll_seconds=poll_seconds
        )
        async with Worker(parts, [code], queue, settings).running() as worker:
            yield worker


async def reread(database: Database, run: Run) -> Run:
    async with database.read() as connection:
        return await repository.require_run(connection, run.id)


async def until(database: Database, run: Run, status: Status) -> Run:
    async def has_it() -> Run | None:
        found = await reread(database, run)
        return found if found.status is status else None

    found = await wait_until(has_it, what=status)
    assert found is not None
    return found


async def test_a_message_makes_the_worker_claim_the_run_that_it_names(database: Database, queue: OneHandler) -> None:
    gate, polled = Gate(), asyncio.Event()
    failpoints.switch_on("db.committed", polled.set, on_hit=2)  # the first one registers the worker
    async with working(database, project(line({"gate": gate})), queue, slots=2, poll_seconds=NEVER):
        await polled.wait()
        older = await start_run(database)
        named = await start_run(database)

        await queue.deliver(named)

        assert (await reread(database, named)).status is Status.RUNNING
        assert (await reread(database, older)).status is Status.QUEUED
        gate.opened.set()


async def test_a_message_is_not_acknowledged_before_its_run_is_claimed(database: Database, queue: OneHandler) -> None:
    polled, claimed = asyncio.Event(), asyncio.Event()
    failpoints.switch_on("db.committed", polled.set, on_hit=2)  # the first one registers the worker
    failpoints.switch_on("worker.claim.committed", claimed.set)
    async with working(database, project(chain(Recorder(), "a")), queue, poll_seconds=NEVER):
        await polled.wait()
        run = await start_run(database)

        await queue.deliver(run)

        assert claimed.is_set(), "the handler has returned, and nobody owns the run"
        await until(database, run, Status.COMPLETED)


async def test_the_poll_finds_what_no_message_named(database: Database, queue: OneHandler) -> None:
    async with working(database, project(chain(Recorder(), "a")), queue):
        run = await start_run(database)

        await until(database, run, Status.COMPLETED)


async def test_without_a_slot_a_message_is_dropped_and_the_poll_takes_the_run_when_one_is_free(
    database: Database, queue: OneHandler
) -> None:
    gate = Gate()
    first = await start_run(database)
    async with working(database, project(line({"gate": gate})), queue, poll_seconds=NEVER):
        await wait_until(lambda: gate.entered)
        second = await start_run(database)
        await queue.deliver(second)
        assert (await reread(database, second)).status is Status.QUEUED

        gate.opened.set()
        await until(database, first, Status.COMPLETED)
        await until(database, second, Status.COMPLETED)


async def test_a_consumer_that_breaks_is_begun_anew(database: Database) -> None:
    queue = OneHandler(ValueError("nobody expected this"))
    async with working(database, project(chain(Recorder(), "a")), queue):
        run = await start_run(database)

        await queue.deliver(run)

        await until(database, run, Status.COMPLETED)


async def test_a_worker_that_stops_lets_nodes_finish_and_hands_the_rest_over(
    database: Database, queue: OneHandler
) -> None:
    gate, recorder = Gate(), Recorder()
    code = project(line({"gate": gate, "b": recorder.node("b")}))
    run = await start_run(database)
    async with working(database, code, queue):
        await wait_until(lambda: gate.entered)
        asyncio.get_running_loop().call_later(0.1, gate.opened.set)
    handed_back = await reread(database, run)

    async with working(database, code, queue):
        await until(database, run, Status.COMPLETED)

    assert (handed_back.status, handed_back.reason, handed_back.crash_streak) == (Status.QUEUED, "handoff", 0)
    assert (gate.entered, recorder.ran) == (1, ["b"])


async def test_a_node_that_outlasts_the_drain_is_cut_and_its_run_handed_back(
    database: Database, queue: OneHandler
) -> None:
    gate = Gate()
    run = await start_run(database)
    async with working(database, project(line({"gate": gate})), queue, drain_seconds=0.05):
        await wait_until(lambda: gate.entered)

    handed_back = await reread(database, run)
    assert (handed_back.status, handed_back.reason, handed_back.crash_streak) == (Status.QUEUED, "handoff", 0)
    async with database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(workers)) == 0


async def test_a_run_that_is_being_claimed_while_the_worker_stops_is_handed_back(
    database: Database, queue: OneHandler
) -> None:
    created: list[Run] = []
    released = asyncio.Event()

    async def create_slowly() -> None:
        spec = service.RunSpec(workflow="shapes", input={"text": "hello"})
        async with database.write() as connection:
            if database.dialect == "postgresql":
                await connection.exec_driver_sql("LOCK TABLE runs")
            created.append((await service.create_run(connection, database.dialect, spec, clock=CLOCK)).run)
            await released.wait()

    async with working(database, project(line({"gate": Gate()})), queue, drain_seconds=0.05):
        creating = asyncio.create_task(create_slowly())
        await wait_until(lambda: created)
        await asyncio.sleep(0.2)  # long enough for a poll to begin, which cannot end before this transaction does
        asyncio.get_running_loop().call_later(0.2, released.set)
    await creating

    left = await reread(database, created[0])
    assert (left.status, left.claims, left.crash_streak) == (Status.QUEUED, 1, 0)


async def test_a_worker_that_goes_while_it_owns_a_run_leaves_its_row_for_the_sweeper(
    database: Database, queue: OneHandler
) -> None:
    await start_run(database, workflow="other")
    run = await claim(database, "other")
    async with working(database, project(chain(Recorder(), "a")), queue) as worker, database.write() as connection:
        await connection.execute(update(runs).values(lease_owner=worker.id))

    async with database.read() as connection:
        assert (await connection.scalars(select(workers.c.id))).all() == [worker.id]
    assert (await reread(database, run)).lease_owner == worker.id


async def test_a_run_that_is_cancelled_mid_node_ends_long_before_the_next_heartbeat(
    database: Database, queue: OneHandler, wakeups: InProcessWakeups
) -> None:
    gate = Gate()
    run = await start_run(database)
    async with working(database, project(line({"gate": gate})), queue, wakeups=wakeups, lease_seconds=600):
        await wait_until(lambda: gate.entered)
        async with database.write() as connection:
            await service.cancel_run(connection, run.id, clock=CLOCK)
        await wakeups.publish(Wake(run_id=run.id, control="cancel"))

        ended = await until(database, run, Status.CANCELLED)

    assert (ended.control, ended.lease_owner) == (None, None)
    async with database.read() as connection:
        assert [step.status for step in await repository.list_steps(connection, run.id)] == ["cancelled"]


async def test_a_lost_lease_stops_the_run_here(database: Database, queue: OneHandler) -> None:
    gate = Gate()
    run = await start_run(database)
    async with working(database, project(line({"gate": gate})), queue, lease_seconds=0.6, poll_seconds=NEVER):
        await wait_until(lambda: gate.entered)
        async with database.write() as connection:
            await take_orphans(connection, clock=CLOCK)
            await connection.execute(update(runs).values(available_at=2**60))
        taken_over = await reread(database, run)

        await wait_until(lambda: not any("run run_" in task.get_name() for task in asyncio.all_tasks()))

        assert await reread(database, run) == taken_over


async def test_sync_nodes_that_wait_for_their_calls_never_block_each_other(
    database: Database, queue: OneHandler
) -> None:
    many = (os.cpu_count() or 1) + 6  # more than the event loop's own threads

    def waits(state: State) -> State:
        here: Any = current_ports.get()
        here.run_blocking(asyncio.to_thread(lambda: None))
        return {}

    started = [await start_run(database) for _ in range(many)]
    async with working(database, project(line({"waits": waits})), queue, slots=many):
        for run in started:
            await until(database, run, Status.COMPLETED)
