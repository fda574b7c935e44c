"""Nothing that a test started may go on after it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.support.waiting import wait_until


@asynccontextmanager
async def no_tasks_left() -> AsyncIterator[None]:
    """Errors: `AssertionError` when tasks that began inside the block outlive it by more than a moment."""
    before = asyncio.all_tasks()
    yield

    def left() -> set[asyncio.Task[object]]:
        return asyncio.all_tasks() - before - {asyncio.current_task()}

    await wait_until(lambda: not left(), timeout_seconds=2, what=f"the end of {left()}")
