"""Creates and checks the graph library's own tables."""

import asyncio

import aiosqlite
import psycopg
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.base import MIGRATIONS
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from psycopg.rows import dict_row

from shadowgraph.core.errors import Internal
from shadowgraph.db.dialect import dialect_of, plain_url

KNOWN_MIGRATIONS = 10
"""The library's schema version that `engine/rows.py` was written for."""


class UnknownCheckpointSchema(Internal):
    """The installed saver keeps its rows in another shape than our writer."""

    code = "unknown_checkpoint_schema"


def set_up_checkpoints(database_url: str) -> None:
    """Runs after our own migrations: on PostgreSQL it creates indexes concurrently, which no transaction allows.

    Errors: `UnknownCheckpointSchema` when the library's tables have moved on.
    """
    require_known_schema(len(MIGRATIONS))
    if dialect_of(database_url) == "postgresql":
        with psycopg.connect(
            plain_url(database_url), autocommit=True, prepare_threshold=None, row_factory=dict_row
        ) as connection:
            PostgresSaver(connection).setup()
    else:
        asyncio.run(_set_up_sqlite(plain_url(database_url)))


def require_known_schema(migrations: int) -> None:
    if migrations != KNOWN_MIGRATIONS:
        raise UnknownCheckpointSchema(
            f"langgraph-checkpoint-postgres has {migrations} migrations; this build knows {KNOWN_MIGRATIONS}"
        )


async def _set_up_sqlite(path: str) -> None:
    async with aiosqlite.connect(path) as connection:
        await AsyncSqliteSaver(connection).setup()
