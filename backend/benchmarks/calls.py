"""What a durable call costs beyond the model's own latency: journaled, reserved, settled, committed before its answer is used.

    python -m benchmarks.calls [--database sqlite|postgresql] [--rounds 5] [--calls 200]

The baseline is the same demo model, called bare from the same node in alternating blocks. Goals: p50 at most 2.4 ms on PostgreSQL, 1.5 ms on
SQLite. Every run below has a budget, so that each durable call reserves and settles.
"""

from argparse import ArgumentParser
from statistics import median
from typing import Any

from benchmarks.figures import cpu_seconds, latencies, report, spread
from benchmarks.server import Server, up

WIDTHS = (1, 50)


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), action="append")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=200, help="in each block")
    options = parser.parse_args()
    figures = {}
    for kind in options.database or ("sqlite", "postgresql"):
        with up(kind, "calls") as server:
            figures[kind] = {
                f"{width} at once": _measure(server, width, options.rounds, options.calls) for width in WIDTHS
            }
    report("calls", figures)


def _measure(server: Server, width: int, rounds: int, calls: int) -> dict[str, Any]:
    began = cpu_seconds(server.pid)
    state = {"rounds": rounds, "calls": calls, "side_by_side": width, "knobs": ""}
    found = server.run("calls", state)["result"]["output"]
    used = cpu_seconds(server.pid) - began
    pairs = zip(found["durable_wall_ms"], found["bare_wall_ms"], strict=True)
    return {
        "bare_ms": latencies(found["bare_ms"]),
        "durable_ms": latencies(found["durable_ms"]),
        "overhead_p50_ms": round(median(found["durable_ms"]) - median(found["bare_ms"]), 3),
        "overhead_per_call_of_a_block_ms": spread([(durable - bare) / calls for durable, bare in pairs]),
        "cpu_ms_per_pair_of_calls": round(used * 1000 / (calls * (rounds + 1)), 3),
    }


if __name__ == "__main__":
    main()
