import asyncio
import threading
import time
from contextvars import ContextVar

import pytest

from shadowgraph.worker.threads import NodeThreads

FAR_MORE_THAN_THE_LOOPS_OWN_THREADS = 100


def test_work_that_waits_for_other_work_never_fills_the_executor() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(NodeThreads())

        def waits_for_another_thread() -> int:
            return asyncio.run_coroutine_threadsafe(asyncio.to_thread(lambda: 1), loop).result(timeout=10)

        work = (asyncio.to_thread(waits_for_another_thread) for _ in range(FAR_MORE_THAN_THE_LOOPS_OWN_THREADS))
        return sum(await asyncio.gather(*work))

    assert asyncio.run(main()) == FAR_MORE_THAN_THE_LOOPS_OWN_THREADS


def test_a_thread_that_sleeps_does_not_hold_up_the_end_of_the_process() -> None:
    release = threading.Event()

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(NodeThreads())
        asyncio.get_running_loop().run_in_executor(None, release.wait, 10)

    before = time.monotonic()
    asyncio.run(main())
    took = time.monotonic() - before
    release.set()

    assert took < 5


async def test_what_the_work_raises_reaches_whoever_waits() -> None:
    def broken() -> None:
        raise SystemExit("even this")

    with pytest.raises(SystemExit):
        NodeThreads().submit(broken).result(timeout=5)


async def test_a_thread_knows_its_place_in_the_graph() -> None:
    asyncio.get_running_loop().set_default_executor(NodeThreads())
    place.set("node")

    assert await asyncio.get_running_loop().run_in_executor(None, place.get) == "node"


place: ContextVar[str] = ContextVar("place", default="nowhere")
