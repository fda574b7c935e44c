"""Queue and wake-ups inside one process: for the embedded deployment and for tests."""

import asyncio
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from itertools import count

from shadowgraph.queue.delivery import Mailbox, hand_over
from shadowgraph.queue.message import JobMessage, Wake
from shadowgraph.queue.port import JobHandler, QueueUnavailable

MAX_MESSAGES = 100_000
"""Of one pool. More are forgotten, oldest first, as at the broker; the poll finds their rows."""
MAX_WAKES_PER_SUBSCRIBER = 1_000
"""A reader that is this far behind loses the oldest and learns the rest from the tables."""


Overhear = Callable[[JobMessage, str | None], None]
"""Called with a message and its pool."""


class InProcessQueue:
    """Implements `JobQueue`."""

    def __init__(self, *, capacity: int = MAX_MESSAGES) -> None:
        self._messages = _Shelf(capacity)
        self._is_closed = False

    async def publish(self, message: JobMessage, *, message_id: str, pool: str | None) -> None:
        await self.check()
        self._messages.put(message, pool)

    async def consume(self, handler: JobHandler, *, pools: Collection[str]) -> None:
        served = frozenset({None, *pools})
        while True:
            await hand_over(await self._messages.get(served), handler)

    async def check(self) -> None:
        if self._is_closed:
            raise QueueUnavailable("the queue of this process is closed")

    async def close(self) -> None:
        self._is_closed = True


class _Shelf:
    """Messages by pool, and consumers that wait for those of some pools; who has waited longest is woken first."""

    def __init__(self, capacity: int) -> None:
        self._boxes: defaultdict[str | None, deque[tuple[int, JobMessage]]] = defaultdict(
            lambda: deque(maxlen=capacity)
        )
        self._numbers = count()
        self._idle: dict[asyncio.Future[None], Collection[str | None]] = {}

    def put(self, message: JobMessage, pool: str | None) -> None:
        self._boxes[pool].append((next(self._numbers), message))
        self._wake_one(pool)

    async def get(self, served: Collection[str | None]) -> JobMessage:
        """The oldest of these pools. A read that is cancelled loses nothing."""
        while not (filled := [self._boxes[pool] for pool in served if self._boxes.get(pool)]):
            await self._wait(served)
        _, message = min(filled, key=lambda box: box[0][0]).popleft()
        return message

    async def _wait(self, served: Collection[str | None]) -> None:
        arrival = asyncio.get_running_loop().create_future()
        self._idle[arrival] = served
        try:
            await arrival
        except asyncio.CancelledError:
            for pool in served:
                if self._boxes.get(pool):
                    self._wake_one(pool)  # this reader may have been woken for it
            raise
        finally:
            del self._idle[arrival]

    def _wake_one(self, pool: str | None) -> None:
        for arrival, served in self._idle.items():
            if pool in served and not arrival.done():
                arrival.set_result(None)
                return


class InProcessBroadcast:
    """Implements `JobQueue` where worker processes hang on this one: every consumer of the pool gets it, and the claim decides.

    What nobody consumes is dropped.
    """

    def __init__(self, *, capacity: int = MAX_MESSAGES) -> None:
        self._capacity = capacity
        self._consumers: dict[Mailbox[JobMessage], Collection[str]] = {}
        """With the pools that each serves."""
        self._listeners: set[Overhear] = set()
        self._is_closed = False

    async def publish(self, message: JobMessage, *, message_id: str, pool: str | None) -> None:
        await self.check()
        self.deliver(message, pool=pool)

    def deliver(self, message: JobMessage, *, pool: str | None) -> None:
        for mailbox, served in self._consumers.items():
            if pool is None or pool in served:
                mailbox.put(message)
        for tell in self._listeners:
            tell(message, pool)

    async def consume(self, handler: JobHandler, *, pools: Collection[str]) -> None:
        mailbox: Mailbox[JobMessage] = Mailbox(self._capacity)
        self._consumers[mailbox] = frozenset(pools)
        try:
            while True:
                await hand_over(await mailbox.get(), handler)
        finally:
            del self._consumers[mailbox]

    async def overhear(self, tell: Overhear) -> None:
        """All messages of all pools, until cancelled: for a process that passes them on."""
        self._listeners.add(tell)
        try:
            await asyncio.Event().wait()
        finally:
            self._listeners.discard(tell)

    async def check(self) -> None:
        if self._is_closed:
            raise QueueUnavailable("the queue of this process is closed")

    async def close(self) -> None:
        self._is_closed = True


class InProcessWakeups:
    """Implements `Wakeups`."""

    def __init__(self, *, capacity: int = MAX_WAKES_PER_SUBSCRIBER) -> None:
        self._capacity = capacity
        self._subscribers: defaultdict[str | None, set[Mailbox[Wake]]] = defaultdict(set)

    async def publish(self, wake: Wake) -> None:
        self.deliver(wake)

    def deliver(self, wake: Wake) -> None:
        for mailbox in (*self._subscribers.get(wake.run_id, ()), *self._subscribers.get(None, ())):
            mailbox.put(wake)

    @asynccontextmanager
    async def subscribe(self, run_id: str | None = None) -> AsyncIterator[AsyncIterator[Wake]]:
        mailbox: Mailbox[Wake] = Mailbox(self._capacity)
        self._subscribers[run_id].add(mailbox)
        try:
            yield mailbox
        finally:
            self._subscribers[run_id].discard(mailbox)
            if not self._subscribers[run_id]:
                del self._subscribers[run_id]

    async def close(self) -> None:
        """Nothing is held open."""
