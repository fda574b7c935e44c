"""Many runs that wait for slow calls at the same time: how much later than ideal the last ones end, and how much memory each takes.

    python -m benchmarks.inflight [--runs 500] [--seconds 1]

The runs are accepted while the worker stands still; the clock starts when it goes on. Ideal is the five calls of a run, one after the other.
The baseline is the same graph with LangGraph's stock saver, so many in flight, in the same command. Goals: p99 at most 1.15 times ideal; at
most 200 kB a run.
"""

import asyncio
import os
import signal
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep, time
from typing import Any

import httpx
import psycopg

from benchmarks.figures import latencies, percentile, report, resident_bytes
from benchmarks.latency import post_run
from benchmarks.runs import run_bare, submit
from benchmarks.server import Server, database, up
from benchmarks.workload import WORKFLOW

CALLS = 5
POSTERS = 20
WARM_RUNS = 20
END_SECONDS = 180


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--seconds", type=float, default=1, help="of each call")
    options = parser.parse_args()
    slots = str(options.runs)
    with up("distributed", WORKFLOW, WORKER_SLOTS=slots, MAX_QUEUED_RUNS="1000000") as server:
        asyncio.run(submit(server, WARM_RUNS, [0.0]))
        ours = _measure(server, options)
    report("inflight", vars(options) | ours | {"bare_wall_against_ideal": _bare(options)})


def _bare(options: Namespace) -> float:
    with TemporaryDirectory() as folder, database("postgresql", Path(folder)) as url:
        found, *_ = run_bare(url, "stock", options.runs, options.runs, [options.seconds])
    ideal: float = CALLS * options.seconds
    return round(found["wall_s"] / ideal, 2)


def _measure(server: Server, options: Namespace) -> dict[str, Any]:
    worker = server.pids["worker 1"]
    before = resident_bytes(worker)
    os.kill(worker, signal.SIGSTOP)
    try:
        asyncio.run(_post_all(server, options.runs, options.seconds))
    finally:
        os.kill(worker, signal.SIGCONT)
    resumed = time()
    took_ms, most = _watch(server, worker, resumed, options.runs)
    ideal = CALLS * options.seconds * 1000
    return {
        "ideal_ms": ideal,
        "from_resume_ms": latencies(took_ms),
        "p99_against_ideal": round(percentile(took_ms, 0.99) / ideal, 2),
        "worker_kb_per_run": round((most - before) / options.runs / 1000, 1),
    }


async def _post_all(server: Server, runs: int, seconds: float) -> None:
    numbers = iter(range(runs))
    async with httpx.AsyncClient(base_url=server.http.base_url, timeout=60) as http:

        async def post_some() -> None:
            for _ in numbers:
                await post_run(http, seconds)

        await asyncio.gather(*(post_some() for _ in range(POSTERS)))


def _watch(server: Server, worker: int, resumed: float, runs: int) -> tuple[Sequence[float], int]:
    """When each run ended, in milliseconds since the worker went on; the most memory that the worker took."""
    most, ends_at = 0, monotonic() + END_SECONDS
    with psycopg.connect(server.database_url, autocommit=True) as connection:
        while monotonic() < ends_at:
            most = max(most, resident_bytes(worker))
            found = connection.execute(
                "SELECT extract(epoch FROM finished_at) FROM runs WHERE status = 'COMPLETED' AND finished_at > to_timestamp(%s)",
                [resumed],
            ).fetchall()
            if len(found) >= runs:
                return [(float(at) - resumed) * 1000 for (at,) in found], most
            sleep(0.1)
    raise RuntimeError(f"{len(found)} of {runs} runs ended within {END_SECONDS} s")


if __name__ == "__main__":
    main()
