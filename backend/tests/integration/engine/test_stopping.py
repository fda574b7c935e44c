"""Runs that are asked to stop, wherever they stand."""

import asyncio
import concurrent.futures
import threading
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from sqlalchemy import update

from shadowgraph.core.calls import current_ports
from shadowgraph.db.engine import Database
from shadowgraph.engine.driver import Drive, Driver, StopReason
from shadowgraph.engine.projects import Project
from shadowgraph.models.runs import runs
from shadowgraph.runs import repository
from shadowgraph.runs.run import Run
from shadowgraph.runs.states import Status
from shadowgraph.runs.takeover import take_orphans
from shadowgraph.worker.slots import Slots
from tests.support.graphs import Recorder, State, chain, driver_parts, line, project
from tests.support.runs import CLOCK, claim, start_run
from tests.support.waiting import wait_until


@pytest.fixture
async def driver(database: Database) -> AsyncIterator[Driver]:
    async with driver_parts(database) as parts:
        yield Driver(parts)


@pytest.fixture
def slots() -> Slots:
    return Slots(1, on_free=lambda: None)


async def reread(database: Database, run: Run) -> Run:
    async with database.read() as connection:
        return await repository.require_run(connection, run.id)


def begin(slots: Slots, driver: Driver, run: Run, code: Project) -> None:
    assert slots.take()
    drive = Drive(run)
    slots.start(drive, partial(driver.drive, drive, code))


class Waiting:
    """A node that waits until it is cut."""

    def __init__(self) -> None:
        self.entered = asyncio.Event()

    async def __call__(self, state: State) -> State:
        self.entered.set()
        await asyncio.Event().wait()
        return {}


@pytest.mark.parametrize(
    ("reason", "status"),
    [("cancel", Status.CANCELLED), ("handoff", Status.QUEUED), ("lost", Status.RUNNING)],
)
async def test_a_run_that_is_stopped_mid_node_leaves_at_once(
    database: Database, driver: Driver, slots: Slots, reason: StopReason, status: Status
) -> None:
    await start_run(database)
    run = await claim(database)
    node = Waiting()
    begin(slots, driver, run, project(line({"waiting": node})))
    await node.entered.wait()

    slots.active[run.id].stop(reason)
    assert await slots.wait_until_empty(timeout_seconds=5)

    assert (await reread(database, run)).status is status
    assert slots.has_room


@pytest.mark.parametrize(("reason", "status"), [("cancel", Status.CANCELLED), ("handoff", Status.QUEUED)])
async def test_a_run_that_is_stopped_before_it_began_leaves_and_frees_its_slot(
    database: Database, driver: Driver, slots: Slots, reason: StopReason, status: Status
) -> None:
    recorder = Recorder()
    await start_run(database)
    run = await claim(database)

    begin(slots, driver, run, project(chain(recorder, "a")))
    slots.active[run.id].stop(reason)
    assert await slots.wait_until_empty(timeout_seconds=5)

    assert (await reread(database, run)).status is status
    assert recorder.ran == []
    assert slots.has_room
    assert not slots.active


async def test_a_task_that_never_began_frees_its_slot_too(slots: Slots) -> None:
    assert slots.take()
    run: Any = type("AnyRun", (), {"id": "run_x", "control": None})()

    async def work() -> None: ...

    slots.start(Drive(run), work)
    slots.active[run.id].task.cancel()
    await wait_until(lambda: slots.has_room)

    assert not slots.active


async def test_a_cancel_that_came_while_nobody_had_the_run_ends_it_before_its_first_node(
    database: Database, driver: Driver
) -> None:
    recorder = Recorder()
    run = await start_run(database)
    async with database.write() as connection:
        await connection.execute(update(runs).where(runs.c.id == run.id).values(control="cancel"))

    await driver.drive(Drive(await claim(database)), project(chain(recorder, "a")))

    ended = await reread(database, run)
    assert (ended.status, ended.control) == (Status.CANCELLED, None)
    assert recorder.ran == []


async def test_a_run_that_is_cut_while_it_reads_its_past_is_handed_back(postgresql_url: str, slots: Slots) -> None:
    database = Database(postgresql_url)
    await start_run(database)
    await claim(database)
    async with database.write() as connection:
        await take_orphans(connection, clock=CLOCK)
    run = await claim(database)

    async with driver_parts(database) as parts:
        async with database.write() as connection:
            await connection.exec_driver_sql("LOCK TABLE steps")
            begin(slots, Driver(parts), run, project(chain(Recorder(), "a")))
            for _ in range(5):
                await asyncio.sleep(0)
            slots.active[run.id].stop("handoff")
        assert await slots.wait_until_empty(timeout_seconds=5)

    left = await reread(database, run)
    assert (left.status, left.reason, left.crash_streak) == (Status.QUEUED, "handoff", 1)
    await database.close()


async def test_what_the_thread_of_a_sync_node_waits_for_is_cut_with_its_run(
    database: Database, driver: Driver, slots: Slots
) -> None:
    entered, cut, thread_ended = asyncio.Event(), asyncio.Event(), threading.Event()

    async def call() -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            cut.set()

    def asks(state: State) -> State:
        here = current_ports.get()
        assert here is not None
        try:
            here.run_blocking(call())
        finally:
            thread_ended.set()
        return {}

    await start_run(database)
    run = await claim(database)
    begin(slots, driver, run, project(line({"asks": asks})))
    await entered.wait()

    slots.active[run.id].stop("cancel")
    assert await slots.wait_until_empty(timeout_seconds=5)

    await asyncio.wait_for(cut.wait(), timeout=5)
    await wait_until(thread_ended.is_set)
    assert (await reread(database, run)).status is Status.CANCELLED


async def test_a_thread_that_calls_after_its_run_was_cut_calls_nothing(
    database: Database, driver: Driver, slots: Slots
) -> None:
    entered, cut, called = asyncio.Event(), threading.Event(), threading.Event()
    outcome: concurrent.futures.Future[None] = concurrent.futures.Future()
    loop = asyncio.get_running_loop()

    async def call() -> None:
        called.set()

    def asks_too_late(state: State) -> State:
        here = current_ports.get()
        assert here is not None
        loop.call_soon_threadsafe(entered.set)
        cut.wait(timeout=30)
        try:
            here.run_blocking(call())
        except BaseException as error:
            outcome.set_exception(error)
            raise
        return {}

    await start_run(database)
    run = await claim(database)
    begin(slots, driver, run, project(line({"asks_too_late": asks_too_late})))
    await entered.wait()
    slots.active[run.id].stop("cancel")
    assert await slots.wait_until_empty(timeout_seconds=5)

    cut.set()
    error = await asyncio.to_thread(outcome.exception, 10)
    assert isinstance(error, concurrent.futures.CancelledError)
    assert not called.is_set()


async def test_a_claim_that_was_overtaken_by_the_same_worker_is_cut(database: Database, driver: Driver) -> None:
    slots = Slots(2, on_free=lambda: None)
    await start_run(database)
    first = await claim(database)
    node, recorder = Waiting(), Recorder()
    begin(slots, driver, first, project(line({"waiting": node})))
    await node.entered.wait()
    async with database.write() as connection:
        await take_orphans(connection, clock=CLOCK)

    overtaken = slots.active[first.id].task
    begin(slots, driver, await claim(database), project(line({"waiting": recorder.node("waiting")})))
    await asyncio.wait([overtaken])
    assert await slots.wait_until_empty(timeout_seconds=5)

    assert (await reread(database, first)).status is Status.COMPLETED
    assert slots.has_room
