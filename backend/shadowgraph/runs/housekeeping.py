"""What has to be done once an hour, a little at a time, so that nobody waits for it. Every API and worker process does; locks keep them apart."""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

from shadowgraph.core.clock import Clock
from shadowgraph.db.engine import Database, is_outage
from shadowgraph.db.scrubbing import scrub
from shadowgraph.runs.amounts import Removed, add_up
from shadowgraph.runs.budgets import list_shared, recount_now
from shadowgraph.runs.collecting import PAUSE_SECONDS, Collector, Step
from shadowgraph.runs.retention import Ages, CheckpointStore

log = logging.getLogger(__name__)

FIRST_AFTER_SECONDS = 30.0
"""A process that has just started has something better to do, and a command's own server is gone before."""
EVERY_SECONDS = 3600.0
WINDOWS_PER_HOUR = 20
"""So many windows of payloads are looked through for orphans. Few arise: a file that was written twice, a month that was dropped."""


class Housekeeper:
    """`more`: what only this process can do."""

    def __init__(
        self, database: Database, store: CheckpointStore, ages: Ages, *, clock: Clock, more: Sequence[Step] = ()
    ) -> None:
        self._database = database
        self._clock = clock
        self._more = more
        self._collector = Collector(database, store, ages, clock=clock, pause_seconds=PAUSE_SECONDS)

    async def run(self) -> None:
        """Until cancelled. An outage of the database is waited out."""
        if self._database.dialect == "postgresql":
            await self._try(self._collector.make_months)
        await asyncio.sleep(FIRST_AFTER_SECONDS)
        while True:
            await self.keep_house()
            await asyncio.sleep(EVERY_SECONDS)

    async def keep_house(self) -> None:
        look_for_orphans: Step = partial(self._collector.delete_orphans, windows=WINDOWS_PER_HOUR)
        steps: list[Step] = [*self._collector.small_steps(), look_for_orphans, self._recount, self._scrub, *self._more]
        _tell(add_up(*[await self._try(step) for step in steps]))

    async def _recount(self) -> Removed:
        """Budgets agree with the ledger anyway; this mends what no transaction can, such as an outage in the wrong moment."""
        for budget in await list_shared(self._database):
            async with self._database.write() as connection:
                await recount_now(connection, budget, now=self._clock.now())
        return {}

    async def _scrub(self) -> Removed:
        await scrub(self._database)
        return {}

    async def _try(self, step: Step) -> Removed:
        """One that fails keeps none of the others from its turn."""
        try:
            return await step()
        except Exception as error:
            if not is_outage(error):
                log.exception("housekeeping failed")
            return {}


def _tell(removed: Removed) -> None:
    parts = [f"{amount.rows} {kind} ({amount.bytes:,} bytes)" for kind, amount in removed.items() if amount.rows]
    if parts:
        log.info("removed by age: %s", ", ".join(parts))
