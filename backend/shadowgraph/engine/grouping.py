"""Group commit: what waits while one transaction is under way goes along in the next one. Nothing waits for company."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Waiting(Generic[T]):
    item: T
    is_done: "asyncio.Future[bool]"


class Group(Generic[T]):
    """Belongs to one event loop."""

    def __init__(
        self,
        commit: Callable[[Sequence[T]], Awaitable[bool]],
        *,
        most: int,
        belongs_to: Callable[[T], Hashable],
    ) -> None:
        """`commit`: True when all were committed together. `most`: so many in one transaction. `belongs_to`: of two that belong together
        the second one waits for the transaction after the first one's."""
        self._commit = commit
        self._most = most
        self._belongs_to = belongs_to
        self._waiting: deque[_Waiting[T]] = deque()
        self._flushing: asyncio.Task[None] | None = None

    async def join(self, item: T) -> bool:
        """False: it has to go alone, because something was wrong with the transaction that it was in. Cancelled before it is taken along,
        it never is."""
        waiting = _Waiting(item, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._flushing is None:
            self._begin()
        return await waiting.is_done

    def _begin(self) -> None:
        # In a context of its own: it outlives whoever came first.
        self._flushing = asyncio.create_task(self._flush(), context=Context())

    async def _flush(self) -> None:
        try:
            while self._waiting:
                await self._commit_some(self._take())
        finally:
            self._flushing = None
            if any(not waiting.is_done.done() for waiting in self._waiting):
                self._begin()

    async def _commit_some(self, taken: Sequence[_Waiting[T]]) -> None:
        try:
            together = bool(taken) and await self._commit([waiting.item for waiting in taken])
        except BaseException:
            for waiting in taken:
                waiting.is_done.cancel()
            raise
        for waiting in taken:
            if not waiting.is_done.done():
                waiting.is_done.set_result(together)

    def _take(self) -> list[_Waiting[T]]:
        taken: dict[Hashable, _Waiting[T]] = {}
        left: deque[_Waiting[T]] = deque()
        while self._waiting and len(taken) < self._most:
            waiting = self._waiting.popleft()
            if waiting.is_done.done():
                continue
            if taken.setdefault(self._belongs_to(waiting.item), waiting) is not waiting:
                left.append(waiting)
        self._waiting.extendleft(reversed(left))
        return list(taken.values())
