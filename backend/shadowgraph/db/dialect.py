"""All that differs between SQLite and PostgreSQL."""

import re
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    DateTime,
    Dialect,
    Integer,
    String,
    Table,
    Text,
    TypeDecorator,
    false,
    func,
    literal_column,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import JSON

DialectName = Literal["sqlite", "postgresql"]

JsonColumn = JSON(none_as_null=True).with_variant(postgresql.JSONB(none_as_null=True), "postgresql")
"""JSONB on PostgreSQL, text on SQLite. None is SQL NULL on both."""

IdColumn = String().with_variant(Text(collation="C"), "postgresql")
"""Ids compare byte by byte on both databases: partitions and cursors depend on it."""

AutoId = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers only INTEGER PRIMARY KEY by itself."""


class UtcDateTime(TypeDecorator[datetime]):
    """Aware UTC in and out. SQLAlchemy's own type drops the time zone on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a naive datetime cannot be stored")
        return value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or value.tzinfo is not None:
            return value
        return value.replace(tzinfo=UTC)


class now_ms(FunctionElement[int]):  # noqa: N801  stands in SQL like a function
    """The database's clock in whole milliseconds since 1970: what leases, `available_at` and deadlines are compared with."""

    inherit_cache = True
    type = BigInteger()


@compiles(now_ms, "postgresql")
def _now_ms_postgresql(element: now_ms, compiler: SQLCompiler, **kw: Any) -> str:
    return "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint)"


@compiles(now_ms, "sqlite")
def _now_ms_sqlite(element: now_ms, compiler: SQLCompiler, **kw: Any) -> str:
    return "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"


class utc_day(FunctionElement[str]):  # noqa: N801  stands in SQL like a function
    """The day of a moment: `2026-08-14` as text on SQLite, a `date` on PostgreSQL, which groups it faster than text. `str` makes them one."""

    inherit_cache = True
    type = String()


@compiles(utc_day, "postgresql")
def _utc_day_postgresql(element: utc_day, compiler: SQLCompiler, **kw: Any) -> str:
    return f"CAST(timezone('UTC', {compiler.process(element.clauses, **kw)}) AS date)"


@compiles(utc_day, "sqlite")
def _utc_day_sqlite(element: utc_day, compiler: SQLCompiler, **kw: Any) -> str:
    return f"strftime('%Y-%m-%d', {compiler.process(element.clauses, **kw)})"


def insert(table: Table, dialect: DialectName) -> "postgresql.Insert | sqlite.Insert":
    """An INSERT that knows ON CONFLICT."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def async_url(url: str) -> str:
    """A database URL as people write it, with our async driver in it."""
    return _with_driver(url, sqlite_driver="sqlite+aiosqlite", postgresql_driver="postgresql+psycopg")


def sync_url(url: str) -> str:
    """The same for migrations and the heartbeat's thread."""
    return _with_driver(url, sqlite_driver="sqlite+pysqlite", postgresql_driver="postgresql+psycopg")


def dialect_of(url: str) -> DialectName:
    """Errors: `ValueError` for a database that we do not speak."""
    scheme = url.split(":", 1)[0].split("+", 1)[0]
    if scheme == "sqlite":
        return "sqlite"
    if scheme in ("postgres", "postgresql"):
        return "postgresql"
    raise ValueError(f"DATABASE_URL starts with {scheme!r}; use sqlite:///file.db or postgresql://user@host/name")


def _with_driver(url: str, *, sqlite_driver: str, postgresql_driver: str) -> str:
    driver = sqlite_driver if dialect_of(url) == "sqlite" else postgresql_driver
    return f"{driver}:{url.split(':', 1)[1]}"


def next_number(column: ColumnElement[int], dialect: DialectName, *, sequence: str) -> ColumnElement[int]:
    """The number that the database would give next to a row in this column. On SQLite only a transaction that writes may ask."""
    return func.nextval(sequence) if dialect == "postgresql" else func.coalesce(func.max(column), 0) + 1


def json_text(column: ColumnElement[Any], key: str, dialect: DialectName) -> ColumnElement[str]:
    """The text under a key of a JSON object column; NULL when it is absent."""
    if dialect == "postgresql":
        return func.jsonb_extract_path_text(column, key)
    return func.json_extract(column, '$."' + key.replace('"', '\\"') + '"')


async def make_room_for_sums(connection: AsyncConnection) -> None:
    """Until the transaction ends: groups by the hundred thousand stay in memory (PostgreSQL has 4 MB for them by default), and no query
    is compiled, which takes longer than it saves."""
    if connection.dialect.name == "postgresql":
        await connection.execute(_ROOM_FOR_SUMS)


async def expect_few_groups(connection: AsyncConnection) -> None:
    """Until the transaction ends. PostgreSQL cannot tell how few days lie behind a million moments: it would sort them all instead of
    keeping a sum for each day."""
    if connection.dialect.name == "postgresql":
        await connection.execute(_FEW_GROUPS)


_FEW_GROUPS = text("SELECT set_config('hash_mem_multiplier', '16', true), set_config('enable_sort', 'off', true)")
_ROOM_FOR_SUMS = text("SELECT set_config('work_mem', '64MB', true), set_config('jit', 'off', true)")


def matches_text(query: str, dialect: DialectName) -> ColumnElement[bool]:
    """The search over `run_texts`: each word of the query must begin some word of the text. Without a word nothing matches."""
    words = re.findall(r"\w+", query)
    if not words:
        return false()
    if dialect == "postgresql":
        tsquery = " & ".join(f"{word}:*" for word in words)
        return literal_column("run_texts.tsv").op("@@")(func.to_tsquery("simple", tsquery))
    return literal_column("run_texts").op("MATCH")(" ".join(f'text:"{word}"*' for word in words))


def plain_url(url: str) -> str:
    """What a driver itself takes: the file of a SQLite database, a libpq URL for PostgreSQL."""
    if dialect_of(url) == "sqlite":
        return url.partition("///")[2]
    return "postgresql:" + url.split(":", 1)[1]
