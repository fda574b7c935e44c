"""Waiting for news of a run: wake-ups, with a poll as fallback, until the server stops."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from shadowgraph.api.services import ApiServices
from shadowgraph.queue.message import Wake
from shadowgraph.runs.repository import require_run
from shadowgraph.runs.run import Run
from shadowgraph.runs.states import ENDED, WAITS_FOR_A_PERSON

SETTLED = ENDED | WAITS_FOR_A_PERSON
"""It ended, or nothing goes on without a person: whoever waits gets an answer."""


class RunWatch:
    """The wake-ups of one run while a block is open."""

    def __init__(self, wakes: AsyncIterator[Wake], stopping: asyncio.Event) -> None:
        self._wakes = wakes
        self._stopping = stopping
        self._stop_signal = asyncio.ensure_future(stopping.wait())
        self._next_wake: asyncio.Task[Wake] | None = None

    @property
    def is_stopping(self) -> bool:
        return self._stopping.is_set()

    async def next(self, seconds: float) -> Wake | None:
        """None: nothing came in that time, or the server is about to stop."""
        if self._next_wake is None:
            self._next_wake = asyncio.ensure_future(self._receive())
        # The task outlives a time-out: cancelling it could lose the wake-up that it has just taken.
        await asyncio.wait({self._next_wake, self._stop_signal}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not self._next_wake.done():
            return None
        task, self._next_wake = self._next_wake, None
        return task.result()

    async def close(self) -> None:
        for task in (self._stop_signal, self._next_wake):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _receive(self) -> Wake:
        return await anext(self._wakes)


@asynccontextmanager
async def watch_run(services: ApiServices, run_id: str) -> AsyncIterator[RunWatch]:
    async with services.wakeups.subscribe(run_id) as wakes:
        watch = RunWatch(wakes, services.stopping)
        try:
            yield watch
        finally:
            await watch.close()


async def wait_until_settled(
    services: ApiServices, run_id: str, *, seconds: float, is_gone: Callable[[], Awaitable[bool]]
) -> Run:
    """The run as it is when it settled, the time was up, the client left or the server stops; whichever comes first."""
    clock = services.clock
    deadline = clock.monotonic() + seconds
    async with watch_run(services, run_id) as watch:
        while True:
            async with services.database.read() as connection:
                run = await require_run(connection, run_id)
            left = deadline - clock.monotonic()
            if run.status in SETTLED or left <= 0 or watch.is_stopping or await is_gone():
                return run
            await _wait_for_change(watch, min(left, services.stream_times.poll_seconds), services)


async def _wait_for_change(watch: RunWatch, seconds: float, services: ApiServices) -> None:
    """Live text is no change."""
    deadline = services.clock.monotonic() + seconds
    while (left := deadline - services.clock.monotonic()) > 0:
        wake = await watch.next(left)
        if wake is None or wake.live is None:
            return
