"""How long one run alone takes: POST to the first node, and to COMPLETED, as a reader of its events sees it.

    python -m benchmarks.idle [--kind sqlite|postgresql|distributed] [--runs 200]

The baseline is `GET /healthz` over the same connection, in turns. Goals: p50 at most 10 and 30 ms, p99 at most 25 and 60 ms; embedded at most 30 ms.
"""

import asyncio
from argparse import ArgumentParser
from time import perf_counter
from typing import Any

import httpx

from benchmarks.figures import latencies, report
from benchmarks.latency import watch_run
from benchmarks.server import Server, up
from benchmarks.workload import WORKFLOW

WARM = 10


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=("sqlite", "postgresql", "distributed"), action="append")
    parser.add_argument("--runs", type=int, default=200)
    options = parser.parse_args()
    figures = {}
    for kind in options.kind or ("sqlite", "distributed"):
        with up(kind, WORKFLOW) as server:
            figures[kind] = asyncio.run(_measure(server, options.runs))
    report("idle", {"runs": options.runs, **figures})


async def _measure(server: Server, runs: int) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=server.http.base_url, timeout=60) as http:
        for _ in range(WARM):
            await watch_run(http)
        before, bare, watched = server.cpu_seconds(), [], []
        for _ in range(runs):
            bare.append(await _answered(http))
            watched.append(await watch_run(http))
        used = {name: (spent - before[name]) * 1000 / runs for name, spent in server.cpu_seconds().items()}
    return {
        "bare_get_ms": latencies(bare),
        "posted_ms": latencies([run.posted_ms for run in watched]),
        "first_node_ms": latencies([run.first_node_ms for run in watched]),
        "completed_ms": latencies([run.completed_ms for run in watched]),
        "cpu_ms_per_run": {name: round(spent, 1) for name, spent in used.items()},
    }


async def _answered(http: httpx.AsyncClient) -> float:
    began = perf_counter()
    (await http.get("/healthz")).raise_for_status()
    return (perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
