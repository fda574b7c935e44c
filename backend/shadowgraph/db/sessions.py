"""What a PostgreSQL connection is: direct, or through a pooler such as PgBouncer in transaction mode; and to which history of the data.

Through a pooler no session is ours: settings, prepared statements, session locks and LISTEN stay behind on a server connection that
somebody else gets next. Such a connection takes its limits anew in every transaction. It is recognised by its process number, which is the
server's on a direct connection, and one that the pooler made up otherwise.

A server's history is numbered by its timeline, which changes when a standby is promoted or a backup is restored up to some moment.
"""

from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from types import MappingProxyType
from typing import Any, LiteralString

import psycopg
from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.pool import ConnectionPoolEntry

CONNECT_TIMEOUT_SECONDS = 5
IDLE_IN_TRANSACTION_MS = 10_000
"""A process frozen inside a transaction keeps its row locks, and SKIP LOCKED would hide its expired run; must be shorter than the lease."""
LOCK_TIMEOUT_MS = 5_000
STATEMENT_TIMEOUT_MS = 30_000

CONNECT_ARGS: dict[str, Any] = {
    "connect_timeout": CONNECT_TIMEOUT_SECONDS,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}
"""Limits are not among them: a pooler refuses settings in the greeting, or ignores them."""

_LIMITS = {
    "idle_in_transaction_session_timeout": IDLE_IN_TRANSACTION_MS,
    "lock_timeout": LOCK_TIMEOUT_MS,
    "statement_timeout": STATEMENT_TIMEOUT_MS,
}


BATCH_LOCK_TIMEOUT_MS = 200
"""For writes of many runs at once: the others must not wait long for a run whose row somebody holds."""
BATCH_SETTINGS: Mapping[str, int | str] = {
    "lock_timeout": BATCH_LOCK_TIMEOUT_MS,
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_bitmapscan": "off",
}
"""Plans are made once, by primary keys: one that was made while the tables were empty must serve when they are large."""


def _set_limits(settings: Mapping[str, int | str], *, is_local: bool) -> LiteralString:
    limits = ", ".join(f"set_config('{name}', '{value}', {is_local})" for name, value in settings.items())
    return f"SELECT {limits}"


_LIMIT_SESSION = _set_limits(_LIMITS, is_local=False)
_IS_OURS: LiteralString = "SELECT 1 WHERE pg_backend_pid() = %(number)s"

_TIMELINE: LiteralString = """
    SELECT CASE WHEN pg_is_in_recovery() THEN 0
           ELSE ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::int END
"""
"""`pg_control_checkpoint()` would tell it only after the first checkpoint behind a promotion, which can take minutes."""

_KEEPS_IT_TO_ITSELF = (psycopg.NotSupportedError, psycopg.ProgrammingError, psycopg.errors.ObjectNotInPrerequisiteState)
"""What a server answers that is not quite PostgreSQL, or that forbids us to ask."""

_POOLED, _AT_TIMELINE = "is_pooled", "timeline"


def limit_connections(engine: Engine, settings: Mapping[str, int | str] = MappingProxyType({})) -> None:
    """For every connection that this engine makes. `settings` come beside the limits, or in their place."""
    limits = {**_LIMITS, **settings}
    event.listen(engine, "connect", partial(_limit_session, _set_limits(limits, is_local=False)))
    event.listen(engine, "begin", partial(_limit_transaction, _set_limits(limits, is_local=True)))


def is_pooled(connection: AsyncConnection) -> bool:
    """Of an engine whose connections are limited: True when a pooler stands in between."""
    return bool(connection.info[_POOLED])


def timeline_of(connection: AsyncConnection) -> int | None:
    """As of the transaction's begin; None where the server does not tell."""
    timeline: int | None = connection.info.get(_AT_TIMELINE)
    return timeline


async def open_connection(url: str) -> psycopg.AsyncConnection:
    """With autocommit, and the same limits. `url` as libpq takes it."""
    connection = await psycopg.AsyncConnection.connect(url, autocommit=True, **CONNECT_ARGS)
    try:
        await limit_session(connection)
    except BaseException:
        await connection.close()  # nobody else knows it yet
        raise
    return connection


async def limit_session(connection: psycopg.AsyncConnection[Any]) -> None:
    """Through a pooler it gets no limits, and prepares no statements."""
    threshold, connection.prepare_threshold = connection.prepare_threshold, None
    if await has_session(connection):
        connection.prepare_threshold = threshold
        await connection.execute(_LIMIT_SESSION)


async def has_session(connection: psycopg.AsyncConnection[Any]) -> bool:
    """False through a pooler."""
    cursor = await connection.execute(_IS_OURS, {"number": connection.info.backend_pid})
    return await cursor.fetchone() is not None


def _limit_session(limits: LiteralString, connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    try:
        _look_at(limits, connection, record)
    except BaseException:
        connection.close()  # nobody else knows it yet
        raise


def _look_at(limits: LiteralString, connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:
    driver = record.driver_connection
    assert driver is not None
    cursor = connection.cursor()
    cursor.execute(_IS_OURS, {"number": driver.info.backend_pid})
    record.info[_POOLED] = cursor.fetchone() is None
    if record.info[_POOLED]:
        driver.prepare_threshold = None
    else:
        cursor.execute(limits)
    connection.commit()
    with suppress(*_KEEPS_IT_TO_ITSELF):
        cursor.execute(_TIMELINE)
        record.info[_AT_TIMELINE] = _require_primary(cursor.fetchone())
    connection.rollback()
    cursor.close()


def _limit_transaction(limits: LiteralString, connection: Connection) -> None:
    """Through a pooler each transaction may be on another server connection."""
    if connection.info[_POOLED]:
        connection.exec_driver_sql(limits)
        if _AT_TIMELINE in connection.info:
            connection.info[_AT_TIMELINE] = _require_primary(connection.exec_driver_sql(_TIMELINE).fetchone())


def _require_primary(row: Any) -> int:
    """Errors: `ConnectionError`, an outage, on a standby: a connection to it would outlive its promotion unnoticed."""
    timeline = int(row[0])
    if timeline == 0:
        raise ConnectionError("the server is a standby that has not been promoted")
    return timeline
