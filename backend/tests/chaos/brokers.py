"""A broker as another program sees it: puts messages in, counts what lies there, listens to what passes."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

from shadowgraph.queue.message import JobMessage
from shadowgraph.queue.topology import DispatchQueue, Topology
from tests.chaos.world import FAULTS
from tests.support.processes import BACKEND


@dataclass(frozen=True, slots=True)
class Broker:
    url: str
    prefix: str
    pool: str
    """Of the runs that are submitted."""

    @property
    def topology(self) -> Topology:
        return Topology(self.prefix)

    @property
    def dispatch_queues(self) -> tuple[DispatchQueue, DispatchQueue]:
        """Of the pool, and the common one."""
        return self.topology.dispatch_queue(self.pool), self.topology.dispatch_queue(None)

    @asynccontextmanager
    async def channel(self) -> AsyncIterator[AbstractChannel]:
        async with await aio_pika.connect(self.url, timeout=5) as connection, connection.channel() as channel:
            yield channel

    async def publish(self, *bodies: bytes) -> None:
        """To the pool's workers; confirmed, each of them."""
        queue, _ = self.dispatch_queues
        async with self.channel() as channel:
            exchange = await channel.get_exchange(self.topology.exchange)
            for body in bodies:
                await exchange.publish(aio_pika.Message(body), queue.routing_key, mandatory=True)

    async def waiting(self) -> int:
        """Messages that no worker has taken yet. (One that a worker holds unacknowledged is not among them.)"""
        return sum([await self._count(queue.name) for queue in self.dispatch_queues])

    async def dead(self) -> int:
        return await self._count(self.topology.dead_queue)

    async def purge(self) -> int:
        """Loses all messages that wait; how many."""
        async with self.channel() as channel:
            queues = [await channel.get_queue(queue.name) for queue in self.dispatch_queues]
            return sum([(await queue.purge()).message_count or 0 for queue in queues])

    async def _count(self, name: str) -> int:
        async with self.channel() as channel:
            queue = await channel.declare_queue(name, passive=True)
            return queue.declaration_result.message_count or 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[Counter[str]]:
        """How often each run is named in a message, from now on. The workers get theirs all the same."""
        named: Counter[str] = Counter()

        async def note(message: AbstractIncomingMessage) -> None:
            named[json.loads(message.body)["id"]] += 1

        async with self.channel() as channel:
            exchange = await channel.declare_exchange(
                self.topology.exchange, aio_pika.ExchangeType.DIRECT, durable=True
            )
            queue = await channel.declare_queue(exclusive=True)
            for dispatched in self.dispatch_queues:
                await queue.bind(exchange, dispatched.routing_key)
            await queue.consume(note, no_ack=True)
            yield named


def pool_of_faults() -> str:
    """As a worker that loads the project finds it: in another process, because loading a project changes the one that does it."""
    found = subprocess.run([sys.executable, "-c", _POOL, str(FAULTS)], cwd=BACKEND, check=True, capture_output=True)
    return found.stdout.decode().strip()


_POOL = """
import sys
from pathlib import Path
from shadowgraph.engine.projects import load_project
from shadowgraph.engine.snapshots import take_snapshot
from shadowgraph.versioning.digests import code_digest_of

snapshot = take_snapshot(load_project(Path(sys.argv[1])), "faults").snapshot
print(code_digest_of(snapshot.manifest.facets))
"""


def hint(run_id: str) -> bytes:
    return JobMessage(id=run_id, why="created").to_bytes()
