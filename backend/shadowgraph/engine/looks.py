"""Which budgets apply to the runs of a process: those that ask while one read is under way are answered by the next one, together."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.costs import budgets
from shadowgraph.costs.limits import Budget, Payer, may_apply
from shadowgraph.db.engine import Database
from shadowgraph.db.patience import read_patiently
from shadowgraph.engine.grouping import Group

log = logging.getLogger(__name__)

MOST_AT_ONCE = 64
"""Runs whose budgets one statement names."""


@dataclass(slots=True, eq=False)
class _Look:
    payer: Payer
    found: Sequence[Budget] = ()


class BudgetLooks:
    """One per process. Belongs to one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._group: Group[_Look] = Group(self._try_together, most=MOST_AT_ONCE, belongs_to=id)

    async def load(self, payer: Payer) -> Sequence[Budget]:
        """All that may apply to this payer's calls, read after this was asked. Waits out an outage."""
        look = _Look(payer)
        if not await self._group.join(look):
            await read_patiently(self._database, partial(_answer, looks=[look]))
        return look.found

    async def _try_together(self, looks: Sequence[_Look]) -> bool:
        try:
            async with self._database.read() as connection:
                await _answer(connection, looks)
        except Exception as error:  # noqa: BLE001  whatever it is, each that goes alone meets its own again
            log.info("%d looks at budgets go alone: %s", len(looks), error)
            return False
        return True


async def _answer(connection: AsyncConnection, looks: Sequence[_Look]) -> None:
    found = await budgets.load_applying(connection, *(look.payer for look in looks))
    for look in looks:
        look.found = [budget for budget in found if may_apply(budget, look.payer)]
