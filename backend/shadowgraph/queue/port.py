"""The two ways in which processes reach each other. Neither carries anything that may not be lost."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from shadowgraph.core.errors import Unavailable
from shadowgraph.queue.message import JobMessage, Wake


class QueueUnavailable(Unavailable):
    """The broker did not take or confirm it; the outbox keeps the row and the relay tries again."""

    code = "queue_unavailable"


JobHandler = Callable[[JobMessage], Awaitable[None]]
"""Called with one message at a time. It is acknowledged when the handler returns, and also when it raises (the row is the truth)."""


class JobQueue(Protocol):
    """Hints for workers, each delivered to one (some adapters: to all) of those that serve its pool, and to nobody else.

    They wait for a while when no worker of the pool consumes, except where an adapter says that they are dropped.
    """

    async def publish(self, message: JobMessage, *, message_id: str, pool: str | None) -> None:
        """Returns when the broker has taken it.

        `message_id`: another one for each message under way; what comes back is told apart by it. `pool` None: nobody knows which, so
        any worker may get it.

        Errors: `QueueUnavailable`.
        """
        ...

    async def consume(self, handler: JobHandler, *, pools: Collection[str]) -> None:
        """Feeds the handler with what belongs to these pools or to none, until cancelled; reconnects by itself.

        Of each pool at most one message waits for a busy handler. Messages that are not ours go to the dead queue.
        """
        ...

    async def check(self) -> None:
        """Errors: `QueueUnavailable` with what is wrong."""
        ...

    async def close(self) -> None: ...


class Wakeups(Protocol):
    """Small news for every process; readers also poll once a second, so a lost one costs a second."""

    async def publish(self, wake: Wake) -> None:
        """Never raises and never waits for a broker that is away."""
        ...

    def subscribe(self, run_id: str | None = None) -> AbstractAsyncContextManager[AsyncIterator[Wake]]:
        """All that is published while the block is open, of one run or of all. A slow reader loses the oldest, not the newest."""
        ...

    async def close(self) -> None: ...
