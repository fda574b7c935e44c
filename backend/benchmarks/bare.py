"""The baseline of `benchmarks.runs`, in a process of its own: the five-node graph with LangGraph's own saver, durability "sync".

    python -m benchmarks.bare DATABASE RUNS IN_FLIGHT stock|own|sqlite SECONDS [SECONDS]

`stock`: one AsyncPostgresSaver with one lock for all. `own`: one saver per run over a pool. `sqlite`: AsyncSqliteSaver on a file. Prints wall
and CPU seconds as JSON and waits for a line.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import perf_counter, process_time
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from benchmarks.projects.five.graph import graph
from benchmarks.workload import seconds_of

SaverOfRun = Callable[[], BaseCheckpointSaver[str]]


async def main(database: str, runs: int, in_flight: int, kind: str, bounds: list[float]) -> None:
    async with _savers(database, kind) as saver_of_run:
        compiled = graph.compile(checkpointer=saver_of_run())

        async def drive(n: int) -> None:
            one = graph.compile(checkpointer=saver_of_run()) if kind == "own" else compiled
            await one.ainvoke(
                {"seconds": seconds_of(n, bounds)}, {"configurable": {"thread_id": f"thread-{n}"}}, durability="sync"
            )

        await _all(in_flight, range(-in_flight, 0), drive)  # warm
        wall, cpu = perf_counter(), process_time()
        await _all(in_flight, range(runs), drive)
        print(json.dumps({"wall_s": perf_counter() - wall, "cpu_s": process_time() - cpu}), flush=True)
        await asyncio.to_thread(sys.stdin.readline)  # the connections stay until they have been looked at


@asynccontextmanager
async def _savers(database: str, kind: str) -> AsyncIterator[SaverOfRun]:
    if kind == "sqlite":
        async with AsyncSqliteSaver.from_conn_string(database) as saver:
            await saver.setup()
            await saver.conn.execute("PRAGMA synchronous=FULL")
            yield lambda: saver
        return
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        database,
        min_size=4,
        max_size=16,
        open=False,
        kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
    )
    async with pool:
        await AsyncPostgresSaver(pool).setup()
        yield lambda: AsyncPostgresSaver(pool)


async def _all(in_flight: int, numbers: range, drive: Any) -> None:
    slots = asyncio.Semaphore(in_flight)

    async def one(n: int) -> None:
        async with slots:
            await drive(n)

    await asyncio.gather(*(one(n) for n in numbers))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], [*map(float, sys.argv[5:])]))
