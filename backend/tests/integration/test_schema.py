"""The schema that the migrations make, against what the code believes: the tables in `models/` and the transitions in `runs/states.py`."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, insert, inspect, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph import models
from shadowgraph.core.ids import new_run_id
from shadowgraph.db.engine import Database
from shadowgraph.models.base import metadata
from shadowgraph.models.runs import runs
from shadowgraph.runs.states import TRANSITIONS, Status
from tests.support.runs import start_run

SEARCH_COLUMNS = {"run_texts": {"tsv", "run_texts", "rank"}}
"""Columns that only the databases' own text search knows."""


def import_all_tables() -> None:
    for path in Path(models.__path__[0]).glob("*.py"):
        import_module(f"shadowgraph.models.{path.stem}")


def columns_in(connection: Connection) -> dict[str, set[str]]:
    found = inspect(connection)
    return {
        table: {column["name"] for column in found.get_columns(table)} - SEARCH_COLUMNS.get(table, set())
        for table in metadata.tables
    }


@pytest.mark.filterwarnings("ignore:Did not recognize type:sqlalchemy.exc.SAWarning")  # xid8; only names matter here
async def test_every_table_has_the_columns_that_the_code_asks_for(database: Database) -> None:
    import_all_tables()

    async with database.read() as connection:
        migrated = await connection.run_sync(columns_in)

    assert migrated == {name: {column.name for column in table.columns} for name, table in metadata.tables.items()}


@pytest.mark.parametrize("before", Status)
async def test_the_database_lets_a_run_go_only_where_the_code_does(database: Database, before: Status) -> None:
    template = await start_run(database)
    async with database.read() as connection:
        row = (await connection.execute(select(runs).where(runs.c.id == template.id))).mappings().one()
    run_id = new_run_id()
    async with database.write() as connection:
        await connection.execute(insert(runs).values({**row, "id": run_id, "thread_id": run_id, **state(before)}))

    allowed = {after for after in Status if await is_allowed(database, run_id, after)}

    assert allowed == {after for start, after in TRANSITIONS if start is before} | {before}


def state(status: Status) -> dict[str, Any]:
    return {"status": status, "lease_expires_at": 1 if status is Status.RUNNING else None}


class Undo(Exception):
    """Rolls the transaction back."""


async def is_allowed(database: Database, run_id: str, after: Status) -> bool:
    try:
        async with database.write() as connection:
            await change(connection, run_id, after)
            raise Undo
    except Undo:
        return True
    except DBAPIError:
        return False


async def change(connection: AsyncConnection, run_id: str, after: Status) -> None:
    await connection.execute(update(runs).where(runs.c.id == run_id).values(state(after)))
