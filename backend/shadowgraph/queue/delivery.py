"""What the adapters share: a bounded box that forgets the oldest, and calling a handler that may fail."""

import asyncio
import logging
from collections import deque
from typing import Generic, TypeVar

from shadowgraph.queue.message import JobMessage
from shadowgraph.queue.port import JobHandler

log = logging.getLogger(__name__)

T = TypeVar("T")


class Mailbox(Generic[T]):
    """A bounded queue between tasks of one loop. Putting never waits: when it is full the oldest item is dropped.

    Iterating reads for ever; a read may be cancelled (a time limit) without losing an item.
    """

    def __init__(self, capacity: int) -> None:
        self._items: deque[T] = deque(maxlen=capacity)
        self._waiting: deque[asyncio.Future[None]] = deque()

    def put(self, item: T) -> None:
        self._items.append(item)
        self._wake_one()

    async def get(self) -> T:
        while not self._items:
            await self._wait()
        return self._items.popleft()

    def __aiter__(self) -> "Mailbox[T]":
        return self

    async def __anext__(self) -> T:
        return await self.get()

    async def _wait(self) -> None:
        arrival = asyncio.get_running_loop().create_future()
        self._waiting.append(arrival)
        try:
            await arrival
        except asyncio.CancelledError:
            if arrival in self._waiting:
                self._waiting.remove(arrival)
            elif self._items:
                self._wake_one()  # this reader was woken but leaves: another one must take the item
            raise

    def _wake_one(self) -> None:
        while self._waiting:
            arrival = self._waiting.popleft()
            if not arrival.done():
                arrival.set_result(None)
                return


async def hand_over(message: JobMessage, handler: JobHandler) -> None:
    """A failing handler stops nobody: the row is the truth, and the poll or the sweeper comes back to it."""
    try:
        await handler(message)
    except Exception:
        log.exception("the handler failed for %s (%s)", message.id, message.why)
