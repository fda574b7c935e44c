"""Waiting that a cancellation always ends."""

import asyncio
import contextlib
from collections.abc import Collection
from typing import Any


async def wait_at_most(event: asyncio.Event, seconds: float) -> None:
    """Until the event is set or the time is up, whichever comes first.

    Not `asyncio.wait_for`: before Python 3.12 it loses a cancellation that comes with the event, and a loop that was told to end goes on.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()


async def end_tasks(tasks: Collection[asyncio.Future[Any]], *, patience_seconds: float = 5.0) -> None:
    """Cancels them and waits until they have ended, however they do.

    Asked again and again: a library that waits with `asyncio.wait_for` loses a cancellation as it is told above.
    """
    unfinished = set(tasks)
    while unfinished:
        for task in unfinished:
            task.cancel()
        _, unfinished = await asyncio.wait(unfinished, timeout=patience_seconds)
    await asyncio.gather(*tasks, return_exceptions=True)  # what they raised is seen, and does not matter
