import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from shadowgraph.core.waiting import end_tasks, wait_at_most


async def wait_again_and_again(event: asyncio.Event) -> None:
    while True:
        await wait_at_most(event, 60)
        event.clear()


@pytest.mark.parametrize("turns", range(5))
async def test_a_cancellation_that_comes_with_the_event_is_not_lost(turns: int) -> None:
    """`turns` of the event loop later: the news of the event is at another place on its way each time."""
    event = asyncio.Event()
    waiting = asyncio.create_task(wait_again_and_again(event))
    for _ in range(5):
        await asyncio.sleep(0)

    event.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting], timeout=1)

    assert waiting.cancelled()


async def test_waiting_ends_when_the_time_is_up() -> None:
    event = asyncio.Event()

    await wait_at_most(event, 0.001)

    assert not event.is_set()


async def test_waiting_ends_with_the_event() -> None:
    event = asyncio.Event()
    asyncio.get_running_loop().call_soon(event.set)

    await wait_at_most(event, 60)

    assert event.is_set()


async def lose_one_cancellation(began: asyncio.Event) -> None:
    try:
        began.set()
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.Event().wait()


async def fail(began: asyncio.Event) -> None:
    began.set()
    raise ValueError("it had ended already")


@pytest.mark.parametrize("work", [lose_one_cancellation, fail])
async def test_tasks_are_ended_however_they_take_it(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    began = asyncio.Event()
    task = asyncio.create_task(work(began))
    await began.wait()

    await end_tasks([task], patience_seconds=0.001)

    assert task.done()
    assert task.cancelled() or isinstance(task.exception(), ValueError)


async def test_there_may_be_nothing_to_end() -> None:
    await end_tasks([])
