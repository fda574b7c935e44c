"""Messages that come twice, are not ours, or get lost: F5, F7, F11, F21. The row is the truth, and the poll finds it."""

import json
from collections import Counter
from contextlib import suppress
from datetime import datetime
from typing import Any

import httpx
import pytest

from shadowgraph.core.clock import SystemClock
from shadowgraph.core.ids import new_run_id
from shadowgraph.db.engine import Database
from shadowgraph.models.outbox import outbox
from shadowgraph.runs.service import RunSpec, create_run
from shadowgraph.worker.worker import POLL_SECONDS
from tests.chaos.brokers import Broker, hint, pool_of_faults
from tests.chaos.conftest import OpenWorld
from tests.chaos.expectations import expect_completed, expect_paid_once
from tests.chaos.figures import note_figure
from tests.chaos.matrix import whole_matrix
from tests.chaos.oracle import expected_output
from tests.chaos.world import World
from tests.projects.faults.graph import NODES
from tests.support.waiting import wait_until

POLL_LIMIT_SECONDS = POLL_SECONDS * 1.2
"""The poll's own jitter."""


@pytest.fixture(scope="module")
def pool() -> str:
    return pool_of_faults()


@pytest.fixture
def broker(broker_url: str, queue_prefix: str, pool: str) -> Broker:
    return Broker(broker_url, queue_prefix, pool)


async def wait_until_taken(broker: Broker) -> None:
    async def is_empty() -> bool:
        return await broker.waiting() == 0

    await wait_until(is_empty, timeout_seconds=20, what="the workers to take every message")


async def test_f05_a_message_that_comes_a_hundred_times_makes_one_claim(
    world_with_broker: OpenWorld, broker: Broker
) -> None:
    async with world_with_broker() as world, broker.listening() as named:
        await world.start_api()
        await world.start_worker()
        gate = world.hold("planner")
        run_id = await world.submit(trouble=gate.trouble)
        await world.until_in_node(run_id, "planner")

        await broker.publish(*[hint(run_id)] * 50)
        await wait_until_taken(broker)
        gate.open()
        await world.until_status(run_id)
        await broker.publish(*[hint(run_id)] * 50)
        await wait_until_taken(broker)
        next_one = await world.until_status(await world.submit("the next one"))
        record = world.observer.record(run_id)
        asked = await world.calls(run_id)

    assert named[run_id] > 100
    assert record.claims == 1
    expect_completed(record, expected_output())
    expect_paid_once(record, asked)
    expect_completed(next_one, expected_output("the next one"))


async def test_f07_messages_that_are_not_ours_are_put_aside_and_unknown_runs_forgotten(
    world_with_broker: OpenWorld, broker: Broker
) -> None:
    of_the_future = json.dumps({"v": 2, "kind": "run", "id": new_run_id(), "why": "created"}).encode()
    async with world_with_broker() as world:
        await world.start_api()
        worker = await world.start_worker()
        await world.until_status(await world.submit("the queues are declared"))

        await broker.publish(b"not json", b'{"v": 1}', of_the_future, b"\xff\xfe")
        await broker.publish(hint(new_run_id()))
        await wait_until_taken(broker)
        record = await world.until_status(await world.submit())
        dead, waiting = await broker.dead(), await broker.waiting()

    assert (dead, waiting) == (4, 0)
    assert worker.process.output().count("goes to") == 4
    assert record.claims == 1
    expect_completed(record, expected_output())


async def test_f11_a_run_whose_message_was_never_sent_is_found_by_the_poll(
    world_with_broker: OpenWorld, broker: Broker, record_property: Any
) -> None:
    async with world_with_broker() as world, broker.listening() as named:
        await world.start_api()
        await world.start_worker()
        await world.until_status(await world.submit("the worker consumes"))

        run_id = await create_without_message(world)
        record = await world.until_status(run_id)

    claimed: datetime = record.first_event("run.started")["at"]
    found_after = (claimed - record.run["created_at"]).total_seconds()
    note_figure(record_property, "message lost: from created to claimed", [found_after])
    assert named.total() == 1
    assert named[run_id] == 0
    assert found_after <= POLL_LIMIT_SECONDS + 1
    assert record.claims == 1
    expect_completed(record, expected_output())


async def create_without_message(world: World) -> str:
    """As if the outbox row had been published and the broker had lost it."""
    database = Database(world.stage.env["DATABASE_URL"])
    spec = RunSpec(workflow="faults", input={"query": "lighthouses"})
    async with database.write() as connection:
        accepted = await create_run(connection, database.dialect, spec, clock=SystemClock())
        deleted = await connection.execute(outbox.delete().where(outbox.c.published_at.is_(None)))
    await database.close()
    assert deleted.rowcount == 1
    return accepted.run.id


@whole_matrix
async def test_f21_a_relay_killed_between_publish_and_commit_sends_twice_and_the_run_runs_once(
    world_with_broker: OpenWorld, broker: Broker
) -> None:
    async with world_with_broker() as world, broker.listening() as named:
        doomed = await world.start_api(SHADOWGRAPH_FAILPOINTS="runs.relay.published=kill")
        gate = world.hold("planner")
        with suppress(httpx.TransportError):  # it may die before its answer leaves: the run is accepted all the same
            await world.submit(trouble=gate.trouble)
        await doomed.wait_for_end()
        run_id = str(world.observer.scalar("SELECT id FROM runs"))
        await wait_until(lambda: named[run_id] == 1, what="the first message")

        await world.start_worker()
        await wait_until(lambda: named[run_id] == 2, what="the second message")
        gate.open()
        record = await world.until_status(run_id)
        asked = await world.calls(run_id)

    assert record.claims == 1
    expect_completed(record, expected_output())
    assert record.tries() == Counter(NODES)
    expect_paid_once(record, asked)
