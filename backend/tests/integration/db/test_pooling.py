"""Connections through PgBouncer in transaction mode, which gives every transaction another server connection whenever it can."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.db.dialect import plain_url
from shadowgraph.db.engine import Database, build_sync_engine
from shadowgraph.db.sessions import has_session, is_pooled, open_connection, timeline_of
from shadowgraph.worker.presence import Presence

LIMITS = {"idle_in_transaction_session_timeout": "10s", "lock_timeout": "5s", "statement_timeout": "30s"}
PREPARED_AFTER = 5
"""psycopg prepares a statement when it has been executed so often."""


@pytest.fixture
async def pooled(pooled_postgresql_url: str) -> AsyncIterator[Database]:
    connections = Database(pooled_postgresql_url)
    yield connections
    await connections.close()


@pytest.fixture
async def direct(direct_postgresql_url: str) -> AsyncIterator[Database]:
    connections = Database(direct_postgresql_url)
    yield connections
    await connections.close()


async def limits_in(connection: AsyncConnection) -> dict[str, str]:
    return {name: str(await connection.scalar(text(f"SHOW {name}"))) for name in LIMITS}


async def test_a_connection_knows_whether_a_pooler_stands_in_between(pooled: Database, direct: Database) -> None:
    async with pooled.read() as through, direct.read() as past:
        assert (is_pooled(through), is_pooled(past)) == (True, False)
        assert timeline_of(through) == timeline_of(past) is not None


async def test_every_transaction_has_its_limits_on_both_ways(pooled: Database, direct: Database) -> None:
    for database in (pooled, direct):
        for _ in range(3):
            async with database.write() as connection:
                assert await limits_in(connection) == LIMITS


def test_so_has_the_heartbeats_connection(pooled_postgresql_url: str) -> None:
    engine = build_sync_engine(pooled_postgresql_url)

    with engine.begin() as connection:
        found = {name: connection.scalar(text(f"SHOW {name}")) for name in LIMITS}

    engine.dispose()
    assert found == LIMITS


async def test_no_limit_is_left_behind_for_somebody_else(pooled: Database, pooled_postgresql_url: str) -> None:
    async with pooled.write() as connection:
        used = await connection.scalar(text("SELECT pg_backend_pid()"))
    await pooled.close()

    found: dict[int, str] = {}
    with psycopg.connect(pooled_postgresql_url, autocommit=True, prepare_threshold=None) as connection:
        for _ in range(20):
            pid, limit = one_row(connection, "SELECT pg_backend_pid(), current_setting('lock_timeout')")
            found[int(str(pid))] = str(limit)

    assert used in found
    assert set(found.values()) == {"0"}


def one_row(connection: psycopg.Connection, query: str) -> tuple[object, ...]:
    row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return tuple(row)


async def test_a_statement_may_come_often_on_any_connection(pooled: Database) -> None:
    async def often(value: int) -> set[int]:
        seen = set()
        for _ in range(3 * PREPARED_AFTER):
            async with pooled.read() as connection:
                seen.add(int(await connection.scalar(text("SELECT CAST(:value AS int)"), {"value": value}) or 0))
        return seen

    assert await asyncio.gather(*map(often, range(1, 5))) == [{1}, {2}, {3}, {4}]


async def test_listening_needs_a_session(pooled_postgresql_url: str, direct_postgresql_url: str) -> None:
    ways = [await open_connection(plain_url(url)) for url in (pooled_postgresql_url, direct_postgresql_url)]

    found = [await has_session(connection) for connection in ways]

    for connection in ways:
        await connection.close()
    assert found == [False, True]


async def test_presence_is_off_through_a_pooler(pooled_postgresql_url: str, pooled: Database) -> None:
    async with Presence(pooled_postgresql_url, seen_through_url=pooled_postgresql_url).held() as presence:
        assert presence.number is None
        assert await session_locks(pooled) == []


async def test_presence_works_past_a_pooler(
    pooled_postgresql_url: str, direct_postgresql_url: str, pooled: Database
) -> None:
    async with Presence(direct_postgresql_url, seen_through_url=pooled_postgresql_url).held() as presence:
        assert presence.number is not None
        assert await session_locks(pooled) == [presence.number]


async def session_locks(database: Database) -> list[int]:
    statement = text(
        "SELECT objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    )
    async with database.read() as connection:
        return list((await connection.scalars(statement)).all())
