"""What counts as an outage, by what the drivers really raise."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shadowgraph.db.engine import Database, is_outage


async def test_a_statement_that_can_never_work_is_no_outage(database: Database) -> None:
    with pytest.raises(DBAPIError) as refused:
        async with database.read() as connection:
            await connection.execute(text("SELECT * FROM no_such_table"))

    assert not is_outage(refused.value)


async def test_a_server_that_refuses_connections_is_an_outage() -> None:
    database = Database("postgresql://nobody@127.0.0.1:1/nothing")

    with pytest.raises(DBAPIError) as refused:
        async with database.read():
            pass

    assert is_outage(refused.value)
    await database.close()


async def test_a_read_only_database_is_an_outage(postgresql_url: str) -> None:
    database = Database(postgresql_url)

    async with database.read() as connection:
        await connection.execute(text("SET TRANSACTION READ ONLY"))
        with pytest.raises(DBAPIError) as refused:
            await connection.execute(text("DELETE FROM workers"))

    assert is_outage(refused.value)
    await database.close()


async def test_a_locked_file_is_an_outage(sqlite_url: str) -> None:
    database, other = Database(sqlite_url), Database(sqlite_url)

    async with database.write(), other.read() as connection:
        await connection.execute(text("PRAGMA busy_timeout=0"))
        with pytest.raises(DBAPIError) as refused:
            await connection.execute(text("DELETE FROM workers"))

    assert is_outage(refused.value)
    await database.close()
    await other.close()


async def cut_own_connection(database: Database) -> None:
    """It lies in the pool, and the server has closed it."""
    async with database.read() as connection:
        number = await connection.scalar(text("SELECT pg_backend_pid()"))
    other = Database(database.url)
    async with other.write() as connection:
        await connection.execute(text("SELECT pg_terminate_backend(:number, 5000)"), {"number": number})
    await other.close()


async def test_a_connection_that_was_cut_while_it_lay_idle_is_noticed_before_its_use(
    direct_postgresql_url: str,
) -> None:
    database = Database(direct_postgresql_url, ping_after_seconds=0)
    await cut_own_connection(database)

    async with database.read() as connection:
        assert await connection.scalar(text("SELECT 1")) == 1

    await database.close()


async def test_a_connection_that_was_cut_just_after_its_use_is_an_outage_once(direct_postgresql_url: str) -> None:
    database = Database(direct_postgresql_url, ping_after_seconds=60)
    await cut_own_connection(database)

    with pytest.raises(DBAPIError) as refused:
        async with database.read() as connection:
            await connection.execute(text("SELECT 1"))
    async with database.read() as connection:
        again = await connection.scalar(text("SELECT 1"))

    assert is_outage(refused.value)
    assert again == 1
    await database.close()
