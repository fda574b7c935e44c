"""The whole table of goals: every benchmark in turn, the whole turn as often as `--turns` says; one JSON file, and a Markdown table.

    python -m benchmarks.table --out figures.json [--turns 3] [--minutes 25] [--size full|smoke] [--only NAME …]

A turn has one block of each benchmark with its baseline, so blocks of the same kind lie minutes apart and no single disturbance meets them
all. A benchmark that fails or runs out of its time leaves a gap that says so, and the others go on; then the exit code is 1. The JSON file is
written anew after every block. What does not fit into the minutes is left out. `smoke` shows only that everything works: its figures mean
nothing.
"""

import json
import os
import signal
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any, Literal

Size = Literal["full", "smoke"]
Turn = dict[str, Any]
"""By block: what its benchmark reported, or {"error": …}."""
STOP_SECONDS = 60
"""A benchmark that is out of time is asked to clean up behind itself, and waited for so long."""


@dataclass(frozen=True, slots=True)
class Block:
    """One command of a turn."""

    full: str
    smoke: str
    limit_seconds: int
    is_once: bool = False
    """It has rounds of its own, and belongs to the first turn only: seeding it takes longer than measuring."""

    def arguments(self, size: Size) -> list[str]:
        return (self.full if size == "full" else self.smoke).split()


_RUNS = "runs --rounds 1 --kind distributed"
BLOCKS: Mapping[str, Block] = {
    "saturated 64": Block(f"{_RUNS} --runs 240", f"{_RUNS} --runs 20 --in-flight 8", 90),
    "saturated 256": Block(f"{_RUNS} --runs 320 --in-flight 256", f"{_RUNS} --runs 20 --in-flight 16", 120),
    "third": Block(
        f"{_RUNS} --runs 240 --seconds 0.02 0.2", f"{_RUNS} --runs 16 --in-flight 8 --seconds 0.01 0.02", 90
    ),
    "alone": Block(f"{_RUNS} --runs 40 --in-flight 1", f"{_RUNS} --runs 4 --in-flight 1", 60),
    "embedded": Block(
        "runs --rounds 1 --kind sqlite --runs 150", "runs --rounds 1 --kind sqlite --runs 10 --in-flight 4", 90
    ),
    "calls": Block("calls --rounds 3 --calls 100", "calls --rounds 1 --calls 50", 90),
    "idle": Block("idle --runs 60", "idle --runs 4", 60),
    "halfload": Block("halfload --runs 150 --idle 30", "halfload --runs 12 --idle 4", 90),
    "submit": Block("submit --posts 700 --backlog 300", "submit --posts 20 --backlog 10 --per-second 10", 120),
    "streams": Block(
        "streams --rounds 1 --database postgresql", "streams --rounds 1 --streams 4 --database postgresql", 60
    ),
    "inflight": Block("inflight --runs 500 --seconds 1", "inflight --runs 8 --seconds 0.1", 90),
    "scale": Block(
        "scale --workers 1 2 --rounds 1 --runs 256 --busy-runs 150",
        "scale --workers 1 2 --rounds 1 --runs 8 --busy-runs 8 --seconds 0.05 --slots 4",
        120,
    ),
    "startup": Block("startup --rounds 1", "startup --rounds 1", 60),
    "growth": Block("growth --rounds 3", "growth --rounds 1 --stored 2000 --runs 6 --shape-runs 2", 600, is_once=True),
    "ledger": Block("ledger", "ledger --attempts 5000 --rounds 2", 240, is_once=True),
}


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the table: where its number stands in a block's report."""

    figure: str
    goal: str
    block: str
    path: str
    """Keys, separated by `/`."""


ROWS: Sequence[Row] = (
    Row("saturated, 64 in flight: CPU per five-node run against the base", "<= 0.65 ×", "saturated 64", "cpu_ms against bare stock"),
    Row("… CPU ms per run, all processes", "", "saturated 64", "shadowgraph/cpu_ms"),
    Row("… the base's", "", "saturated 64", "bare stock/cpu_ms"),
    Row("saturated, 256 in flight: CPU against the base", "<= 0.65 ×", "saturated 256", "cpu_ms against bare stock"),
    Row("runs/s, 100 submitters, 64 in flight, against the base", ">= 2 ×", "saturated 64", "runs_per_s against bare stock"),
    Row("… runs/s", "", "saturated 64", "shadowgraph/runs_per_s"),
    Row("calls of 20–200 ms, 64 in flight: CPU against the base", "<= 1.0 ×", "third", "cpu_ms against bare stock"),
    Row("one run alone: CPU against the base", "<= 2 ×", "alone", "cpu_ms against bare stock"),
    Row("PostgreSQL saturated: CPU ms per run", "<= 2.5", "saturated 64", "shadowgraph/postgresql_ms"),
    Row("… write transactions per run", "<= 3", "saturated 64", "shadowgraph/write_transactions"),
    Row("… kB of WAL per run", "<= 65", "saturated 64", "shadowgraph/wal_kb"),
    Row("… CPU ms per run with 64 in flight, whose calls take 20–200 ms", "", "third", "shadowgraph/postgresql_ms"),
    Row("idle POST → first node, ms, p50", "<= 10", "idle", "distributed/first_node_ms/p50"),
    Row("… p99", "<= 25", "idle", "distributed/first_node_ms/p99"),
    Row("idle POST → COMPLETED, ms, p50", "<= 30", "idle", "distributed/completed_ms/p50"),
    Row("… p99", "<= 60", "idle", "distributed/completed_ms/p99"),
    Row("at half of the most load: POST → COMPLETED p50 against idle", "<= 2 ×", "halfload", "p50_against_idle"),
    Row("POST p99 in ms, open loop of 50/s, worker saturated", "<= 25", "submit", "busy_ms/p99"),
    Row("… on the idle server", "", "submit", "idle_ms/p99"),
    Row("provider's first token → reader, ms, p50", "<= 30", "streams", "postgresql/first_token_later_ms/p50"),
    Row("… p99", "<= 80", "streams", "postgresql/first_token_later_ms/p99"),
    Row("500 in flight, 1 s per call: p99 ÷ ideal", "<= 1.15", "inflight", "p99_against_ideal"),
    Row("… the base's wall time ÷ ideal", "", "inflight", "bare_wall_against_ideal"),
    Row("… kB of resident memory per run", "<= 200", "inflight", "worker_kb_per_run"),
    Row("two workers: CPU per run against one", "<= 1.15 ×", "scale", "2 workers/cpu_ratio"),
    Row("… throughput of runs that wait against one", ">= 1.8 ×", "scale", "2 workers/throughput_ratio"),
    Row("a million stored runs: CPU per run against an empty database", "<= 1.1 ×", "growth", "cpu_ms against empty"),
    Row("… list, ms, p95", "<= 25", "growth", "asked_ms/stored/list/p95"),
    Row("… search, ms, p95", "<= 60", "growth", "asked_ms/stored/search/p95"),
    Row("embedded: idle POST → COMPLETED, ms, p50", "<= 30", "idle", "sqlite/completed_ms/p50"),
    Row("embedded: runs/s against bare AsyncSqliteSaver", "report", "embedded", "runs_per_s against bare sqlite"),
    Row("warm start to /readyz, s: up", "<= 3", "startup", "up ready_s"),
    Row("… api", "<= 3", "startup", "api ready_s"),
    Row("--help, s", "<= 0.6", "startup", "help_s"),
    Row("resident MB, idle: api", "report", "startup", "api resident_mb"),
    Row("… worker", "report", "startup", "worker resident_mb"),
    Row("… up", "report", "startup", "up resident_mb"),
    Row("a durable call above a bare one, ms, p50, PostgreSQL", "<= 2.4", "calls", "postgresql/1 at once/overhead_p50_ms"),
    Row("… SQLite", "<= 1.5", "calls", "sqlite/1 at once/overhead_p50_ms"),
    Row("sums over a million attempts by model, ms, p95", "<= 300", "ledger", "ms/model/p95"),
)  # fmt: skip


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=25, help="for all of it")
    parser.add_argument("--size", choices=("full", "smoke"), default="full")
    parser.add_argument("--only", nargs="+", choices=tuple(BLOCKS), default=tuple(BLOCKS))
    options = parser.parse_args()
    ends_at = perf_counter() + options.minutes * 60
    turns: list[Turn] = []
    for number in range(options.turns):
        turns.append({})
        for name in options.only:
            if number and BLOCKS[name].is_once:
                continue
            turns[-1][name] = _run(name, BLOCKS[name], options.size, seconds_left=ends_at - perf_counter())
            options.out.write_text(json.dumps({"size": options.size, "turns": turns}, indent=2) + "\n")
    print(markdown(turns, options.size))
    sys.exit(any("error" in report for turn in turns for report in turn.values()))


def _run(name: str, block: Block, size: Size, *, seconds_left: float) -> dict[str, Any]:
    arguments = block.arguments(size)
    began = perf_counter()
    limit = min(block.limit_seconds, seconds_left)
    found = _report_of(arguments, limit) if limit > 0 else {"error": "no time was left"}
    print(f"{name}: {perf_counter() - began:.0f} s, {found.get('error', 'measured')}", file=sys.stderr, flush=True)
    return {"command": f"python -m benchmarks.{' '.join(arguments)}", **found}


def _report_of(arguments: Sequence[str], limit_seconds: float) -> dict[str, Any]:
    # In a session of its own, so that its servers can be told as well.
    process = subprocess.Popen(
        [sys.executable, "-m", f"benchmarks.{arguments[0]}", *arguments[1:]],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, said = process.communicate(timeout=limit_seconds)
    except subprocess.TimeoutExpired:
        _stop(process)
        return {"error": f"took more than {limit_seconds:.0f} s"}
    if process.returncode:
        return {"error": (said.strip().splitlines() or ["no word"])[-1]}
    found: dict[str, Any] = json.loads(out)
    return found


def _stop(process: subprocess.Popen[str]) -> None:
    """As Ctrl-C does: its servers end and its databases are dropped."""
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def markdown(turns: Sequence[Turn], size: Size) -> str:
    lines = ["| figure | goal | median [min–max] | rounds | command |", "|---|---|---|---|---|"]
    return "\n".join([*lines, *(_line(row, turns, size) for row in ROWS)])


def _line(row: Row, turns: Sequence[Turn], size: Size) -> str:
    values = [value for turn in turns for value in _values(turn.get(row.block, {}), row.path)]
    command = f"`{' '.join(BLOCKS[row.block].arguments(size))}`"
    return f"| {row.figure} | {row.goal} | {_spread(values)} | {len(values)} | {command} |"


def _values(report: Any, path: str) -> list[float]:
    """Of a block with rounds of its own: the median and the ends."""
    for key in path.split("/"):
        if not isinstance(report, Mapping) or key not in report:
            return []
        report = report[key]
    if not isinstance(report, Mapping):
        return [float(report)]
    return [report["min"], report["median"], report["max"]] if report["min"] < report["max"] else [report["median"]]


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "not measured"
    return f"{median(values):.4g} [{min(values):.4g}–{max(values):.4g}]"


if __name__ == "__main__":
    main()
