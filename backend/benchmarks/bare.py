"""The baseline of `benchmarks.runs`, in a process of its own: the five-node graph with LangGraph's own saver, durability "sync".

    python -m benchmarks.bare DATABASE_URL RUNS IN_FLIGHT stock|own [SECONDS]

`stock`: one AsyncPostgresSaver with one lock for all. `own`: one saver per run over a pool. Prints wall and CPU seconds as JSON and waits for a line.
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from time import perf_counter, process_time
from typing import Any

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from benchmarks.projects.five.graph import graph


async def main(url: str, runs: int, in_flight: int, kind: str, seconds: float = 0) -> None:
    async with AsyncExitStack() as stack:
        pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
            url,
            min_size=4,
            max_size=16,
            open=False,
            kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
        )
        await stack.enter_async_context(pool)
        shared = AsyncPostgresSaver(pool)
        await shared.setup()
        compiled = graph.compile(checkpointer=shared)

        async def drive(n: int) -> None:
            one = compiled if kind == "stock" else graph.compile(checkpointer=AsyncPostgresSaver(pool))
            await one.ainvoke({"seconds": seconds}, {"configurable": {"thread_id": f"thread-{n}"}}, durability="sync")

        await _all(in_flight, range(-in_flight, 0), drive)  # warm
        wall, cpu = perf_counter(), process_time()
        await _all(in_flight, range(runs), drive)
        print(json.dumps({"wall_s": perf_counter() - wall, "cpu_s": process_time() - cpu}), flush=True)
        await asyncio.to_thread(sys.stdin.readline)  # the connections stay until they have been looked at


async def _all(in_flight: int, numbers: range, drive: Any) -> None:
    slots = asyncio.Semaphore(in_flight)

    async def one(n: int) -> None:
        async with slots:
            await drive(n)

    await asyncio.gather(*(one(n) for n in numbers))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], *map(float, sys.argv[5:])))
