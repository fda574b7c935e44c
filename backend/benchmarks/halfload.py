"""How long a run takes from its POST to its end at half of the load that the server can bear, against the idle server before.

    python -m benchmarks.halfload [--kind postgresql|distributed] [--runs 200] [--idle 40]

The most it can bear is measured first, in the same server: a hundred submitters. Then an open loop at half of that rate, latency from the
moment at which each POST was due. Goal: p50 at most 2 times idle.
"""

import asyncio
from argparse import ArgumentParser, Namespace
from time import perf_counter
from typing import Any

import httpx

from benchmarks.figures import latencies, percentile, report
from benchmarks.latency import watch_run
from benchmarks.runs import WARM_RUNS, measure_ours, submit
from benchmarks.server import Server, up
from benchmarks.workload import WORKFLOW


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=("postgresql", "distributed"), default="distributed")
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--idle", type=int, default=40, help="runs on the idle server")
    options = parser.parse_args()
    with up(options.kind, WORKFLOW, WORKER_SLOTS="64", MAX_QUEUED_RUNS="1000000") as server:
        asyncio.run(submit(server, WARM_RUNS, [0.0]))
        report("halfload", vars(options) | _measure(server, options))


def _measure(server: Server, options: Namespace) -> dict[str, Any]:
    idle = asyncio.run(_one_by_one(server, options.idle))
    most = measure_ours(server, runs=options.runs, seconds=[0.0])["runs_per_s"]
    half = asyncio.run(_at_rate(server, per_second=most / 2, count=options.runs))
    return {
        "most_runs_per_s": round(most, 1),
        "idle_ms": latencies(idle),
        "half_ms": latencies(half),
        "p50_against_idle": round(percentile(half, 0.5) / percentile(idle, 0.5), 2),
    }


async def _one_by_one(server: Server, count: int) -> list[float]:
    async with httpx.AsyncClient(base_url=server.http.base_url, timeout=60) as http:
        return [(await watch_run(http)).completed_ms for _ in range(count)]


async def _at_rate(server: Server, *, per_second: float, count: int) -> list[float]:
    """An open loop: a run that is late makes none after it later."""
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=server.http.base_url, timeout=120, limits=limits) as http:
        began = perf_counter()

        async def one(n: int) -> float:
            due = began + n / per_second
            await asyncio.sleep(max(0.0, due - perf_counter()))
            return (await watch_run(http, due=due)).completed_ms

        return list(await asyncio.gather(*(one(n) for n in range(count))))


if __name__ == "__main__":
    main()
