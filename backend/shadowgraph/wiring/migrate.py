"""Brings a database to the schema of this build: our tables first, then the graph library's."""

from shadowgraph.db.migrate import migrate
from shadowgraph.engine.checkpoints.setup import set_up_checkpoints


def migrate_all(database_url: str) -> None:
    """Safe to call again and from several processes. Blocks; on SQLite it must not run inside an event loop."""
    migrate(database_url)
    set_up_checkpoints(database_url)
