"""All housekeeping at once, for `shadowgraph gc`."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

from shadowgraph.core.clock import SystemClock
from shadowgraph.core.settings import Settings
from shadowgraph.db.dialect import plain_url
from shadowgraph.db.engine import Database
from shadowgraph.db.migrate import require_schema
from shadowgraph.db.scrubbing import shrink
from shadowgraph.engine.checkpoints.retention import STORE
from shadowgraph.runs.amounts import Removed
from shadowgraph.runs.collecting import Collector
from shadowgraph.runs.previewing import preview
from shadowgraph.runs.retention import Ages
from shadowgraph.wiring.embedded import hold_database


async def collect_garbage(settings: Settings, *, is_preview: bool) -> Removed:
    """What went, or would go.

    Errors: `SchemaOutdated`; `StorageLocked` while a server works on the SQLite database.
    """
    url = settings.effective_database_url
    with ExitStack() as stack:
        if settings.is_embedded:
            if not await asyncio.to_thread(Path(plain_url(url)).exists):
                return {}
            stack.enter_context(hold_database(settings))
        await asyncio.to_thread(require_schema, url)
        database = Database(url)
        try:
            return await (_preview if is_preview else _collect)(database, settings)
        finally:
            await database.close()


async def _preview(database: Database, settings: Settings) -> Removed:
    return await preview(database, STORE, Ages.of_days(settings.checkpoint_days), clock=SystemClock())


async def _collect(database: Database, settings: Settings) -> Removed:
    collector = Collector(database, STORE, Ages.of_days(settings.checkpoint_days), clock=SystemClock())
    removed = await collector.collect()
    await shrink(database)
    return removed
