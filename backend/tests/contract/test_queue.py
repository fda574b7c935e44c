"""What every job queue promises, and what those that reach another process promise on top."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial

import aio_pika
import psycopg
import pytest

from shadowgraph.core.ids import new_run_id
from shadowgraph.queue.inprocess import InProcessBroadcast, InProcessQueue
from shadowgraph.queue.message import JobMessage
from shadowgraph.queue.port import JobHandler, JobQueue, QueueUnavailable
from shadowgraph.queue.postgres import PostgresQueue
from shadowgraph.queue.rabbitmq import PUBLISH_TIMEOUT_SECONDS, RabbitMqQueue
from shadowgraph.queue.renewals import SILENCES_BEFORE_RENEWAL
from shadowgraph.queue.topology import Topology
from tests.support.broker import TEST_POOL
from tests.support.proxy import TcpProxy, proxy_to
from tests.support.tasks import no_tasks_left
from tests.support.waiting import wait_until

OpenQueue = Callable[[], JobQueue]
"""Another process's end of the same queue."""

PROBE = "run_00000000-0000-0000-0000-000000000000"
FROZEN_TIMEOUT_SECONDS = 0.3


class Recorder:
    """A handler that remembers what it got, and may fail or wait first."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.probes = 0
        self.failing_id: str | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, message: JobMessage) -> None:
        if message.id == PROBE:
            self.probes += 1
            return
        self.ids.append(message.id)
        await self.gate.wait()
        if message.id == self.failing_id:
            raise RuntimeError("planted")


@asynccontextmanager
async def consuming(queue: JobQueue, handler: JobHandler, *pools: str) -> AsyncIterator[None]:
    consumer = asyncio.create_task(queue.consume(handler, pools=pools))
    try:
        yield
    finally:
        consumer.cancel()
        with suppress(asyncio.CancelledError):
            await consumer


@asynccontextmanager
async def recording(queue: JobQueue, *pools: str) -> AsyncIterator[Recorder]:
    """Of `TEST_POOL` unless others are named. Yields when the consumer is at work: a notification that nobody hears yet is lost, which is no fault."""
    served = pools or (TEST_POOL,)
    recorder = Recorder()
    async with consuming(queue, recorder, *served):
        for pool in served:
            await hear_probe(queue, recorder, pool=pool)
        yield recorder


async def hear_probe(queue: JobQueue, recorder: Recorder, *, pool: str = TEST_POOL) -> None:
    heard_before = recorder.probes

    async def probe() -> bool:
        with suppress(QueueUnavailable):
            await queue.publish(JobMessage(id=PROBE, why="probe"), message_id="0", pool=pool)
        return recorder.probes > heard_before

    await wait_until(probe, what="a consumer that hears")


async def publish_run(queue: JobQueue, *, pool: str | None = TEST_POOL) -> str:
    message = JobMessage(id=new_run_id(), why="created")
    await queue.publish(message, message_id=message.id, pool=pool)
    return message.id


def queue_factory(request: pytest.FixtureRequest, through: TcpProxy | None = None) -> OpenQueue:
    """Of the adapter that the fixture's parameter names."""

    def address(fixture: str) -> str:
        url = str(request.getfixturevalue(fixture))
        return through.url(url) if through else url

    if request.param == "rabbitmq":
        timeout = FROZEN_TIMEOUT_SECONDS if through else PUBLISH_TIMEOUT_SECONDS
        url, prefix = address("broker_url"), str(request.getfixturevalue("queue_prefix"))
        return lambda: RabbitMqQueue(url, prefix=prefix, publish_timeout_seconds=timeout)
    if request.param == "postgres":
        url, prefix = address("direct_postgresql_url"), f"test_{secrets.token_hex(6)}_"
        return lambda: PostgresQueue(url, prefix=prefix)
    shared = InProcessBroadcast() if request.param == "broadcast" else InProcessQueue()
    return lambda: shared


@asynccontextmanager
async def closing_all(open_queue: OpenQueue) -> AsyncIterator[OpenQueue]:
    opened: list[JobQueue] = []

    def open_and_remember() -> JobQueue:
        opened.append(open_queue())
        return opened[-1]

    async with no_tasks_left():
        yield open_and_remember
        for queue in opened:
            await queue.close()


@pytest.fixture(params=["inprocess", "broadcast", "rabbitmq", "postgres"])
async def open_queue(request: pytest.FixtureRequest) -> AsyncIterator[OpenQueue]:
    async with closing_all(queue_factory(request)) as opening:
        yield opening


@pytest.fixture
async def proxy(request: pytest.FixtureRequest) -> AsyncIterator[TcpProxy]:
    """In front of the server of the adapter under test."""
    fixture, port = ("direct_postgresql_url", 5432) if "postgres" in request.node.callspec.id else ("broker_url", 5672)
    async with proxy_to(str(request.getfixturevalue(fixture)), default_port=port) as opened:
        yield opened


@pytest.fixture(params=["rabbitmq", "postgres"])
async def open_remote_queue(request: pytest.FixtureRequest, proxy: TcpProxy) -> AsyncIterator[OpenQueue]:
    """Through the proxy, with a short time limit for publishing."""
    async with closing_all(queue_factory(request, proxy)) as opening:
        yield opening


class TestEveryQueue:
    async def test_published_message_reaches_a_consumer_as_it_was_sent(self, open_queue: OpenQueue) -> None:
        queue, received = open_queue(), list[JobMessage]()
        sent = JobMessage(id=new_run_id(), kind="pair", why="resumed")

        async def receive(message: JobMessage) -> None:
            received.append(message)

        async def send_until_received() -> bool:
            await queue.publish(sent, message_id="7", pool=TEST_POOL)
            return sent in received

        async with consuming(open_queue(), receive, TEST_POOL):
            await wait_until(send_until_received)

    async def test_failing_handler_does_not_stop_consumption(
        self, open_queue: OpenQueue, caplog: pytest.LogCaptureFixture
    ) -> None:
        queue = open_queue()

        async with recording(queue) as recorder:
            message = JobMessage(id=new_run_id(), why="created")
            recorder.failing_id = message.id
            await queue.publish(message, message_id="1", pool=TEST_POOL)
            following = await publish_run(queue)
            await wait_until(lambda: following in recorder.ids)

        assert recorder.ids == [message.id, following]
        assert f"the handler failed for {message.id}" in caplog.text

    async def test_consumer_handles_one_message_at_a_time(self, open_queue: OpenQueue) -> None:
        queue = open_queue()

        async with recording(queue) as recorder:
            recorder.gate.clear()
            first, second = await publish_run(queue), await publish_run(queue)
            await wait_until(lambda: recorder.ids)
            while_first_is_handled = list(recorder.ids)
            recorder.gate.set()
            await wait_until(lambda: len(recorder.ids) == 2)

        assert while_first_is_handled == [first]
        assert recorder.ids == [first, second]

    async def test_a_hundred_publishes_at_once_all_arrive(self, open_queue: OpenQueue) -> None:
        queue = open_queue()

        async with recording(queue) as recorder:
            sent = await asyncio.gather(*(publish_run(queue) for _ in range(100)))
            await wait_until(lambda: len(recorder.ids) >= 100)

        assert sorted(recorder.ids) == sorted(sent)

    async def test_message_of_a_pool_reaches_its_workers_and_no_others(self, open_queue: OpenQueue) -> None:
        queue = open_queue()

        async with recording(open_queue(), "left") as left, recording(open_queue(), "right") as right:
            to_left = [await publish_run(queue, pool="left") for _ in range(10)]
            to_right = [await publish_run(queue, pool="right") for _ in range(10)]
            await wait_until(lambda: len(left.ids) >= 10 and len(right.ids) >= 10)
            for recorder, pool in ((left, "left"), (right, "right")):
                await hear_probe(queue, recorder, pool=pool)

        assert (left.ids, right.ids) == (to_left, to_right)

    async def test_message_of_no_pool_reaches_a_worker_of_any(self, open_queue: OpenQueue) -> None:
        queue = open_queue()

        async with recording(open_queue(), "any") as recorder:
            sent = await publish_run(queue, pool=None)
            await wait_until(lambda: recorder.ids)

        assert recorder.ids == [sent]

    async def test_worker_of_several_pools_gets_what_belongs_to_each(self, open_queue: OpenQueue) -> None:
        queue = open_queue()

        async with recording(open_queue(), "left", "right") as recorder:
            sent = [await publish_run(queue, pool=pool) for pool in ("left", "right", None)]
            await wait_until(lambda: len(recorder.ids) == 3)

        assert sorted(recorder.ids) == sorted(sent)

    async def test_pool_may_have_the_name_of_any_folder_and_alike_names_are_not_the_same(
        self, open_queue: OpenQueue
    ) -> None:
        queue, names = open_queue(), ["größer & schöner", "größer  schöner", "amq.#.*", "x" * 250, "x" * 249, "X" * 250]

        async with AsyncExitStack() as stack:
            recorders = [await stack.enter_async_context(recording(open_queue(), name)) for name in names]
            sent = [await publish_run(queue, pool=name) for name in names]
            await wait_until(lambda: all(recorder.ids for recorder in recorders))
            for recorder, name in zip(recorders, names, strict=True):
                await hear_probe(queue, recorder, pool=name)

        assert [recorder.ids for recorder in recorders] == [[run_id] for run_id in sent]

    async def test_check_is_silent_while_the_queue_works(self, open_queue: OpenQueue) -> None:
        await open_queue().check()

    async def test_closed_queue_is_unavailable(self, open_queue: OpenQueue) -> None:
        queue = open_queue()
        await publish_run(queue)

        await queue.close()

        with pytest.raises(QueueUnavailable):
            await publish_run(queue)
        with pytest.raises(QueueUnavailable):
            await queue.check()


@pytest.mark.parametrize("open_queue", ["inprocess", "rabbitmq"], indirect=True)
async def test_message_of_a_pool_without_workers_waits_for_the_first(open_queue: OpenQueue) -> None:
    sent = await publish_run(open_queue(), pool="early")

    async with recording(open_queue(), "early") as recorder:
        await wait_until(lambda: recorder.ids)

    assert recorder.ids == [sent]


@pytest.mark.parametrize("open_queue", ["inprocess", "rabbitmq"], indirect=True)
async def test_each_message_reaches_exactly_one_of_two_consumers(open_queue: OpenQueue) -> None:
    queue = open_queue()

    async with recording(open_queue()) as first, recording(open_queue()) as second:
        sent = [await publish_run(queue) for _ in range(20)]
        await wait_until(lambda: len(first.ids) + len(second.ids) >= 20)
        await hear_probe(queue, first)

    assert sorted(first.ids + second.ids) == sorted(sent)


@pytest.mark.parametrize("open_queue", ["inprocess", "rabbitmq"], indirect=True)
async def test_busy_consumer_holds_no_message_that_a_free_one_could_take(open_queue: OpenQueue) -> None:
    queue = open_queue()

    async with recording(open_queue()) as busy:
        busy.gate.clear()
        await publish_run(queue)
        await wait_until(lambda: busy.ids)
        async with recording(open_queue()) as free:
            waiting = [await publish_run(queue) for _ in range(4)]
            await wait_until(lambda: len(free.ids) == 4)
        busy.gate.set()

    assert free.ids == waiting


@pytest.mark.parametrize("open_queue", ["broadcast", "postgres"], indirect=True)
async def test_each_message_reaches_every_consumer_of_its_pool(open_queue: OpenQueue) -> None:
    queue = open_queue()

    async with recording(open_queue()) as first, recording(open_queue()) as second:
        sent = await publish_run(queue)
        await wait_until(lambda: first.ids and second.ids)

    assert (first.ids, second.ids) == ([sent], [sent])


async def test_process_that_passes_jobs_on_overhears_those_of_all_pools() -> None:
    queue, heard = InProcessBroadcast(), list[tuple[str, str | None]]()
    listening = asyncio.create_task(queue.overhear(lambda message, pool: heard.append((message.id, pool))))
    await asyncio.sleep(0)

    sent = [(await publish_run(queue, pool=pool), pool) for pool in ("left", "right", None)]
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    await publish_run(queue)

    assert heard == sent


class TestQueueInAnotherProcess:
    async def test_publish_and_check_fail_at_once_while_the_port_is_closed(
        self, open_remote_queue: OpenQueue, proxy: TcpProxy
    ) -> None:
        queue = open_remote_queue()
        await proxy.shut()

        async with asyncio.timeout(2):
            with pytest.raises(QueueUnavailable):
                await publish_run(queue)
            with pytest.raises(QueueUnavailable):
                await queue.check()

    async def test_publishing_works_again_after_the_connection_was_cut(
        self, open_remote_queue: OpenQueue, proxy: TcpProxy
    ) -> None:
        queue = open_remote_queue()

        async with recording(queue) as recorder:
            await proxy.cut()
            await hear_probe(queue, recorder)
            sent = await publish_run(queue)
            await wait_until(lambda: sent in recorder.ids)

    async def test_consumer_comes_back_after_the_server_was_away(
        self, open_remote_queue: OpenQueue, proxy: TcpProxy, caplog: pytest.LogCaptureFixture
    ) -> None:
        queue = open_remote_queue()

        async with recording(queue) as recorder:
            connections = proxy.connections
            await proxy.shut()
            await wait_until(lambda: "trying again every" in caplog.text)
            await proxy.open()
            await hear_probe(queue, recorder)

        assert proxy.connections > connections

    async def test_error_names_the_address_and_no_password(
        self, open_remote_queue: OpenQueue, proxy: TcpProxy, broker_url: str
    ) -> None:
        await proxy.shut()

        with pytest.raises(QueueUnavailable) as unavailable:
            await publish_run(open_remote_queue())

        assert str(proxy.port) in unavailable.value.message
        assert "guest:guest" not in unavailable.value.message


async def is_connected(queue: JobQueue) -> bool:
    with suppress(QueueUnavailable):
        await queue.check()
        return True
    return False


@pytest.mark.parametrize("open_remote_queue", ["rabbitmq"], indirect=True)
class TestFrozenBroker:
    """Only the broker: a frozen PostgreSQL freezes the outbox and the claims, too, and the driver then waits 10 s for it to cancel."""

    async def test_many_publishes_at_once_fail_together_while_the_server_is_frozen(
        self, open_remote_queue: OpenQueue, proxy: TcpProxy
    ) -> None:
        queue = open_remote_queue()
        await publish_run(queue)
        proxy.freeze()

        async with asyncio.timeout(5):
            outcomes = await asyncio.gather(*(publish_run(queue) for _ in range(3)), return_exceptions=True)
        proxy.thaw()

        assert [type(outcome) for outcome in outcomes] == [QueueUnavailable] * 3

    async def test_publishing_works_again_after_the_server_was_frozen(
        self, open_remote_queue: OpenQueue, proxy: TcpProxy
    ) -> None:
        queue = open_remote_queue()
        await publish_run(queue)
        proxy.freeze()
        with pytest.raises(QueueUnavailable):
            await publish_run(queue)

        proxy.thaw()

        async with recording(queue) as recorder:
            sent = await publish_run(queue)
            await wait_until(lambda: sent in recorder.ids)

    async def test_queue_that_was_silent_with_its_broker_keeps_what_it_holds(
        self, open_remote_queue: OpenQueue, proxy: TcpProxy, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.INFO, "shadowgraph")
        queue = open_remote_queue()
        sent = await publish_run(queue)

        for _ in range(SILENCES_BEFORE_RENEWAL):
            await wait_until(partial(is_connected, queue))
            proxy.freeze()
            with pytest.raises(QueueUnavailable):
                await publish_run(queue)
            proxy.thaw()
        await wait_until(lambda: "answers again and is left as it is" in caplog.text)

        async with recording(queue) as recorder:
            assert sent in recorder.ids

    async def test_consumer_ends_when_cancelled_while_the_server_is_frozen(
        self, open_remote_queue: OpenQueue, proxy: TcpProxy
    ) -> None:
        async with asyncio.timeout(8), recording(open_remote_queue()):
            proxy.freeze()

        proxy.thaw()


async def has_gone(broker_url: str, queue: str) -> bool:
    try:
        async with raw_channel(broker_url) as channel:
            await channel.declare_queue(queue, passive=True)
    except aio_pika.exceptions.ChannelNotFoundEntity:
        return True
    return False


@asynccontextmanager
async def raw_channel(broker_url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    async with await aio_pika.connect(broker_url) as connection, connection.channel() as channel:
        yield channel


@pytest.mark.parametrize("open_queue", ["rabbitmq"], indirect=True)
class TestRabbitMq:
    @pytest.mark.parametrize(
        "body",
        [b"\xff\x00", b"{}", b'{"v": 2, "kind": "run", "id": "' + PROBE.encode() + b'", "why": "x"}', b"x" * 300_000],
        ids=["bytes", "empty", "other version", "huge"],
    )
    async def test_message_that_is_not_ours_goes_to_the_dead_queue(
        self, open_queue: OpenQueue, broker_url: str, queue_prefix: str, body: bytes
    ) -> None:
        queue, topology = open_queue(), Topology(queue_prefix)

        async with recording(queue) as recorder, raw_channel(broker_url) as channel:
            exchange = await channel.get_exchange(topology.exchange)
            await exchange.publish(aio_pika.Message(body), topology.dispatch_queue(TEST_POOL).routing_key)
            following = await publish_run(queue)
            await wait_until(lambda: following in recorder.ids)
            dead = await (await channel.get_queue(topology.dead_queue)).get(no_ack=True)

        assert dead is not None
        assert dead.body == body
        assert recorder.ids == [following]

    async def test_message_in_the_hands_of_a_lost_consumer_goes_to_another(
        self, open_queue: OpenQueue, broker_url: str, queue_prefix: str
    ) -> None:
        queue = open_queue()
        async with proxy_to(broker_url, default_port=5672) as proxy:
            lost = RabbitMqQueue(proxy.url(broker_url), prefix=queue_prefix)
            async with recording(lost) as before:
                before.gate.clear()
                sent = await publish_run(queue)
                await wait_until(lambda: before.ids)
                await proxy.shut()

                async with recording(queue) as after:
                    await wait_until(lambda: sent in after.ids)

            await lost.close()

        assert before.ids == [sent]

    async def test_message_whose_handler_failed_is_not_left_in_the_queue(
        self, open_queue: OpenQueue, broker_url: str, queue_prefix: str
    ) -> None:
        queue = open_queue()
        async with recording(queue) as recorder:
            failing = JobMessage(id=new_run_id(), why="created")
            recorder.failing_id = failing.id
            await queue.publish(failing, message_id="1", pool=TEST_POOL)
            await wait_until(lambda: recorder.ids)
            await hear_probe(queue, recorder)

        async with raw_channel(broker_url) as channel:
            left = await channel.get_queue(Topology(queue_prefix).dispatch_queue(TEST_POOL).name)
            while message := await left.get(fail=False, no_ack=True):
                assert JobMessage.from_bytes(message.body) != failing

    @pytest.mark.parametrize("pool", [TEST_POOL, None], ids=["of a pool", "common"])
    async def test_deleted_queue_is_declared_again_and_consumed(
        self,
        open_queue: OpenQueue,
        broker_url: str,
        queue_prefix: str,
        pool: str | None,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        queue = open_queue()

        async with recording(queue) as recorder, raw_channel(broker_url) as channel:
            await channel.queue_delete(Topology(queue_prefix).dispatch_queue(pool).name)
            await wait_until(lambda: "the consumer was ended" in caplog.text)
            await hear_probe(queue, recorder)
            sent = await publish_run(queue, pool=pool)
            await wait_until(lambda: sent in recorder.ids)

    @pytest.mark.parametrize("pool", [TEST_POOL, None], ids=["of a pool", "common"])
    async def test_queue_that_has_gone_is_declared_again_by_the_next_publish(
        self, open_queue: OpenQueue, broker_url: str, queue_prefix: str, pool: str | None
    ) -> None:
        queue = open_queue()
        await publish_run(queue, pool=pool)
        async with raw_channel(broker_url) as channel:
            await channel.queue_delete(Topology(queue_prefix).dispatch_queue(pool).name)

        sent = await asyncio.gather(*(publish_run(queue, pool=pool) for _ in range(10)))

        async with recording(open_queue()) as recorder:
            await wait_until(lambda: len(recorder.ids) == 10)
        assert sorted(recorder.ids) == sorted(sent)

    async def test_message_that_reaches_no_exchange_is_not_called_published(
        self, open_queue: OpenQueue, broker_url: str, queue_prefix: str
    ) -> None:
        queue = open_queue()
        await publish_run(queue)
        async with raw_channel(broker_url) as channel:
            await channel.exchange_delete(Topology(queue_prefix).exchange)

        with pytest.raises(QueueUnavailable):
            await publish_run(queue)

        await publish_run(queue)

    async def test_wrong_password_is_unavailable_not_a_crash(
        self, open_queue: OpenQueue, broker_url: str, queue_prefix: str
    ) -> None:
        address = broker_url.rpartition("@")[2]
        queue = RabbitMqQueue(f"amqp://nobody:wrong-secret@{address}", prefix=queue_prefix)

        with pytest.raises(QueueUnavailable) as unavailable:
            await queue.check()

        assert "wrong-secret" not in unavailable.value.message


async def test_queue_of_a_pool_goes_when_no_worker_has_used_it_for_its_time(broker_url: str, queue_prefix: str) -> None:
    queue = RabbitMqQueue(broker_url, prefix=queue_prefix, unused_queue_seconds=0.5)
    async with recording(queue) as recorder:
        await publish_run(queue, pool="dead")
        await wait_until(
            partial(has_gone, broker_url, Topology(queue_prefix).dispatch_queue("dead").name), timeout_seconds=30
        )

        late = await publish_run(queue, pool="dead")
        async with recording(queue, "dead") as awakened:
            await wait_until(lambda: awakened.ids)
        kept = await publish_run(queue)
        await wait_until(lambda: recorder.ids)
    await queue.close()

    assert (recorder.ids, awakened.ids) == ([kept], [late])


@pytest.mark.parametrize("open_queue", ["postgres"], indirect=True)
async def test_notification_that_is_not_ours_is_logged_and_skipped(
    open_queue: OpenQueue, direct_postgresql_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    queue = open_queue()
    assert isinstance(queue, PostgresQueue)

    async with recording(queue) as recorder:
        async with await psycopg.AsyncConnection.connect(direct_postgresql_url, autocommit=True) as connection:
            await connection.execute("SELECT pg_notify(%s, 'garbage')", (queue.channel_of(TEST_POOL),))
        following = await publish_run(queue)
        await wait_until(lambda: following in recorder.ids)

    assert recorder.ids == [following]
    assert "a notification that is not ours" in caplog.text
