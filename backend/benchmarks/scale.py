"""What more workers give: CPU per run, and throughput of runs that mostly wait, against one worker in the same round.

    python -m benchmarks.scale [--workers 1 2 4] [--rounds 3] [--runs 512] [--busy-runs 200] [--seconds 0.4] [--slots 64]

Each number of workers has two blocks: runs that never wait, for their CPU alone (two cores cannot hold two busy workers), and runs whose five
calls take so long. Goals of two against one: CPU at most 1.15 times, throughput of waiting runs at least 1.8 times. Where throughput stops
growing while PostgreSQL's share grows is the knee.
"""

import asyncio
from argparse import ArgumentParser, Namespace
from typing import Any

from benchmarks.figures import report, spread
from benchmarks.runs import WARM_RUNS, measure_ours, submit
from benchmarks.server import up
from benchmarks.workload import WORKFLOW

Blocks = dict[str, dict[str, float]]


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=512, help="that wait")
    parser.add_argument("--busy-runs", type=int, default=200, help="that never wait")
    parser.add_argument("--seconds", type=float, default=0.4, help="of each of the five calls")
    parser.add_argument("--slots", type=int, default=64, help="of each worker")
    options = parser.parse_args()
    rounds = [{count: _measure(count, options) for count in options.workers} for _ in range(options.rounds)]
    report("scale", vars(options) | _figures(rounds, options.workers))


def _measure(workers: int, options: Namespace) -> Blocks:
    slots = str(options.slots)
    with up("distributed", WORKFLOW, workers=workers, WORKER_SLOTS=slots, MAX_QUEUED_RUNS="1000000") as server:
        asyncio.run(submit(server, WARM_RUNS, [0.0]))
        return {
            "busy": measure_ours(server, runs=options.busy_runs, seconds=[0.0]),
            "waiting": measure_ours(server, runs=options.runs, seconds=[options.seconds]),
        }


def _figures(rounds: list[dict[int, Blocks]], workers: list[int]) -> dict[str, Any]:
    return {f"{count} workers": _of_count(rounds, count, workers[0]) for count in workers}


def _of_count(rounds: list[dict[int, Blocks]], count: int, first: int) -> dict[str, Any]:
    def ratio(block: str, name: str) -> dict[str, float]:
        return spread([found[count][block][name] / found[first][block][name] for found in rounds], digits=2)

    figures: dict[str, Any] = {
        f"{block} {name}": spread([found[count][block][name] for found in rounds], digits=1)
        for block in ("busy", "waiting")
        for name in ("runs_per_s", "cpu_ms", "postgresql_ms")
    }
    return figures | {"cpu_ratio": ratio("busy", "cpu_ms"), "throughput_ratio": ratio("waiting", "runs_per_s")}


if __name__ == "__main__":
    main()
