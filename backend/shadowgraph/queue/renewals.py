"""Queues that answer nothing although the broker is well, and what is done about them.

RabbitMQ 3.10, killed within half a second after a quorum queue was first declared, finds no leader for it when it starts again: it takes
messages for this queue, and consumers, and answers neither. Deleted and declared once more the queue works. What is lost are hints.
"""

import asyncio
import logging
from collections import Counter

from shadowgraph.queue.amqp import Broker, declare_dispatch
from shadowgraph.queue.port import QueueUnavailable
from shadowgraph.queue.topology import DispatchQueue, Topology

log = logging.getLogger(__name__)

SILENCES_BEFORE_RENEWAL = 2
"""On so many connections in a row a queue confirmed nothing, or took no consumer, in time: then it is looked into."""
LOOK_TIMEOUT_SECONDS = 3.0
"""A healthy queue needs milliseconds to say what it holds. Below the 5 s after which RabbitMQ itself gives up on one."""
RENEWAL_TIMEOUT_SECONDS = 20.0
"""RabbitMQ 3.10 looks for the leader of a queue for 5 s before it deletes one that has none."""


class Renewals:
    """Counts silences, and declares a queue anew that goes on in silence."""

    def __init__(self, broker: Broker, topology: Topology) -> None:
        self._broker = broker
        self._topology = topology
        self._silences: Counter[str] = Counter()
        self._under_way: dict[str, asyncio.Task[None]] = {}

    def require_none_of(self, queue: DispatchQueue) -> None:
        """Errors: `QueueUnavailable` while it is looked into."""
        if queue.name in self._under_way:
            raise QueueUnavailable(f"queue {queue.name} answers nothing and is looked into")

    def note_answer(self, queue: DispatchQueue) -> None:
        del self._silences[queue.name]

    def note_silence(self, queue: DispatchQueue) -> None:
        """On one more connection in a row. Nobody waits for what follows: a publisher holds a transaction open."""
        self._silences[queue.name] += 1
        if self._silences[queue.name] >= SILENCES_BEFORE_RENEWAL and queue.name not in self._under_way:
            task = asyncio.create_task(self._look_into(queue), name=f"renewal of {queue.name}")
            self._under_way[queue.name] = task
            task.add_done_callback(lambda _: self._under_way.pop(queue.name))

    async def close(self) -> None:
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _look_into(self, queue: DispatchQueue) -> None:
        self.note_answer(queue)
        try:
            if await self._answers(queue):
                log.info("queue %s answers again and is left as it is", queue.name)
            else:
                await self._renew(queue)
        except QueueUnavailable as error:
            log.info("queue %s could not be looked into: %s", queue.name, error.message)

    async def _answers(self, queue: DispatchQueue) -> bool:
        """Whether it says what it holds, as it also does while the broker takes no messages because it is out of memory or disk.

        What it hands out goes back when this connection is closed.
        """
        async with self._broker.channel() as channel:
            asked = await channel.get_queue(queue.name, ensure=False)
            try:
                async with asyncio.timeout(LOOK_TIMEOUT_SECONDS):
                    await asked.get(fail=False)
            except TimeoutError:
                return False
        return True

    async def _renew(self, queue: DispatchQueue) -> None:
        log.warning("queue %s answers nothing and is declared anew; what it held starts by the poll", queue.name)
        async with self._broker.channel() as channel, asyncio.timeout(RENEWAL_TIMEOUT_SECONDS):
            await channel.queue_delete(queue.name)
            await declare_dispatch(channel, self._topology, queue)
