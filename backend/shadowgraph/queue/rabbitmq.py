"""Jobs and wake-ups over RabbitMQ.

Plain connections that are made anew when they are lost, instead of aio-pika's robust ones: what happens after a loss stands here, and a
publish while the broker is away fails at once.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractExchange, AbstractIncomingMessage, AbstractQueue
from aio_pika.exceptions import PublishError
from pydantic import ValidationError

from shadowgraph.queue.amqp import CONNECT_TIMEOUT_SECONDS, Broker, Link, declare_dispatch, persistent
from shadowgraph.queue.delivery import Mailbox, hand_over
from shadowgraph.queue.inprocess import MAX_WAKES_PER_SUBSCRIBER, InProcessWakeups
from shadowgraph.queue.message import BadMessage, JobMessage, Wake
from shadowgraph.queue.port import JobHandler, QueueUnavailable
from shadowgraph.queue.renewals import Renewals
from shadowgraph.queue.topology import UNUSED_QUEUE_SECONDS, DispatchQueue, Topology

_Arrivals = asyncio.Queue[AbstractIncomingMessage | None]

log = logging.getLogger(__name__)

PUBLISH_TIMEOUT_SECONDS = 5.0
"""A frozen broker takes a message and never confirms it. Below the time after which PostgreSQL ends the relay's idle transaction."""
RECONNECT_SECONDS = 0.5
"""Between two tries to connect; publishes in between fail at once."""
CONSUME_TIMEOUT_SECONDS = 5.0
"""A queue that takes no consumer for so long counts as silent."""


class RabbitMqQueue:
    """Implements `JobQueue`: a queue for each pool, declared by whoever comes first, be it a publisher or a consumer."""

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "",
        publish_timeout_seconds: float = PUBLISH_TIMEOUT_SECONDS,
        unused_queue_seconds: float = UNUSED_QUEUE_SECONDS,
    ) -> None:
        self._broker = Broker(url)
        self._topology = Topology(prefix, unused_queue_seconds)
        self._publish_timeout = publish_timeout_seconds
        self._renewals = Renewals(self._broker, self._topology)
        self._publishing: _Publisher | None = None
        self._opening = asyncio.Lock()
        self._retry_at = 0.0
        self._is_closed = False

    async def publish(self, message: JobMessage, *, message_id: str, pool: str | None) -> None:
        outgoing = persistent(message.to_bytes(), message_id=message_id)
        queue = self._topology.dispatch_queue(pool)
        self._renewals.require_none_of(queue)
        async with self._publisher() as publisher:
            try:
                async with asyncio.timeout(self._publish_timeout):
                    await publisher.send(outgoing, queue)
            except TimeoutError:
                if publisher.is_first_silence_of(queue):
                    self._renewals.note_silence(queue)
                raise
        self._renewals.note_answer(queue)

    async def consume(self, handler: JobHandler, *, pools: Collection[str]) -> None:
        queues = [self._topology.dispatch_queue(pool) for pool in (*sorted(pools), None)]
        is_away = False
        while True:
            try:
                async with self._broker.channel() as channel:
                    await _declare_jobs(channel, self._topology, queues)
                    arrived = await self._start_consuming(channel, queues)
                    is_away = _log_return(is_away)
                    while message := await arrived.get():
                        await self._take(message, handler, channel)
                    raise ConnectionError("the consumer was ended")
            except QueueUnavailable as error:
                is_away = _log_loss(error, is_away)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def check(self) -> None:
        async with self._publisher() as publisher, asyncio.timeout(self._publish_timeout):
            await publisher.link.channel.get_queue(self._topology.dispatch_queue(None).name)

    async def close(self) -> None:
        self._is_closed = True
        await self._renewals.close()
        async with self._opening:
            if self._publishing is not None:
                await self._publishing.link.close()

    @asynccontextmanager
    async def _publisher(self) -> AsyncIterator["_Publisher"]:
        """All publishes share one. After a failure it is given up, so that the next publish declares everything again."""
        publisher = await self._require_publisher()
        try:
            with self._broker.failures_as_unavailable():
                yield publisher
        except QueueUnavailable:
            if self._publishing is publisher:
                self._publishing = None
                await publisher.link.close()
            raise

    async def _require_publisher(self) -> "_Publisher":
        """While the broker is away one caller waits for a connection, and those behind it fail with it."""
        async with self._opening:
            if self._publishing is not None and self._publishing.link.is_open:
                return self._publishing
            now = asyncio.get_running_loop().time
            if self._is_closed or now() < self._retry_at:
                raise QueueUnavailable(f"there is no connection to the broker at {self._broker.address}")
            try:
                self._publishing = await self._open_publisher()
            except QueueUnavailable:
                self._retry_at = now() + RECONNECT_SECONDS
                raise
            return self._publishing

    async def _open_publisher(self) -> "_Publisher":
        link = await self._broker.open_link()
        try:
            with self._broker.failures_as_unavailable():
                async with asyncio.timeout(CONNECT_TIMEOUT_SECONDS):
                    await _declare_jobs(link.channel, self._topology, [self._topology.dispatch_queue(None)])
        except BaseException:
            await link.close()
            raise
        return _Publisher(link, self._topology)

    async def _start_consuming(self, channel: AbstractChannel, queues: Iterable[DispatchQueue]) -> _Arrivals:
        await channel.set_qos(prefetch_count=1)  # of each queue: quorum queues know no limit over all of a channel
        arrived = await _await_arrivals(channel)
        for queue in queues:
            try:
                async with asyncio.timeout(CONSUME_TIMEOUT_SECONDS):
                    await (await channel.get_queue(queue.name, ensure=False)).consume(arrived.put)
            except TimeoutError:
                self._renewals.note_silence(queue)
                raise
            self._renewals.note_answer(queue)
        return arrived

    async def _take(self, message: AbstractIncomingMessage, handler: JobHandler, channel: AbstractChannel) -> None:
        """Always acknowledged, never sent back: a message that comes back at once would come back a thousand times a second."""
        try:
            job = JobMessage.from_bytes(message.body)
        except BadMessage as error:
            await self._bury(message, error, channel)
        else:
            await hand_over(job, handler)
        await message.ack()

    async def _bury(self, message: AbstractIncomingMessage, error: BadMessage, channel: AbstractChannel) -> None:
        """Confirmed before the message is acknowledged. The broker's own dead-lettering would bring expired messages of good runs, too."""
        log.error("a message that is not ours goes to %s: %s", self._topology.dead_queue, error.message)
        copy = persistent(message.body, message_id=message.message_id)
        copy.headers["x-shadowgraph-error"] = error.message[:200]
        await channel.default_exchange.publish(
            copy, self._topology.dead_queue, mandatory=True, timeout=self._publish_timeout
        )


class _Publisher:
    """A connection on which hints go out, and what is known to stand at the broker since it was opened."""

    def __init__(self, link: Link, topology: Topology) -> None:
        self.link = link
        self._topology = topology
        self._declaring = asyncio.Lock()
        self._declared = {topology.dispatch_queue(None).name}
        self._silent: set[str] = set()

    def is_first_silence_of(self, queue: DispatchQueue) -> bool:
        """What goes out at the same time goes unconfirmed together, and counts as one."""
        if queue.name in self._silent:
            return False
        self._silent.add(queue.name)
        return True

    async def send(self, outgoing: aio_pika.Message, queue: DispatchQueue) -> None:
        """Confirmed. A queue that the broker has deleted meanwhile, because nobody used it, is declared once more."""
        try:
            await self._send(outgoing, queue)
        except PublishError:
            self._declared.discard(queue.name)
            await self._send(outgoing, queue)

    async def _send(self, outgoing: aio_pika.Message, queue: DispatchQueue) -> None:
        async with self._declaring:
            if queue.name not in self._declared:
                await declare_dispatch(self.link.channel, self._topology, queue)
                self._declared.add(queue.name)
        exchange = await self.link.channel.get_exchange(self._topology.exchange, ensure=False)
        await exchange.publish(outgoing, queue.routing_key, mandatory=True)


class RabbitMqWakeups:
    """Implements `Wakeups`: one fanout exchange, one queue per process that vanishes with its connection."""

    def __init__(self, url: str, *, prefix: str = "", capacity: int = MAX_WAKES_PER_SUBSCRIBER) -> None:
        self._broker = Broker(url)
        self._topology = Topology(prefix)
        self._outgoing: Mailbox[Wake] = Mailbox(capacity)
        self._incoming = InProcessWakeups(capacity=capacity)
        self._exchanging: asyncio.Task[None] | None = None

    async def publish(self, wake: Wake) -> None:
        self._start_exchanging()
        self._outgoing.put(wake)

    def subscribe(self, run_id: str | None = None) -> AbstractAsyncContextManager[AsyncIterator[Wake]]:
        self._start_exchanging()
        return self._incoming.subscribe(run_id)

    async def close(self) -> None:
        if self._exchanging is not None:
            self._exchanging.cancel()
            await asyncio.gather(self._exchanging, return_exceptions=True)

    def _start_exchanging(self) -> None:
        if self._exchanging is None:
            self._exchanging = asyncio.create_task(self._exchange_for_ever(), name="rabbitmq wake-ups")

    async def _exchange_for_ever(self) -> None:
        is_away = False
        while True:
            try:
                async with self._broker.channel(publisher_confirms=False) as channel:
                    exchange, queue = await _declare_wakes(channel, self._topology)
                    is_away = _log_return(is_away)
                    await self._exchange_over(channel, exchange, queue)
            except QueueUnavailable as error:
                is_away = _log_loss(error, is_away)
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _exchange_over(self, channel: AbstractChannel, exchange: AbstractExchange, queue: AbstractQueue) -> None:
        arrived = await _await_arrivals(channel)
        await queue.consume(arrived.put, no_ack=True)
        sending = asyncio.create_task(self._send_all(exchange))
        sending.add_done_callback(lambda _: arrived.put_nowait(None))  # either direction that fails ends both
        try:
            while message := await arrived.get():
                self._deliver(message.body)
            raise ConnectionError("the consumer was ended")
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send_all(self, exchange: AbstractExchange) -> None:
        while True:
            wake = await self._outgoing.get()
            await exchange.publish(aio_pika.Message(wake.model_dump_json(exclude_none=True).encode()), "")

    def _deliver(self, body: bytes) -> None:
        try:
            self._incoming.deliver(Wake.model_validate_json(body))
        except ValidationError:
            log.debug("a wake-up that is not ours was ignored")


async def _declare_jobs(channel: AbstractChannel, topology: Topology, queues: Iterable[DispatchQueue]) -> None:
    await channel.declare_exchange(topology.exchange, aio_pika.ExchangeType.DIRECT, durable=True)
    await channel.declare_queue(topology.dead_queue, durable=True, arguments=dict(topology.dead_queue_arguments))
    for queue in queues:
        await declare_dispatch(channel, topology, queue)


async def _declare_wakes(channel: AbstractChannel, topology: Topology) -> tuple[AbstractExchange, AbstractQueue]:
    exchange = await channel.declare_exchange(topology.wake_exchange, aio_pika.ExchangeType.FANOUT, durable=True)
    queue = await channel.declare_queue(
        exclusive=True, auto_delete=True, arguments={"x-max-length": MAX_WAKES_PER_SUBSCRIBER}
    )
    await queue.bind(exchange)
    return exchange, queue


async def _await_arrivals(channel: AbstractChannel) -> _Arrivals:
    """None comes when the channel is lost, or when the broker cancels a consumer because somebody deleted its queue.

    A queue that is deleted and at once declared again ends its consumer without a word; then the workers live on their poll.
    """
    arrived: _Arrivals = asyncio.Queue()
    transport = await channel.get_underlay_channel()
    transport.on_consumer_cancel_callbacks.add(lambda _frame: arrived.put_nowait(None))
    channel.close_callbacks.add(lambda *_: arrived.put_nowait(None))
    return arrived


def _log_loss(error: QueueUnavailable, was_away: bool) -> bool:
    """One line when it goes, one when it comes back; the new value of `is_away`."""
    if not was_away:
        log.warning("%s; trying again every %s s", error.message, RECONNECT_SECONDS)
    return True


def _log_return(was_away: bool) -> bool:
    if was_away:
        log.info("the broker is back")
    return False
