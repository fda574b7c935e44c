"""How long POST /runs takes while the workers have more to do than they can: an open loop, latency from the moment at which each was due.

    python -m benchmarks.submit [--kind postgresql|distributed] [--per-second 50] [--posts 2000] [--backlog 500]

The baseline is the same loop on the idle server before. Goal: p99 at most 25 ms; 50 is a defect.
"""

import asyncio
from argparse import ArgumentParser, Namespace
from typing import Any

import httpx

from benchmarks.figures import latencies, report
from benchmarks.latency import at_rate, post_run
from benchmarks.server import Server, up
from benchmarks.workload import WORKFLOW

IDLE_POSTS = 60
IDLE_PER_SECOND = 5.0
"""So few that the worker keeps up with them."""


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=("postgresql", "distributed"), default="distributed")
    parser.add_argument("--per-second", type=float, default=50)
    parser.add_argument("--posts", type=int, default=2000)
    parser.add_argument("--backlog", type=int, default=500, help="runs that are queued before")
    options = parser.parse_args()
    with up(options.kind, WORKFLOW, WORKER_SLOTS="64", MAX_QUEUED_RUNS="1000000") as server:
        report("submit", vars(options) | asyncio.run(_measure(server, options)))


async def _measure(server: Server, options: Namespace) -> dict[str, Any]:
    async with httpx.AsyncClient(base_url=server.http.base_url, timeout=120) as http:
        idle = await at_rate(http, per_second=IDLE_PER_SECOND, count=min(IDLE_POSTS, options.posts))
        for _ in range(options.backlog):
            await post_run(http, 0)
        before = server.cpu_seconds()
        busy = await at_rate(http, per_second=options.per_second, count=options.posts)
        used = {name: (spent - before.get(name, 0)) for name, spent in server.cpu_seconds().items()}
    seconds = options.posts / options.per_second
    return {
        "idle_ms": latencies(idle),
        "busy_ms": latencies(busy),
        "cores_used": {name: round(spent / seconds, 2) for name, spent in used.items()},
    }


if __name__ == "__main__":
    main()
