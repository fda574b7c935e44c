"""How many runs of a foreign five-node graph end in a second, and what each costs, against the same graph with LangGraph's own saver.

    python -m benchmarks.runs [--kind postgresql|distributed] [--rounds 3] [--runs 400] [--in-flight 64] [--seconds 0]

A round is one block: stock saver, one saver per run, Shadowgraph. Ratios are taken inside a block; the spread is over rounds. CPU is that of
Python and of PostgreSQL's backends for the baseline, of every process of ours (and the generator) and the same backends for Shadowgraph.
"""

import asyncio
import json
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import ExitStack
from time import perf_counter, process_time
from typing import Any

import httpx
import psycopg

from benchmarks.figures import report, spread
from benchmarks.server import POSTGRESQL, Server, postgresql_cpu_seconds, up
from tests.support.database import postgresql_database

SUBMITTERS = 100
LOOK_SECONDS = 0.05
"""How exact the end is known; looking more often would be part of the load."""
WORKFLOW = "five"
UNLIMITED = {"MAX_QUEUED_RUNS": "1000000", "MAX_QUEUE_AGE_S": "3600"}
Block = dict[str, dict[str, float]]
"""By contender: runs_per_s, cpu_ms and its parts."""


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=("postgresql", "distributed"), default="distributed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=0, help="how long each of the five answers takes")
    options = parser.parse_args()
    with up(
        options.kind, WORKFLOW, WORKER_SLOTS=str(options.in_flight), MAX_QUEUED_RUNS=str(options.runs * 2)
    ) as server:
        asyncio.run(submit(server, 20, options.seconds))  # warm
        blocks = [_block(server, options) for _ in range(options.rounds)]
    report("runs", vars(options) | _figures(blocks))


def _block(server: Server, options: Namespace) -> Block:
    bare = {f"bare {kind}": _bare(kind, options) for kind in ("stock", "own")}
    return bare | {"shadowgraph": measure_ours(server, runs=options.runs, seconds=options.seconds)}


def _figures(blocks: Sequence[Block]) -> dict[str, Any]:
    figures: dict[str, Any] = {
        contender: {
            name: spread([block[contender][name] for block in blocks], digits=1) for name in blocks[0][contender]
        }
        for contender in blocks[0]
    }
    for name in ("runs_per_s", "cpu_ms"):
        ratios = [block["shadowgraph"][name] / block["bare stock"][name] for block in blocks]
        figures[f"{name} against bare stock"] = spread(ratios, digits=2)
    return figures


def _bare(kind: str, options: Namespace) -> dict[str, float]:
    with ExitStack() as stack:
        url = stack.enter_context(postgresql_database(POSTGRESQL))
        name = url.rpartition("/")[2]
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f'ALTER DATABASE "{name}" RESET synchronous_commit')
        arguments = [url, str(options.runs), str(options.in_flight), kind, str(options.seconds)]
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.bare", *arguments],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            text=True,
        )
        assert process.stdout
        found = json.loads(process.stdout.readline())
        postgresql = postgresql_cpu_seconds(url)  # its connections are still open
        process.communicate("\n")
    # The warm-up's share of the backends' CPU is taken off by its share of the runs.
    postgresql *= options.runs / (options.runs + options.in_flight)
    return _rates(options.runs, found["wall_s"], {"python": found["cpu_s"], "postgresql": postgresql})


def measure_ours(server: Server, *, runs: int, seconds: float) -> dict[str, float]:
    before, generator, began = server.cpu_seconds(), process_time(), perf_counter()
    asyncio.run(submit(server, runs, seconds))
    wall = perf_counter() - began
    used = {name: spent - before.get(name, 0) for name, spent in server.cpu_seconds().items()}
    return _rates(runs, wall, used) | {"generator_ms": (process_time() - generator) * 1000 / runs}


def _rates(runs: int, wall: float, cpu: dict[str, float]) -> dict[str, float]:
    parts = {f"{name}_ms": seconds * 1000 / runs for name, seconds in cpu.items()}
    return {"runs_per_s": runs / wall, "cpu_ms": sum(parts.values())} | parts


async def submit(server: Server, runs: int, seconds: float) -> None:
    """A hundred submitters at once; until the last run has ended."""
    async with await psycopg.AsyncConnection.connect(server.database_url, autocommit=True) as watching:
        await _submit_watched(server, runs, seconds, watching)


async def _submit_watched(server: Server, runs: int, seconds: float, watching: psycopg.AsyncConnection[Any]) -> None:
    before = await _ended(watching)
    numbers = iter(range(runs))
    async with httpx.AsyncClient(base_url=server.http.base_url, timeout=60) as http:

        async def submit() -> None:
            for _ in numbers:
                body = {"workflow": WORKFLOW, "input": {"seconds": seconds}}
                (await http.post("/runs", json=body)).raise_for_status()

        await asyncio.gather(*(submit() for _ in range(min(SUBMITTERS, runs))))
        while await _ended(watching) < before + runs:  # noqa: ASYNC110  nobody tells
            await asyncio.sleep(LOOK_SECONDS)


async def _ended(connection: psycopg.AsyncConnection[Any]) -> int:
    """Errors: `RuntimeError` when a run did not complete."""
    found = await connection.execute("SELECT status, count(*) FROM runs GROUP BY status")
    rows: dict[str, int] = dict(await found.fetchall())
    if bad := {status: count for status, count in rows.items() if status in ("FAILED", "CANCELLED")}:
        raise RuntimeError(f"runs did not complete: {bad}")
    return int(rows.get("COMPLETED", 0))


if __name__ == "__main__":
    main()
