"""What more workers give: CPU per run, and throughput of runs that mostly wait, against one worker in the same round.

    python -m benchmarks.scale [--workers 1 2 4] [--rounds 3] [--runs 512] [--seconds 0.4] [--slots 64]

`--seconds 0` measures CPU alone: two cores cannot hold two busy workers. Goals of two against one: CPU at most 1.15 times, throughput of
waiting runs at least 1.8 times. Where throughput stops growing while PostgreSQL's share grows is the knee.
"""

import asyncio
from argparse import ArgumentParser, Namespace
from typing import Any

from benchmarks.figures import report, spread
from benchmarks.latency import WORKFLOW
from benchmarks.runs import measure_ours, submit
from benchmarks.server import up

WARM_RUNS = 20


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=512)
    parser.add_argument("--seconds", type=float, default=0.4, help="of each of the five calls")
    parser.add_argument("--slots", type=int, default=64, help="of each worker")
    options = parser.parse_args()
    rounds = [{count: _measure(count, options) for count in options.workers} for _ in range(options.rounds)]
    report("scale", vars(options) | _figures(rounds, options.workers))


def _measure(workers: int, options: Namespace) -> dict[str, float]:
    slots = str(options.slots)
    with up("distributed", WORKFLOW, workers=workers, WORKER_SLOTS=slots, MAX_QUEUED_RUNS="1000000") as server:
        asyncio.run(submit(server, WARM_RUNS, 0))
        return measure_ours(server, runs=options.runs, seconds=options.seconds)


def _figures(rounds: list[dict[int, dict[str, float]]], workers: list[int]) -> dict[str, Any]:
    first = workers[0]
    return {
        f"{count} workers": {
            "runs_per_s": spread([found[count]["runs_per_s"] for found in rounds], digits=1),
            "cpu_ms": spread([found[count]["cpu_ms"] for found in rounds], digits=1),
            "postgresql_ms": spread([found[count]["postgresql_ms"] for found in rounds], digits=1),
            "throughput_ratio": spread(
                [found[count]["runs_per_s"] / found[first]["runs_per_s"] for found in rounds], digits=2
            ),
            "cpu_ratio": spread([found[count]["cpu_ms"] / found[first]["cpu_ms"] for found in rounds], digits=2),
        }
        for count in workers
    }


if __name__ == "__main__":
    main()
