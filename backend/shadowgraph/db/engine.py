"""Connections: many readers and short write transactions, on either database."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from math import inf
from time import monotonic
from typing import Any, TypeVar

import psycopg
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DBAPIError, InterfaceError, InvalidatePoolError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from shadowgraph.core import failpoints
from shadowgraph.db.arrays import Array
from shadowgraph.db.dialect import DialectName, async_url, dialect_of, sync_url
from shadowgraph.db.sessions import BATCH_SETTINGS, CONNECT_ARGS, limit_connections, timeline_of

BUSY_TIMEOUT_MS = 5_000
"""How long SQLite waits for another writer before it gives up."""

T = TypeVar("T")

READ_ONLY_TRANSACTION = "25006"
LOCK_NOT_AVAILABLE = "55P03"
PROGRAM_LIMITS = "54"
"""Class of errors that PostgreSQL counts as operational though the data itself is at fault: a key too long for its index, a text too long."""
BATCH_CONNECTIONS = 4
"""Of a process, for the rows of its runs: one batch is under way at a time, and beside it what has to go alone."""
PING_AFTER_SECONDS = 1.0
"""A connection that was used within this time is taken for alive: asking each time costs as much as a statement. Who gets one that was cut
in between fails once, as with any outage, and the pool forgets the others."""
POOL_TIMEOUT_SECONDS = 10
"""How long a request waits for a free connection before it fails as unavailable."""


class Database:
    """One database of one process.

    On SQLite all writes of the process go through one connection and begin with BEGIN IMMEDIATE; readers have connections of their own.
    """

    settled_timeline: int | None = None
    """The history of the data in which this process writes; None: whichever there is."""

    def __init__(self, url: str, *, pool_size: int = 10, ping_after_seconds: float = PING_AFTER_SECONDS) -> None:
        self.url = url
        self.dialect: DialectName = dialect_of(url)
        if self.dialect == "sqlite":
            self._writer = _sqlite_engine(url, pool_size=1)
            self._reader = _sqlite_engine(url, pool_size=pool_size)
            self._batcher = self._writer
            event.listen(self._writer.sync_engine, "begin", _begin_immediate)
            event.listen(self._reader.sync_engine, "begin", _begin_deferred)
        else:
            self._writer = self._reader = create_async_engine(
                async_url(url),
                pool_size=pool_size,
                max_overflow=0,
                pool_timeout=POOL_TIMEOUT_SECONDS,
                pool_use_lifo=True,
                connect_args=CONNECT_ARGS,
            )
            limit_connections(self._writer.sync_engine)
            _ping_idle(self._writer.sync_engine, ping_after_seconds)
            self._batcher = create_async_engine(
                async_url(url),
                pool_size=BATCH_CONNECTIONS,
                max_overflow=0,
                pool_timeout=POOL_TIMEOUT_SECONDS,
                pool_use_lifo=True,  # what one connection has prepared serves nearly all batches
                connect_args=CONNECT_ARGS,
            )
            limit_connections(self._batcher.sync_engine, BATCH_SETTINGS)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A consistent view; writes through it are a mistake."""
        async with self._reader.connect() as connection, connection.begin():
            yield connection

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed when the block ends, rolled back when it raises.

        Errors: `ConnectionError`, an outage, after a standby was promoted and before `settled_timeline` names its timeline.
        """
        async with self._writer.begin() as connection:
            await self._require_settled(connection)
            yield connection
        failpoints.hit("db.committed")

    @asynccontextmanager
    async def write_batch(self) -> AsyncIterator[AsyncConnection]:
        """The same for the writes of running runs. On PostgreSQL its connections plan by primary keys alone, and wait for a locked row only
        as long as `BATCH_LOCK_TIMEOUT_MS`: the rows of other runs wait with it."""
        if self.dialect == "sqlite":
            async with self.write() as connection:
                yield connection
            return
        async with self._batcher.begin() as connection:
            await self._require_settled(connection)
            yield connection
        failpoints.hit("db.committed")

    @asynccontextmanager
    async def settling(self) -> AsyncIterator[AsyncConnection]:
        """A transaction for who settles what a new timeline means; all others wait for that."""
        async with self._writer.begin() as connection:
            yield connection

    async def _require_settled(self, connection: AsyncConnection) -> None:
        timeline = timeline_of(connection)
        if None not in (self.settled_timeline, timeline) and timeline != self.settled_timeline:
            await connection.invalidate()  # it may lead to a server that is not in charge any more
            raise ConnectionError(f"the database is on timeline {timeline}, this process on {self.settled_timeline}")

    @asynccontextmanager
    async def outside_transactions(self) -> AsyncIterator[Any]:
        """The writer's driver connection, for the few statements that no transaction allows."""
        async with self._writer.connect() as connection:
            yield (await connection.get_raw_connection()).driver_connection

    async def run_in_driver(self, connection: AsyncConnection, work: Callable[[sqlite3.Connection], T]) -> T:
        """Several statements of SQLite in one go, where the driver would hop to its thread and back for each.

        Errors: as those of `connection.execute`.
        """
        driver: Any = (await connection.get_raw_connection()).driver_connection
        try:
            # aiosqlite has no public way to hand a function to its thread; the alternative is a second thread with a connection of its own.
            result: T = await driver._execute(work, driver._conn)
        except sqlite3.Error as error:
            raise _as_ours(error, sqlite3.Error, is_lost=False) from error
        return result

    async def close(self) -> None:
        await self._writer.dispose()
        await self._reader.dispose()
        await self._batcher.dispose()


def build_sync_engine(url: str) -> Engine:
    """For migrations and for the heartbeat's own thread."""
    if dialect_of(url) == "postgresql":
        engine = create_engine(
            sync_url(url), pool_size=1, max_overflow=0, pool_pre_ping=True, connect_args=CONNECT_ARGS
        )
        limit_connections(engine)
        return engine
    engine = create_engine(sync_url(url), pool_size=1, max_overflow=0, connect_args={"check_same_thread": False})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    return engine


async def execute_prepared(connection: AsyncConnection, statement: bytes, parameters: Sequence[Array]) -> list[Any]:
    """The rows that a statement of PostgreSQL's own spelling ($1, $2) gives, straight through the driver; prepared at its first use.

    Errors: as those of `connection.execute`.
    """
    driver: Any = (await connection.get_raw_connection()).driver_connection
    try:
        cursor = await psycopg.AsyncRawCursor(driver).execute(statement, parameters, prepare=True)
        return await cursor.fetchall()
    except psycopg.Error as error:
        raise _as_ours(error, psycopg.Error, is_lost=driver.closed) from error


def _as_ours(error: Exception, base: type[Exception], *, is_lost: bool) -> Exception:
    """As SQLAlchemy would have raised it."""
    return DBAPIError.instance("", None, error, base, hide_parameters=True, connection_invalidated=is_lost)


def is_outage(error: BaseException) -> bool:
    """True when the database is away, full, read-only or too busy: the same work may succeed later, and nothing is wrong with it."""
    if isinstance(error, PoolTimeout | ConnectionError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated or sqlstate_of(error) == READ_ONLY_TRANSACTION:
        return True
    return isinstance(error, OperationalError | InterfaceError) and not (_is_bad_sql(error) or is_beyond_limits(error))


def is_beyond_limits(error: BaseException) -> bool:
    """True when the database can never take this data, however often it is tried."""
    return sqlstate_of(error).startswith(PROGRAM_LIMITS)


def sqlstate_of(error: BaseException) -> str:
    """PostgreSQL's five characters; empty when it said none."""
    return getattr(getattr(error, "orig", None), "sqlstate", None) or ""


def _is_bad_sql(error: DBAPIError) -> bool:
    """SQLite calls a missing table and a wrong statement operational, too."""
    return getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR


def _ping_idle(engine: Engine, after_seconds: float) -> None:
    """As `pool_pre_ping`, which asks each time: only of a connection that lay idle for so long."""

    def note_return(_connection: DBAPIConnection | None, record: ConnectionPoolEntry) -> None:
        record.info[_RETURNED_AT] = monotonic()

    def require_alive(connection: DBAPIConnection, record: ConnectionPoolEntry, _proxy: object) -> None:
        if monotonic() - record.info.get(_RETURNED_AT, inf) < after_seconds:
            return
        try:
            engine.dialect.do_ping(connection)
        except engine.dialect.loaded_dbapi.Error as error:
            raise InvalidatePoolError from error

    event.listen(engine, "checkin", note_return)
    event.listen(engine, "checkout", require_alive)


_RETURNED_AT = "returned_at"


def _sqlite_engine(url: str, *, pool_size: int) -> AsyncEngine:
    engine = create_async_engine(async_url(url), pool_size=pool_size, max_overflow=0, pool_timeout=POOL_TIMEOUT_SECONDS)
    event.listen(engine.sync_engine, "connect", _configure_sqlite)
    return engine


def _configure_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the driver must not begin transactions: the "begin" listeners do
    cursor = connection.cursor()
    for pragma in (
        "journal_mode=WAL",
        "synchronous=FULL",
        f"busy_timeout={BUSY_TIMEOUT_MS}",
        "foreign_keys=ON",
        "secure_delete=ON",
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_immediate(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _begin_deferred(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")


async def ping(database: Database) -> None:
    """Raises what the driver raises when the database does not answer."""
    async with database.read() as connection:
        await connection.execute(text("SELECT 1"))
