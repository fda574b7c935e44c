"""How many runs of a foreign five-node graph end in a second, and what each costs, against the same graph with LangGraph's own saver.

    python -m benchmarks.runs [--kind sqlite|postgresql|distributed] [--rounds 3] [--runs 400] [--in-flight 64] [--seconds 0 [0.2]]

A round is one block: stock saver, one saver per run, Shadowgraph (on SQLite: AsyncSqliteSaver, Shadowgraph). Ratios are taken inside a block;
the spread is over rounds. CPU is that of Python and of PostgreSQL's backends for the baseline, of every process of ours, the same backends
and the broker for Shadowgraph; the generator's stands beside it. `--in-flight 1`: each run is posted when the one before has ended.
Write transactions and bytes of WAL are those of the whole server: nobody else may use it meanwhile.
"""

import asyncio
import json
import sqlite3
import subprocess
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time
from typing import Any

import httpx
import psycopg

from benchmarks.figures import ms_per_run, report, spread
from benchmarks.server import Kind, Server, Written, database, postgresql_cpu_seconds, up
from benchmarks.workload import SUBMITTERS, WORKFLOW, seconds_of
from shadowgraph.db.dialect import plain_url

LOOK_SECONDS = 0.05
"""How exact the end is known; looking more often would be part of the load."""
WARM_RUNS = 20
Block = dict[str, dict[str, float]]
"""By contender: runs_per_s, cpu_ms and its parts."""
Count = Callable[[], int]


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=("sqlite", "postgresql", "distributed"), default="distributed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=400)
    parser.add_argument("--in-flight", type=int, default=64)
    parser.add_argument(
        "--seconds", type=float, nargs="+", default=[0.0], help="how long each of the five answers takes"
    )
    options = parser.parse_args()
    slots, queued = str(options.in_flight), str(2 * (options.runs + WARM_RUNS))
    with up(options.kind, WORKFLOW, WORKER_SLOTS=slots, MAX_QUEUED_RUNS=queued) as server:
        asyncio.run(submit(server, WARM_RUNS, options.seconds))
        blocks = [_block(server, options) for _ in range(options.rounds)]
    report("runs", vars(options) | _figures(blocks, "bare sqlite" if options.kind == "sqlite" else "bare stock"))


def _block(server: Server, options: Namespace) -> Block:
    kinds = ("sqlite",) if options.kind == "sqlite" else ("stock", "own")
    bare = {f"bare {kind}": _bare(kind, options) for kind in kinds}
    waiting = 1 if options.in_flight == 1 else None
    ours = measure_ours(server, runs=options.runs, seconds=options.seconds, waiting=waiting)
    return bare | {"shadowgraph": ours}


def _figures(blocks: Sequence[Block], base: str) -> dict[str, Any]:
    figures: dict[str, Any] = {
        contender: {
            name: spread([block[contender][name] for block in blocks], digits=1) for name in blocks[0][contender]
        }
        for contender in blocks[0]
    }
    for name in ("runs_per_s", "cpu_ms"):
        ratios = [block["shadowgraph"][name] / block[base][name] for block in blocks]
        figures[f"{name} against {base}"] = spread(ratios, digits=2)
    return figures


def _bare(kind: str, options: Namespace) -> dict[str, float]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        of_kind: Kind = "sqlite" if kind == "sqlite" else "postgresql"
        url = stack.enter_context(database(of_kind, folder))
        found, postgresql, written = run_bare(url, kind, options.runs, options.in_flight, options.seconds)
    parts = {"python": found["cpu_s"]} | ({} if kind == "sqlite" else {"postgresql": postgresql})
    return {"runs_per_s": options.runs / found["wall_s"], **ms_per_run(parts, options.runs), **written}


def run_bare(
    url: str, kind: str, runs: int, in_flight: int, seconds: Sequence[float]
) -> tuple[dict[str, float], float, dict[str, float]]:
    """Wall and CPU seconds of Python; CPU seconds of PostgreSQL; what was written per run."""
    is_sqlite = kind == "sqlite"
    before = None if is_sqlite else Written.so_far(url)
    arguments = [plain_url(url), str(runs), str(in_flight), kind, *map(str, seconds)]
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.bare", *arguments], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    assert process.stdout
    found = json.loads(process.stdout.readline())
    # The connections are still open. The warm-up's share of the backends' CPU is taken off by its share of the runs.
    postgresql = 0.0 if is_sqlite else postgresql_cpu_seconds(url) * runs / (runs + in_flight)
    written = {} if before is None else per_run(before, Written.so_far(url), runs + in_flight)
    process.communicate("\n")
    return found, postgresql, written


def per_run(before: Written, after: Written, runs: int) -> dict[str, float]:
    return {
        "write_transactions": (after.transactions - before.transactions) / runs,
        "wal_kb": (after.wal_bytes - before.wal_bytes) / runs / 1000,
    }


def measure_ours(
    server: Server, *, runs: int, seconds: Sequence[float], waiting: int | None = None
) -> dict[str, float]:
    """`waiting`: so many submitters that each wait for the end of their run; None: a hundred that do not wait."""
    is_sqlite = server.database_url.startswith("sqlite")
    written = None if is_sqlite else Written.so_far(server.database_url)
    before, generator, began = server.cpu_seconds(), process_time(), perf_counter()
    if waiting:
        asyncio.run(submit_and_wait(server, runs, seconds, at_once=waiting))
    else:
        asyncio.run(submit(server, runs, seconds))
    wall = perf_counter() - began
    used = {name: spent - before.get(name, 0) for name, spent in server.cpu_seconds().items()}
    figures = {"runs_per_s": runs / wall, **ms_per_run(used, runs)}
    if written:
        figures |= per_run(written, Written.so_far(server.database_url), runs)
    return figures | {"generator_ms": (process_time() - generator) * 1000 / runs}


async def submit(server: Server, runs: int, seconds: Sequence[float]) -> None:
    """A hundred submitters at once; until the last run has ended."""
    with _watching(server.database_url) as count_ended:
        before = count_ended()
        numbers = iter(range(runs))
        async with httpx.AsyncClient(base_url=server.http.base_url, timeout=60) as http:

            async def submit_some() -> None:
                for n in numbers:
                    await _post(http, n, seconds)

            await asyncio.gather(*(submit_some() for _ in range(min(SUBMITTERS, runs))))
            while count_ended() < before + runs:  # noqa: ASYNC110  nobody tells
                await asyncio.sleep(LOOK_SECONDS)


async def submit_and_wait(server: Server, runs: int, seconds: Sequence[float], *, at_once: int) -> None:
    """So many submitters, each of which posts its next run when the one before has ended."""
    numbers = iter(range(runs))
    async with httpx.AsyncClient(base_url=server.http.base_url, timeout=90) as http:

        async def submit_some() -> None:
            for n in numbers:
                answer = await _post(http, n, seconds, wait=60)
                if answer.json()["status"] != "COMPLETED":
                    raise RuntimeError(f"a run did not complete: {answer.text}")

        await asyncio.gather(*(submit_some() for _ in range(at_once)))


async def _post(http: httpx.AsyncClient, n: int, seconds: Sequence[float], **parameters: int) -> httpx.Response:
    body = {"workflow": WORKFLOW, "input": {"seconds": seconds_of(n, list(seconds))}}
    return (await http.post("/runs", json=body, params=parameters)).raise_for_status()


@contextmanager
def _watching(url: str) -> Iterator[Count]:
    """How many runs are COMPLETED. Errors: `RuntimeError` when a run did not complete."""
    if url.startswith("sqlite"):
        reading = sqlite3.connect(f"file:{plain_url(url)}?mode=ro", uri=True)
        try:
            yield partial(_count_ended, reading)
        finally:
            reading.close()
        return
    with psycopg.connect(url, autocommit=True) as connection:
        yield partial(_count_ended, connection)


def _count_ended(connection: Any) -> int:
    rows = dict(connection.execute("SELECT status, count(*) FROM runs GROUP BY status").fetchall())
    if bad := {status: count for status, count in rows.items() if status in ("FAILED", "CANCELLED")}:
        raise RuntimeError(f"runs did not complete: {bad}")
    return int(rows.get("COMPLETED", 0))


if __name__ == "__main__":
    main()
