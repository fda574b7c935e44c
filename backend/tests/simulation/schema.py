"""The migrated schema as bytes, which every simulation begins with."""

import sqlite3
from contextlib import closing
from pathlib import Path

from tests.support.database import migrate_database


def migrated_schema(folder: Path) -> bytes:
    """Blocks; must not run inside an event loop."""
    path = folder / "schema.db"
    migrate_database(f"sqlite:///{path}")
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")  # a database in memory has no write-ahead log
        return connection.serialize()
