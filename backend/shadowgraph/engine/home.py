"""Journals that may be used from any event loop. A sync node may run a loop of its own; the run's locks and connections live in the worker's."""

import asyncio
from collections.abc import Coroutine
from datetime import datetime
from typing import Any, TypeVar

from shadowgraph.core.calls import AnswerJournal, CallId, ForeignCall, ToolJournal, ToolRecord, ToolStart

T = TypeVar("T")


async def at_home(loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, T]) -> T:
    """Does the work in `loop`, from whichever one this is."""
    if asyncio.get_running_loop() is loop:
        return await work
    return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, loop))


class HomeToolJournal:
    """Implements `core.calls.ToolJournal`."""

    def __init__(self, journal: ToolJournal, loop: asyncio.AbstractEventLoop) -> None:
        self._journal = journal
        self._loop = loop

    async def find(self, call: CallId) -> ToolRecord:
        return await at_home(self._loop, self._journal.find(call))

    async def start(self, call: CallId, start: ToolStart) -> None:
        await at_home(self._loop, self._journal.start(call, start))

    async def finish(self, call: CallId, start: ToolStart, *, result: bytes, at: datetime) -> None:
        await at_home(self._loop, self._journal.finish(call, start, result=result, at=at))

    async def fail(self, call: CallId, start: ToolStart, *, error: str, at: datetime) -> None:
        await at_home(self._loop, self._journal.fail(call, start, error=error, at=at))

    async def give_up(self, call: CallId, start: ToolStart, *, error: str, at: datetime) -> None:
        await at_home(self._loop, self._journal.give_up(call, start, error=error, at=at))


class HomeAnswerJournal:
    """Implements `core.calls.AnswerJournal`."""

    def __init__(self, journal: AnswerJournal, loop: asyncio.AbstractEventLoop) -> None:
        self._journal = journal
        self._loop = loop

    async def find(self, call: CallId) -> bytes | None:
        return await at_home(self._loop, self._journal.find(call))

    async def start(self, call: CallId, *, agent: str) -> ForeignCall:
        return await at_home(self._loop, self._journal.start(call, agent=agent))

    async def finish(self, call: CallId, *, answer: bytes) -> None:
        await at_home(self._loop, self._journal.finish(call, answer=answer))

    async def reject(self, call: CallId) -> None:
        await at_home(self._loop, self._journal.reject(call))
