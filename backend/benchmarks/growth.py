"""What a run takes when it is longer, when its state is larger, and when a million others are stored already.

    python -m benchmarks.growth [--stored 1000000] [--rounds 3] [--runs 60] [--shape-runs 10]

Shapes: bytes in the database and CPU per run by supersteps and by bytes of state, measured on real runs. Stored: two servers side by side, one on
an empty database and one on a database with so many ended runs; their blocks alternate. Lists and searches are asked of both. Goals: a run
costs at most 1.1 times as on the empty database; p95 at most 25 ms for a list and 60 ms for a search.
"""

import asyncio
from argparse import ArgumentParser, Namespace
from datetime import UTC, datetime
from time import perf_counter, process_time
from typing import Any

import httpx
import psycopg

from benchmarks.figures import latencies, ms_per_run, report, spread
from benchmarks.runs import WARM_RUNS, measure_ours, submit_and_wait
from benchmarks.seeding import seed_runs
from benchmarks.server import Server, up
from benchmarks.workload import WORKFLOW

SHAPES = ((5, 2_000), (20, 2_000), (50, 2_000), (5, 20_000), (5, 200_000))
"""Supersteps, bytes of state."""
AT_ONCE = 16
SLOTS = "64"
ASKED = 60
QUESTIONS = {"list": {"limit": 50}, "search": {"q": "amber quarry", "limit": 50}}


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--stored", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=60, help="in each block")
    parser.add_argument("--shape-runs", type=int, default=10, help="of each shape")
    options = parser.parse_args()
    report("growth", vars(options) | {"shapes": _shapes(options.shape_runs), **_stored(options)})


# --- shapes -----------------------------------------------------------------------------------------------------------------------


def _shapes(runs: int) -> dict[str, dict[str, float]]:
    with up("postgresql", "growth", WORKER_SLOTS=SLOTS) as server:
        asyncio.run(_run_shape(server, AT_ONCE, *SHAPES[0]))
        return {f"{steps} steps, {size} bytes": _shape(server, runs, steps, size) for steps, size in SHAPES}


def _shape(server: Server, runs: int, steps: int, size: int) -> dict[str, float]:
    before, used, began = _stored_bytes(server), server.cpu_seconds(), process_time()
    asyncio.run(_run_shape(server, runs, steps, size))
    spent = {name: seconds - used[name] for name, seconds in server.cpu_seconds().items()}
    kb = round((_stored_bytes(server) - before) / runs / 1000, 1)
    return {"kb_per_run": kb, **ms_per_run(spent, runs), "generator_ms": (process_time() - began) * 1000 / runs}


async def _run_shape(server: Server, runs: int, steps: int, size: int) -> None:
    async with httpx.AsyncClient(base_url=server.http.base_url, timeout=120) as http:
        body = {"workflow": "growth", "input": {"steps": steps, "bytes": size}, "max_steps": steps + 1}
        answers = await asyncio.gather(*(http.post("/runs", json=body, params={"wait": 60}) for _ in range(runs)))
    for answer in answers:
        if answer.raise_for_status().json()["status"] != "COMPLETED":
            raise RuntimeError(f"a run did not complete: {answer.text}")


def _stored_bytes(server: Server) -> int:
    with psycopg.connect(server.database_url, autocommit=True) as connection:
        row = connection.execute("SELECT pg_database_size(current_database())").fetchone()
    assert row
    return int(row[0])


# --- many stored runs -------------------------------------------------------------------------------------------------------------


def _stored(options: Namespace) -> dict[str, Any]:
    seeding: dict[str, float] = {}

    def fill(url: str) -> None:
        began = perf_counter()
        seed_runs(url, count=options.stored, days=30, until=datetime.now(UTC))
        seeding["seconds"] = round(perf_counter() - began, 1)

    with (
        up("postgresql", WORKFLOW, WORKER_SLOTS=SLOTS) as empty,
        up("postgresql", WORKFLOW, stored=fill, WORKER_SLOTS=SLOTS) as full,
    ):
        seeding["database_mb"] = _stored_bytes(full) >> 20
        for server in (empty, full):
            asyncio.run(submit_and_wait(server, WARM_RUNS, [0.0], at_once=AT_ONCE))
        rounds = [(_block(empty, options.runs), _block(full, options.runs)) for _ in range(options.rounds)]
        asked = {name: _ask(server) for name, server in (("empty", empty), ("stored", full))}
    return {
        "seeding": seeding,
        "empty": {name: spread([block[name] for block, _ in rounds]) for name in rounds[0][0]},
        "stored_runs": {name: spread([block[name] for _, block in rounds]) for name in rounds[0][1]},
        "cpu_ms against empty": spread([block["cpu_ms"] / base["cpu_ms"] for base, block in rounds], digits=2),
        "asked_ms": asked,
    }


def _block(server: Server, runs: int) -> dict[str, float]:
    return measure_ours(server, runs=runs, seconds=[0.0], waiting=AT_ONCE)


def _ask(server: Server) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name, parameters in QUESTIONS.items():
        samples = [_answered(server, parameters) for _ in range(ASKED + 5)]
        found[name] = latencies(samples[5:])  # the first ones fill the caches
    return found


def _answered(server: Server, parameters: Any) -> float:
    began = perf_counter()
    server.http.get("/runs", params=parameters).raise_for_status()
    return (perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
