"""How soon a run goes on whose worker has died: said once at the start where a pooler makes a difference."""

import logging
from dataclasses import dataclass

from shadowgraph.core.settings import Settings
from shadowgraph.db.engine import Database
from shadowgraph.db.patience import outlast_outage
from shadowgraph.db.sessions import is_pooled, timeline_of

log = logging.getLogger(__name__)

AFTER_LEASE_SECONDS = 2.0
"""Beyond the lease: the sweep that sees it expired, and the poll that finds the run."""


async def tell_recovery(database: Database, settings: Settings) -> None:
    if settings.is_embedded:
        return
    way = await outlast_outage(lambda: _look_at_connection(database))
    if way.is_pooled:
        level = logging.INFO if settings.database_direct_url else logging.WARNING
        log.log(level, "DATABASE_URL leads through a pooler: %s", describe_recovery(settings))
    if way.timeline is None:
        log.warning("the database does not tell its timeline: a promoted standby that lacks commits goes unnoticed")


def describe_recovery(settings: Settings) -> str:
    """Through a pooler."""
    if settings.database_direct_url:
        return "session locks and LISTEN go past it by DATABASE_DIRECT_URL, so a dead worker is noticed within a second"
    return f"{describe_slow_recovery(settings)}; set DATABASE_DIRECT_URL to the database itself, and it is a second"


def describe_slow_recovery(settings: Settings) -> str:
    seconds = settings.lease_seconds + AFTER_LEASE_SECONDS
    return f"a run whose worker dies is taken over after up to {seconds:g} s (its lease and a sweep)"


@dataclass(frozen=True, slots=True)
class _Way:
    is_pooled: bool
    timeline: int | None


async def _look_at_connection(database: Database) -> _Way:
    async with database.read() as connection:
        return _Way(is_pooled(connection), timeline_of(connection))
