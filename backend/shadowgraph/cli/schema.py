"""The work of `shadowgraph migrate`."""

from contextlib import nullcontext

from shadowgraph.core.settings import Settings
from shadowgraph.db.migrate import newest_revision
from shadowgraph.wiring.embedded import hold_database
from shadowgraph.wiring.migrate import migrate_all


def bring_up_to_date(settings: Settings) -> str:
    """The revision afterwards.

    Errors: `StorageLocked` while a server works on the SQLite database.
    """
    with hold_database(settings) if settings.is_embedded else nullcontext():
        migrate_all(settings.effective_database_url)
    return newest_revision()
