"""Sums over a million attempts: every grouping over the last 30 days, on PostgreSQL.

    python -m benchmarks.ledger [--attempts 1000000] [--days 30] [--rounds 10]

The baseline is `count(*)` over the same rows. Goal: any grouping at most 300 ms (p95).
"""

import asyncio
from argparse import ArgumentParser
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import Any, get_args

import psycopg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from benchmarks.figures import latencies, report
from benchmarks.seeding import seed_attempts
from benchmarks.server import POSTGRESQL
from shadowgraph.costs.grouping import GroupBy
from shadowgraph.costs.ledger import Which, load_report
from shadowgraph.db.engine import Database
from tests.support.database import migrate_database, postgresql_database

WINDOW = timedelta(days=30)
TOP = 50


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--attempts", type=int, default=1_000_000)
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    now = datetime.now(UTC)
    with postgresql_database(POSTGRESQL) as url:
        migrate_database(url)
        seed_attempts(url, count=options.attempts, days=options.days, until=now)
        figures = asyncio.run(_measure(url, options.rounds, Which(since=now - WINDOW, until=now)))
        size = psycopg.connect(url).execute("SELECT pg_database_size(current_database())").fetchone()
    report(
        "ledger", {"attempts": options.attempts, "days": options.days, "database_mb": size and size[0] >> 20, **figures}
    )


async def _measure(url: str, rounds: int, which: Which) -> dict[str, Any]:
    database = Database(url)
    samples: dict[str, list[float]] = {}
    try:
        for _ in range(rounds + 1):  # the first one fills the caches
            async with database.read() as connection:
                samples.setdefault("count(*)", []).append(await _timed(connection, _count))
                for by in get_args(GroupBy):
                    samples.setdefault(by, []).append(await _timed(connection, _grouping(which, by)))
    finally:
        await database.close()
    return {"ms": {name: latencies(found[1:]) for name, found in samples.items()}}


def _grouping(which: Which, by: GroupBy) -> Callable[[AsyncConnection], Awaitable[Any]]:
    return lambda connection: load_report(connection, which, by=by, limit=TOP)


async def _count(connection: AsyncConnection) -> None:
    await connection.execute(text("SELECT count(*) FROM llm_attempts"))


async def _timed(connection: AsyncConnection, ask: Callable[[AsyncConnection], Awaitable[Any]]) -> float:
    began = perf_counter()
    await ask(connection)
    return (perf_counter() - began) * 1000


if __name__ == "__main__":
    main()
