"""No byte of what was deleted stays in a SQLite file."""

import sqlite3
from collections.abc import AsyncIterator
from random import Random

import pytest
from sqlalchemy import text

from shadowgraph.db.dialect import plain_url
from shadowgraph.db.engine import Database
from shadowgraph.db.scrubbing import mark_for_scrubbing, scrub
from tests.support.traces import count_in_files

MARKER = "k7q9zx4v"


@pytest.fixture
async def database(sqlite_url: str) -> AsyncIterator[Database]:
    database = Database(sqlite_url)
    yield database
    await database.close()


async def execute(database: Database, *statements: str) -> None:
    async with database.write() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def delete_marked(database: Database, table: str = "notes") -> None:
    async with database.write() as connection:
        await mark_for_scrubbing(connection, "sqlite")
        await connection.execute(text(f"DELETE FROM {table} WHERE text LIKE '%{MARKER}%'"))


async def fill_with_growing_rows(database: Database) -> None:
    """Rows that grow push their neighbours to other pages. Copies stay behind that `secure_delete` does not find."""
    rng = Random(1)
    await execute(database, "CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, more TEXT)")
    async with database.write() as connection:
        for number in range(600):
            note = f"{rng.choice((MARKER, *['plain'] * 6))} {'x' * rng.randrange(150)}"
            await connection.execute(text("INSERT INTO notes VALUES (:id, :note, '')"), {"id": number, "note": note})
            grown = {"id": rng.randrange(max(0, number - 20), number + 1), "more": "y" * rng.randrange(300)}
            await connection.execute(text("UPDATE notes SET more = :more WHERE id = :id"), grown)


async def test_copies_that_stayed_behind_when_rows_moved_are_gone(database: Database) -> None:
    await fill_with_growing_rows(database)
    await delete_marked(database)

    is_scrubbed = await scrub(database)

    assert is_scrubbed
    assert count_in_files(database.url, MARKER) == 0


async def test_words_in_the_search_index_are_gone(database: Database) -> None:
    row = "INSERT INTO run_texts (run_id, part, text) VALUES ('{}', 0, 'some {}')"
    await execute(database, *(row.format(number, MARKER if number == 50 else f"word{number}") for number in range(100)))
    await delete_marked(database, "run_texts")

    await scrub(database)

    assert count_in_files(database.url, MARKER[3:]) == 0  # the index leaves out what a word shares with the one before


async def test_a_crash_before_the_scrubbing_is_made_good_later(database: Database) -> None:
    await fill_with_growing_rows(database)
    await delete_marked(database)
    await database.close()

    restarted = Database(database.url)
    first, second = await scrub(restarted), await scrub(restarted)
    await restarted.close()

    assert (first, second) == (True, True)
    assert count_in_files(database.url, MARKER) == 0


async def test_a_file_that_is_too_large_for_now_waits(database: Database) -> None:
    await fill_with_growing_rows(database)
    await delete_marked(database)

    at_once, later = await scrub(database, up_to_bytes=1000), await scrub(database)

    assert (at_once, later) == (False, True)


async def test_a_reader_in_the_way_leaves_it_for_later(database: Database) -> None:
    await fill_with_growing_rows(database)
    await delete_marked(database)
    reader = sqlite3.connect(plain_url(database.url), isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM notes").fetchone()

    in_the_way = await scrub(database)
    reader.close()
    later = await scrub(database)

    assert (in_the_way, later) == (False, True)
    assert count_in_files(database.url, MARKER) == 0


async def test_without_deletions_there_is_nothing_to_scrub(database: Database) -> None:
    await fill_with_growing_rows(database)
    async with database.read() as connection:
        before = await connection.scalar(text("PRAGMA data_version"))

        is_clean = await scrub(database)

        after = await connection.scalar(text("PRAGMA data_version"))
    assert is_clean
    assert after == before
