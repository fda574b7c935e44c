from sqlalchemy import text

from shadowgraph.core.ids import new_run_id
from shadowgraph.db.engine import Database


async def _event_count(database: Database) -> int:
    async with database.read() as connection:
        return int((await connection.execute(text("SELECT count(*) FROM payloads"))).scalar_one())


async def _add_payload(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(
            text("INSERT INTO payloads (sha256, media_type, size, body) VALUES (:id, 'text/plain', 1, :body)"),
            {"id": new_run_id(), "body": b"x"},
        )


async def test_each_test_begins_with_empty_tables(database: Database) -> None:
    await _add_payload(database)

    assert await _event_count(database) == 1


async def test_rows_of_the_test_before_are_gone(database: Database) -> None:
    assert await _event_count(database) == 0
