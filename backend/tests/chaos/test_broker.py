"""A broker that dies, stops, freezes or loses patience: F9, F10, F12. Nobody's run waits for it."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from functools import partial
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from shadowgraph.core.ids import new_run_id
from shadowgraph.queue.message import JobMessage
from shadowgraph.queue.port import QueueUnavailable
from shadowgraph.queue.rabbitmq import PUBLISH_TIMEOUT_SECONDS, RabbitMqQueue
from shadowgraph.queue.renewals import SILENCES_BEFORE_RENEWAL
from tests.chaos.conftest import OWN_SERVERS, OpenWorld
from tests.chaos.expectations import expect_completed, expect_paid_once
from tests.chaos.figures import note_figure
from tests.chaos.matrix import whole_matrix
from tests.chaos.oracle import expected_output
from tests.chaos.records import Record
from tests.chaos.servers import CONSUMER_TIMEOUT_MS, OwnRabbit
from tests.chaos.test_messages import POLL_LIMIT_SECONDS
from tests.chaos.world import FAULTS, Worker, World
from tests.support.waiting import wait_until

pytestmark = [whole_matrix, OWN_SERVERS]

SLACK_SECONDS = 1.5
"""What a busy machine may take on top of what is promised."""
DECLARED_ANEW = "answers nothing and is declared anew"
"""What is logged of a queue that the broker itself has broken."""


def claimed_after(record: Record) -> float:
    """Seconds from its creation."""
    claimed: datetime = record.first_event("run.started")["at"]
    return float((claimed - record.run["created_at"]).total_seconds())


@pytest.mark.parametrize("how", ["kill", "stop"])
async def test_f09_without_a_broker_no_run_stops_and_new_ones_start_by_the_poll(
    world_with_own_broker: OpenWorld, own_rabbit: OwnRabbit, how: str, record_property: Any
) -> None:
    async with world_with_own_broker() as world:
        await world.start_api()
        worker = await world.start_worker()
        gate = world.hold("planner")
        running = await world.submit("running", trouble=gate.trouble)
        await world.until_in_node(running, "planner")

        await (own_rabbit.kill() if how == "kill" else asyncio.to_thread(own_rabbit.stop))
        assert not own_rabbit.accepts
        posted = time.monotonic()
        created = await world.submit("created meanwhile")
        post_seconds = time.monotonic() - posted
        meanwhile = await world.until_status(created)
        gate.open()
        first = await world.until_status(running)
        assert not own_rabbit.accepts

        connected = connections_regained(worker)
        await asyncio.to_thread(own_rabbit.start)
        opened = time.monotonic()
        await until_it_is_connected_again(worker, since=connected)
        back_seconds = time.monotonic() - opened
        await wait_until(lambda: not unpublished(world), timeout_seconds=60, what="the outbox to be sent")
        later = await world.until_status(await world.submit("afterwards"))
        asked = [await world.calls(record.run["id"]) for record in (first, meanwhile, later)]
        was_silenced = DECLARED_ANEW in logs(world)

    note_figure(record_property, f"broker gone ({how}): POST", [post_seconds])
    note_figure(record_property, f"broker gone ({how}): from created to claimed", [claimed_after(meanwhile)])
    note_figure(record_property, f"broker back ({how}): from its port to the consumer", [back_seconds])
    assert post_seconds < 0.5
    assert claimed_after(meanwhile) <= POLL_LIMIT_SECONDS + SLACK_SECONDS
    assert back_seconds <= 3 + SLACK_SECONDS or was_silenced
    assert how == "kill" or not was_silenced
    for record, query, calls in zip(
        (first, meanwhile, later), ("running", "created meanwhile", "afterwards"), asked, strict=True
    ):
        assert record.claims == 1
        expect_completed(record, expected_output(query))
        expect_paid_once(record, calls)


def connections_regained(worker: Worker) -> int:
    return worker.process.output().count("the broker is back")


async def until_it_is_connected_again(worker: Worker, *, since: int) -> None:
    """With both its connections: for jobs and for wake-ups."""
    await wait_until(
        lambda: connections_regained(worker) >= since + 2, timeout_seconds=60, what="the worker to be connected"
    )


def unpublished(world: World) -> int:
    return int(world.observer.scalar("SELECT count(*) FROM outbox WHERE published_at IS NULL"))


async def test_f09_queues_that_a_kill_right_after_their_declaration_has_silenced_work_again(
    own_rabbit: OwnRabbit, caplog: pytest.LogCaptureFixture, record_property: Any
) -> None:
    """RabbitMQ 3.10 silences them each time, without an end; with a version that does not there is nothing to mend."""
    prefix, heard = f"test_{secrets.token_hex(4)}_", set[str]()
    async with opened_queue(own_rabbit, prefix) as queue:
        await publish(queue)
        await own_rabbit.kill()
        await asyncio.to_thread(own_rabbit.start)
        opened = time.monotonic()

        async with consuming(queue, heard):
            sent = await wait_until(partial(try_to_publish, queue), timeout_seconds=90, what="a confirm")
            await wait_until(lambda: sent in heard, timeout_seconds=60, what="the message")
            note_figure(
                record_property, "broker killed at its first message: until it hands out", [time.monotonic() - opened]
            )
            following = await publish(queue)
            await wait_until(lambda: following in heard, what="the next message")

    assert caplog.text.count(DECLARED_ANEW) <= len([None, FAULTS.name])


async def test_f10_a_broker_that_takes_no_messages_keeps_its_queues_and_what_they_hold(
    own_rabbit: OwnRabbit, caplog: pytest.LogCaptureFixture
) -> None:
    prefix, heard = f"test_{secrets.token_hex(4)}_", set[str]()
    async with opened_queue(own_rabbit, prefix) as queue:
        sent = await publish(queue)
        await asyncio.to_thread(own_rabbit.stop)
        await asyncio.to_thread(own_rabbit.start, vm_memory_high_watermark="0")

        refused = [await failure_to_publish(queue) for _ in range(2 * SILENCES_BEFORE_RENEWAL)]
        await asyncio.to_thread(own_rabbit.stop)
        await asyncio.to_thread(own_rabbit.start)
        async with consuming(queue, heard):
            await wait_until(lambda: sent in heard, timeout_seconds=20, what="the message")

    assert all("TimeoutError" in message for message in refused)
    assert DECLARED_ANEW not in caplog.text


@asynccontextmanager
async def opened_queue(broker: OwnRabbit, prefix: str) -> AsyncIterator[RabbitMqQueue]:
    queue = RabbitMqQueue(broker.url, prefix=prefix, publish_timeout_seconds=2)
    try:
        yield queue
    finally:
        await queue.close()


@asynccontextmanager
async def consuming(queue: RabbitMqQueue, heard: set[str]) -> AsyncIterator[None]:
    async def note(message: JobMessage) -> None:
        heard.add(message.id)

    consumer = asyncio.create_task(queue.consume(note, pools=[FAULTS.name]))
    try:
        yield
    finally:
        consumer.cancel()
        await asyncio.gather(consumer, return_exceptions=True)


async def publish(queue: RabbitMqQueue) -> str:
    message = JobMessage(id=new_run_id(), why="created")
    await queue.publish(message, message_id=message.id, pool=FAULTS.name)
    return message.id


async def try_to_publish(queue: RabbitMqQueue) -> str | None:
    with suppress(QueueUnavailable):
        return await publish(queue)
    return None


async def failure_to_publish(queue: RabbitMqQueue) -> str:
    """Of one that got as far as to the broker."""

    async def failure() -> str | None:
        with pytest.raises(QueueUnavailable) as unavailable:
            await publish(queue)
        return None if "there is no connection" in unavailable.value.message else unavailable.value.message

    return await wait_until(failure, timeout_seconds=20)


async def test_f10_a_frozen_broker_holds_nobody_up_and_gets_its_messages_when_it_wakes(
    world_with_own_broker: OpenWorld, own_rabbit: OwnRabbit, record_property: Any
) -> None:
    async with world_with_own_broker() as world:
        await world.start_api()
        await world.start_worker()
        await world.until_status(await world.submit("connections are open"))

        async with own_rabbit.frozen():
            posted = time.monotonic()
            run_id = await world.submit()
            post_seconds = time.monotonic() - posted
            record = await world.until_status(run_id)
            await wait_until(
                lambda: "messages wait in the outbox" in logs(world),
                timeout_seconds=PUBLISH_TIMEOUT_SECONDS + 10,
                what="a relay to give up",
            )
            gave_up_seconds = time.monotonic() - posted
            kept = unpublished(world)
        await wait_until(lambda: not unpublished(world), timeout_seconds=30, what="the outbox to be sent")

    note_figure(record_property, "broker frozen: POST", [post_seconds])
    note_figure(record_property, "broker frozen: from created to claimed", [claimed_after(record)])
    assert post_seconds < 0.5
    assert gave_up_seconds >= PUBLISH_TIMEOUT_SECONDS - 1
    assert kept == 1
    assert record.claims == 1
    expect_completed(record, expected_output())


def logs(world: World) -> str:
    return "".join(log.read_text() for log in world.stage.folder.glob("*.log"))


async def test_f12_the_brokers_patience_with_consumers_does_not_limit_a_run(
    world_with_own_broker: OpenWorld, own_rabbit: OwnRabbit
) -> None:
    async with world_with_own_broker() as world:
        await world.start_api()
        worker = await world.start_worker()
        gate = world.hold("planner")
        run_id = await world.submit(trouble=gate.trouble)
        await world.until_in_node(run_id, "planner")
        began = time.monotonic()

        for _ in range(2):
            async with a_message_that_nobody_acknowledges(own_rabbit.url) as lost_patience:
                await asyncio.wait_for(lost_patience.wait(), timeout=30)
        held_seconds = time.monotonic() - began
        gate.open()
        record = await world.until_status(run_id)
        asked = await world.calls(run_id)
        next_one = await world.until_status(await world.submit("by message"))

    assert held_seconds > 2 * CONSUMER_TIMEOUT_MS / 1000
    assert "the broker" not in worker.process.output()
    assert record.claims == 1
    expect_completed(record, expected_output())
    expect_paid_once(record, asked)
    assert claimed_after(next_one) < 0.7  # by its message: the consumer was never closed


@asynccontextmanager
async def a_message_that_nobody_acknowledges(url: str) -> AsyncIterator[asyncio.Event]:
    """Set when the broker has closed the channel of this consumer for it."""
    closed = asyncio.Event()

    async def keep(_message: AbstractIncomingMessage) -> None:
        """And never acknowledge it."""

    async with await aio_pika.connect(url, timeout=5) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        channel.close_callbacks.add(lambda *_: closed.set())
        await queue.consume(keep)
        await channel.default_exchange.publish(aio_pika.Message(b"x"), queue.name)
        yield closed
