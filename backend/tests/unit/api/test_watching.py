import asyncio
from collections.abc import AsyncIterator

from shadowgraph.api.watching import RunWatch
from shadowgraph.queue.message import Wake
from tests.support.tasks import no_tasks_left

WAKE = Wake(run_id="run_x", seq=1)
A_MOMENT = 0.001
SECONDS = 5


async def _from(queue: asyncio.Queue[Wake]) -> AsyncIterator[Wake]:
    """Ends for good when somebody cancels it while it waits."""
    while True:
        yield await queue.get()


async def test_a_wake_up_that_comes_after_a_time_out_is_not_lost() -> None:
    queue: asyncio.Queue[Wake] = asyncio.Queue()
    watch = RunWatch(_from(queue), asyncio.Event())

    too_early = [await watch.next(A_MOMENT) for _ in range(3)]
    queue.put_nowait(WAKE)
    found = await watch.next(SECONDS)
    await watch.close()

    assert too_early == [None, None, None]
    assert found == WAKE


async def test_a_stop_ends_the_wait() -> None:
    stopping = asyncio.Event()
    watch = RunWatch(_from(asyncio.Queue()), stopping)
    waiting = asyncio.create_task(watch.next(60))

    stopping.set()
    found = await asyncio.wait_for(waiting, SECONDS)
    await watch.close()

    assert found is None
    assert watch.is_stopping


async def test_a_closed_watch_leaves_no_task_behind() -> None:
    async with no_tasks_left():
        watch = RunWatch(_from(asyncio.Queue()), asyncio.Event())
        await watch.next(A_MOMENT)

        await watch.close()
