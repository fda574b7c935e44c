"""Many runs that wait for slow calls at the same time: how much later than ideal the last ones end, and how much memory each takes.

    python -m benchmarks.inflight [--kind postgresql|distributed] [--runs 500] [--seconds 1]

Ideal is the five calls of a run, one after the other, from its first node on. Goals: p99 at most 1.15 times ideal; at most 200 kB a run.
"""

import asyncio
from argparse import ArgumentParser, Namespace
from typing import Any

import httpx

from benchmarks.figures import latencies, percentile, report, resident_bytes
from benchmarks.latency import WORKFLOW, watch_run
from benchmarks.server import Server, up

CALLS = 5


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=("postgresql", "distributed"), default="distributed")
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=1, help="of each call")
    options = parser.parse_args()
    with up(options.kind, WORKFLOW, WORKER_SLOTS=str(options.runs), MAX_QUEUED_RUNS="1000000") as server:
        report("inflight", vars(options) | asyncio.run(_measure(server, options)))


async def _measure(server: Server, options: Namespace) -> dict[str, Any]:
    limits = httpx.Limits(max_connections=options.runs * 2)
    worker = list(server.pids.values())[-1]
    async with httpx.AsyncClient(base_url=server.http.base_url, timeout=300, limits=limits) as http:
        await asyncio.gather(*(watch_run(http) for _ in range(10)))
        before, most = resident_bytes(worker), 0
        runs = [asyncio.create_task(watch_run(http, seconds=options.seconds)) for _ in range(options.runs)]
        while not all(run.done() for run in runs):
            most = max(most, resident_bytes(worker))
            await asyncio.sleep(0.1)
        found = [run.result() for run in runs]
    ideal = CALLS * options.seconds * 1000
    took = [run.completed_ms - run.first_node_ms for run in found]
    return {
        "ideal_ms": ideal,
        "from_first_node_ms": latencies(took),
        "p99_against_ideal": round(percentile(took, 0.99) / ideal, 2),
        "worker_kb_per_run": round((most - before) / options.runs / 1000, 1),
    }


if __name__ == "__main__":
    main()
