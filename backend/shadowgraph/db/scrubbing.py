"""Leaves no byte of deleted rows in a SQLite file. PostgreSQL overwrites such space by itself, when it vacuums.

`secure_delete` overwrites a deleted row, but not the copies of it that stay behind when rows move between pages, nor its words in the
search index, nor the log. So a transaction that deletes texts leaves a mark in the file, and after its commit the file is written anew.
The mark outlives a crash: whoever scrubs next takes it away.
"""

import logging
import sqlite3
from typing import Any

from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.db.dialect import DialectName
from shadowgraph.db.engine import BUSY_TIMEOUT_MS, Database

log = logging.getLogger(__name__)

AT_ONCE_BYTES = 200_000_000
"""A file up to this size is written anew within two seconds or so, in which nobody else can write; a larger one waits for its hour."""

PATIENCE_MS = 1_000
"""How long to wait for readers that still need the log: the writers of this process wait meanwhile."""

_CLEAN, _DIRTY = 0, 1
"""SQLite keeps one number in the file's header for the application."""


async def mark_for_scrubbing(connection: AsyncConnection, dialect: DialectName) -> None:
    """In the transaction that deletes."""
    if dialect == "sqlite":
        await connection.exec_driver_sql(f"PRAGMA user_version = {_DIRTY}")


async def scrub(database: Database, *, up_to_bytes: int | None = None) -> bool:
    """True when nothing is left of what was deleted. False: the file is larger than that or in use, or it is not ours (PostgreSQL)."""
    if database.dialect != "sqlite":
        return False
    async with database.outside_transactions() as connection:
        if await _number(connection, "PRAGMA user_version") == _CLEAN:
            return True
    return await shrink(database, up_to_bytes=up_to_bytes)


async def shrink(database: Database, *, up_to_bytes: int | None = None) -> bool:
    """Writes a SQLite file anew and gives its unused space back. False: the file is larger than that or in use."""
    if database.dialect != "sqlite":
        return False
    try:
        async with database.outside_transactions() as connection:
            if up_to_bytes is not None and await _size(connection) > up_to_bytes:
                return False
            await connection.execute(f"PRAGMA busy_timeout = {PATIENCE_MS}")
            try:
                return await _rewrite(connection)
            finally:
                await connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    except (sqlite3.OperationalError, PoolTimeout) as error:  # another process writes, or the disk is full
        log.warning("what was deleted is overwritten later: %s", error)
        return False


async def _rewrite(connection: Any) -> bool:
    """False when a reader still needs the log: then the mark stays."""
    await connection.execute("INSERT INTO run_texts(run_texts) VALUES ('optimize')")
    await connection.execute("VACUUM")
    is_busy = await _number(connection, "PRAGMA wal_checkpoint(TRUNCATE)")
    if not is_busy:
        await connection.execute(f"PRAGMA user_version = {_CLEAN}")
    return not is_busy


async def _size(connection: Any) -> int:
    return await _number(connection, "PRAGMA page_count") * await _number(connection, "PRAGMA page_size")


async def _number(connection: Any, statement: str) -> int:
    async with connection.execute(statement) as cursor:
        row = await cursor.fetchone()
    return int(row[0])
