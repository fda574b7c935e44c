"""Connections to the broker, plain ones, which fail at once when it is away and leave nothing half open; and what goes over them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import aio_pika
import aiormq
from aio_pika.abc import AbstractChannel, TimeoutType, UnderlayConnection
from aio_pika.connection import make_url
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aio_pika.tools import OneShotCallback

from shadowgraph.queue.port import QueueUnavailable
from shadowgraph.queue.topology import DispatchQueue, Topology

CONNECT_TIMEOUT_SECONDS = 4.0
CLOSE_TIMEOUT_SECONDS = 1.0
"""How long a broker that may be frozen is given to say goodbye."""
HEARTBEAT_SECONDS = 10
"""A connection without a sign of life for three of these is given up."""


class Connection(aio_pika.Connection):
    """Leaves nothing half open, whatever cuts `connect` or `leave` off.

    aio-pika's own `connect` forgets what it has built when it fails. The object then closes itself when it is collected, which cannot work
    where no event loop runs; and cut off just after the broker's answer, its socket stays open for as long as the process lives.
    """

    async def connect(self, timeout: TimeoutType = None) -> None:  # noqa: ASYNC109  as it is called there
        underlay = aiormq.Connection(self.url, **self.kwargs)
        try:
            async with asyncio.timeout(timeout):
                await underlay.connect()
                await underlay.ready()
        except BaseException:
            try:
                with contextlib.suppress(TimeoutError):
                    await underlay.close(timeout=CLOSE_TIMEOUT_SECONDS)
            finally:
                await self.close()
            raise
        on_close = OneShotCallback(self._on_connection_close)
        underlay.closing.add_done_callback(on_close)
        self.transport = UnderlayConnection(underlay, on_close)
        await self._on_connected()

    async def leave(self) -> None:
        """Says goodbye to a broker that may be away or frozen."""
        try:
            with contextlib.suppress(*CONNECTION_EXCEPTIONS):
                async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS):
                    await self.close()
        finally:
            await self.close()  # at once: only now is one closed whose goodbye was cut off


@dataclass(frozen=True, slots=True)
class Link:
    """A channel on a connection of its own."""

    connection: Connection
    channel: AbstractChannel

    @property
    def is_open(self) -> bool:
        return not self.channel.is_closed

    async def close(self) -> None:
        await self.connection.leave()


class Broker:
    """Where the broker is, and how its failures look to us."""

    def __init__(self, url: str) -> None:
        self._url = url
        parts = urlsplit(url)
        self.address = f"{parts.hostname}:{parts.port or 5672}"

    @contextmanager
    def failures_as_unavailable(self) -> Iterator[None]:
        try:
            yield
        except CONNECTION_EXCEPTIONS as error:
            reason = (str(error).splitlines() or [""])[0]
            raise QueueUnavailable(
                f"the broker at {self.address} failed: {type(error).__name__} {reason:.200}".rstrip()
            ) from error

    async def open_link(self, *, publisher_confirms: bool = True) -> Link:
        """Errors: `QueueUnavailable`."""
        with self.failures_as_unavailable():
            connection = Connection(make_url(self._url, heartbeat=HEARTBEAT_SECONDS))
            await connection.connect(timeout=CONNECT_TIMEOUT_SECONDS)
            channel = connection.channel(publisher_confirms=publisher_confirms, on_return_raises=publisher_confirms)
            link = Link(connection, channel)
            try:
                await channel.initialize(timeout=CONNECT_TIMEOUT_SECONDS)
            except BaseException:
                await link.close()
                raise
        return link

    @asynccontextmanager
    async def channel(self, *, publisher_confirms: bool = True) -> AsyncIterator[AbstractChannel]:
        """Failures inside the block, too, come out as `QueueUnavailable`."""
        link = await self.open_link(publisher_confirms=publisher_confirms)
        try:
            with self.failures_as_unavailable():
                yield link.channel
        finally:
            await link.close()


async def declare_dispatch(channel: AbstractChannel, topology: Topology, queue: DispatchQueue) -> None:
    declared = await channel.declare_queue(queue.name, durable=True, arguments=dict(queue.arguments))
    await declared.bind(topology.exchange, queue.routing_key)


def persistent(body: bytes, *, message_id: str | None) -> aio_pika.Message:
    return aio_pika.Message(
        body,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        content_type="application/json",
        message_id=message_id,
    )
