"""Schema revisions of our own tables (the checkpoint tables are set up by `engine/checkpoints/`)."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, text

from shadowgraph.core.errors import Unavailable
from shadowgraph.db.dialect import dialect_of
from shadowgraph.db.engine import build_sync_engine

MIGRATIONS = Path(__file__).parent.parent / "migrations"
MIGRATION_LOCK = 0x5368_6164  # one migration at a time, over all processes that share a PostgreSQL database


class SchemaOutdated(Unavailable):
    """The database has an older schema than this build needs."""

    code = "schema_outdated"


def migrate(url: str) -> None:
    """Brings the database to the newest revision; safe when several processes start at once."""
    create_sqlite_folder(url)
    engine = build_sync_engine(url)
    try:
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text("SET LOCAL lock_timeout = 0"))
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    finally:
        engine.dispose()


def create_sqlite_folder(url: str) -> None:
    if dialect_of(url) == "sqlite" and (path := url.partition("///")[2]):
        Path(path).parent.mkdir(parents=True, exist_ok=True)


def require_schema(url: str) -> None:
    """Errors: `SchemaOutdated`. A newer schema is accepted: migrations expand first and contract a release later."""
    found = current_revision(url)
    if found is None or found < newest_revision():
        raise SchemaOutdated(
            f"the database schema is at revision {found or 'none'}, this build needs {newest_revision()}",
            hint="run: shadowgraph migrate",
        )


def current_revision(url: str) -> str | None:
    engine = build_sync_engine(url)
    try:
        return _revision_of(engine)
    finally:
        engine.dispose()


def newest_revision() -> str:
    revision = ScriptDirectory.from_config(_config()).get_current_head()
    assert revision is not None
    return revision


def _revision_of(engine: Engine) -> str | None:
    with engine.begin() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config
