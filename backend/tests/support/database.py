"""Databases of one's own: one PostgreSQL database per test process, one SQLite file per test."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from shadowgraph.wiring.migrate import migrate_all

KEPT_TABLES = ("alembic_version", "checkpoint_migrations")
"""Tables that say which schema this is."""

_TABLES = """
    SELECT relname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE nspname = 'public' AND relkind IN ('r', 'p') AND NOT relispartition
"""


@contextmanager
def postgresql_database(server_url: str) -> Iterator[str]:
    """An empty database; dropped at the end, whoever is still connected."""
    name = f"shadowgraph_test_{secrets.token_hex(6)}"
    identifier = sql.Identifier(name)
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(identifier))
        # Commits need not reach the disk: no test crashes a shared server, and these are many short transactions.
        connection.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(identifier))
    try:
        yield at_server(f"postgresql:///{name}", server_url)
    finally:
        with psycopg.connect(server_url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))


def at_server(url: str, server_url: str) -> str:
    """The same database, reached by another way."""
    return urlunsplit(urlsplit(server_url)._replace(path=urlsplit(url).path))


def migrate_database(url: str) -> None:
    """All tables of this build."""
    migrate_all(url)


def empty_database(url: str) -> None:
    """Removes every row but those of the schema itself. Waits at most 5 s for a connection that a test left in a transaction."""
    with psycopg.connect(url) as connection:
        connection.execute("SET LOCAL lock_timeout = '5s'")
        names = [str(name) for (name,) in connection.execute(_TABLES) if name not in KEPT_TABLES]
        filled = [name for name in names if _has_rows(connection, name)]
        if filled:
            tables = sql.SQL(", ").join(map(sql.Identifier, filled))
            connection.execute(sql.SQL("TRUNCATE {} CASCADE").format(tables))


def copy_sqlite(template: Path, folder: Path) -> str:
    """A migrated file of the test's own."""
    path = folder / "shadowgraph.db"
    shutil.copyfile(template, path)
    return f"sqlite:///{path}"


def _has_rows(connection: psycopg.Connection, name: str) -> bool:
    query = sql.SQL("SELECT EXISTS (SELECT 1 FROM {})").format(sql.Identifier(name))
    row = connection.execute(query).fetchone()
    return row is not None and bool(row[0])
