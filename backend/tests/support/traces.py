"""Looks for a piece of text in all that a database holds: every table, the graph library's too, and on SQLite every byte of the files."""

import sqlite3
from pathlib import Path

import psycopg
from psycopg import sql

from shadowgraph.db.dialect import dialect_of, plain_url

_TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname"


def tables_with(url: str, marker: str) -> set[str]:
    """The tables in which some value contains the marker, in any case and also inside bytes."""
    needles = (marker.lower(), marker.encode().hex())
    return {table for table, rows in dump(url).items() if any(needle in row for row in rows for needle in needles)}


def dump(url: str) -> dict[str, list[str]]:
    """Every row of every table, as text."""
    return _dump_postgresql(url) if dialect_of(url) == "postgresql" else _dump_sqlite(url)


def count_in_files(url: str, marker: str) -> int:
    """How often any file beside the SQLite database, and the database itself, has the marker in it."""
    needle = marker.lower().encode()
    files = [path for path in Path(plain_url(url)).parent.rglob("*") if path.is_file()]
    return sum(path.read_bytes().lower().count(needle) for path in files)


def _dump_postgresql(url: str) -> dict[str, list[str]]:
    """Partitions stand for themselves; `bytea` shows as hexadecimal digits."""
    with psycopg.connect(url) as connection:
        tables = [str(name) for (name,) in connection.execute(_TABLES)]
        every_row = sql.SQL("SELECT t::text FROM {} t")
        return {
            table: [str(row).lower() for (row,) in connection.execute(every_row.format(sql.Identifier(table)))]
            for table in tables
        }


def _dump_sqlite(url: str) -> dict[str, list[str]]:
    connection = sqlite3.connect(plain_url(url))
    try:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: [_text(row) for row in connection.execute(f'SELECT * FROM "{table}"')] for table in tables}
    finally:
        connection.close()


def _text(row: tuple[object, ...]) -> str:
    return " ".join(value.hex() if isinstance(value, bytes) else str(value) for value in row).lower()
