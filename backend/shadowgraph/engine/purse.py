"""The budgets of one claim's run: asked before each call leaves, told what it cost."""

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress

from shadowgraph.core import failpoints
from shadowgraph.core.calls import CallId, Hold, Wish
from shadowgraph.core.clock import Clock
from shadowgraph.core.errors import OverBudget
from shadowgraph.core.ids import new_hold_id
from shadowgraph.costs import budgets
from shadowgraph.costs.budgets import HOLD_MS, AttemptKey
from shadowgraph.costs.limits import Account, Budget, Payer, accounts_for, unpriced
from shadowgraph.costs.prices import PriceBook
from shadowgraph.db.engine import Database, is_outage
from shadowgraph.db.patience import outlast_outage, read_patiently
from shadowgraph.engine.claim import Claim
from shadowgraph.engine.looks import BudgetLooks
from shadowgraph.engine.rows import HoldRow
from shadowgraph.runs.budgets import tell_exceeded

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""A budget that is made while a run is under way holds for its calls after this time. (A limit that is changed holds at once.)"""
SETTLED_SECONDS = 0.5
"""How long a call that found no room waits before it looks again whether the run's own calls under way have left some."""


class RunPurse:
    """Implements `core.calls.Purse`. Belongs to the claim's event loop, but for `open_tab`."""

    def __init__(
        self,
        database: Database,
        prices: PriceBook,
        claim: Claim,
        *,
        looks: BudgetLooks,
        clock: Clock,
        is_enabled: bool = True,
    ) -> None:
        self._database = database
        self._looks = looks
        self._prices = prices
        self._claim = claim
        self._clock = clock
        self._is_enabled = is_enabled
        self._payer: Payer | None = None
        self._budgets: Sequence[Budget] = ()
        self._looked_at = float("-inf")
        self._looking = asyncio.Lock()
        self._turn = asyncio.Lock()
        self._own: dict[str, float] = {}
        """The run's holds that are not settled: id, and when they were made."""
        self._settled = asyncio.Event()

    # --- calls that pass the gateway ------------------------------------------------------------------------------------------------

    async def reserve(self, wish: Wish) -> Hold | None:
        """Errors: `BudgetExceeded`, `PriceUnknown`, `FallBack`."""
        await self.look()
        accounts = self._accounts(wish.agent, wish.provider)
        cost = self._prices.estimate(wish, at=self._clock.now()).cost_nano_usd
        if not accounts or cost == 0:
            return None
        if cost is None:
            self._require_price(accounts, wish)
        async with self._turn:
            return await self._hold(accounts, self._key_of(wish.call, wish.attempt), cost or 0)

    async def settle(self, hold: Hold, cost_nano_usd: int | None) -> None:
        """What cannot be booked now is booked by the sweeper, from the ledger."""
        failpoints.hit("engine.purse.settling")
        try:
            async with self._database.write() as connection:
                await budgets.settle(connection, hold.id, cost_nano_usd=cost_nano_usd)
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning("the database is away: what a call cost is booked later")
        finally:
            self._own.pop(hold.id, None)
            self._settled.set()

    @staticmethod
    def _require_price(accounts: Sequence[Account], wish: Wish) -> None:
        for account in accounts:
            if account.budget.stops:
                raise unpriced(account, provider=wish.provider, model=wish.model)

    async def _hold(self, accounts: Sequence[Account], attempt: AttemptKey, nano_usd: int) -> Hold:
        """A refusal holds only when none of the run's own calls is under way: each may cost less than was set aside for it, and who
        leaves now would cut them off."""
        while True:
            was_alone = not self._own_under_way()
            try:
                hold = await self._set_aside(accounts, attempt, nano_usd)
            except OverBudget as error:
                if await self._fold(accounts) or not was_alone:
                    await self._wait_for_own()
                    continue
                await self._tell(error, accounts)
                raise
            self._own[hold.id] = self._clock.monotonic()
            failpoints.hit("engine.purse.reserved")
            return hold

    async def _set_aside(self, accounts: Sequence[Account], attempt: AttemptKey, nano_usd: int) -> Hold:
        hold_id = new_hold_id()

        async def work() -> None:
            async with self._database.write() as connection:
                if await budgets.has_hold(connection, hold_id):
                    return  # the commit had arrived before the connection broke
                exceeded = await budgets.reserve(
                    connection, self._database.dialect, accounts, attempt, hold_id=hold_id, nano_usd=nano_usd
                )
                for account in exceeded:
                    await tell_exceeded(
                        connection, self._database.dialect, account, run=self._claim.run, at=self._clock.now()
                    )

        await outlast_outage(work)
        return Hold(hold_id, nano_usd)

    async def _fold(self, accounts: Sequence[Account]) -> bool:
        """True: something was booked, so there may be room now."""

        async def work() -> int:
            async with self._database.write() as connection:
                ids = [account.budget.id for account in accounts]
                return await budgets.fold_ended(connection, self._database.dialect, budget_ids=ids)

        return await outlast_outage(work) > 0

    def _own_under_way(self) -> bool:
        latest = self._clock.monotonic() - HOLD_MS / 1000
        self._own = {hold_id: made for hold_id, made in self._own.items() if made > latest}
        return bool(self._own)

    async def _wait_for_own(self) -> None:
        """Until one of the run's own calls is settled, if any is under way."""
        if not self._own_under_way():
            return
        self._settled.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(SETTLED_SECONDS):
                await self._settled.wait()

    async def _tell(self, error: OverBudget, accounts: Sequence[Account]) -> None:
        account = next((found for found in accounts if found.budget.id == error.facts["budget_id"]), None)
        if account is None or account.budget.subject == "run":  # a run says it itself
            return

        async def work() -> None:
            async with self._database.write() as connection:
                await tell_exceeded(
                    connection, self._database.dialect, account, run=self._claim.run, at=self._clock.now()
                )

        await outlast_outage(work)

    # --- calls that are only metered ------------------------------------------------------------------------------------------------

    def open_tab(self, call: CallId, n: int, *, agent: str, provider: str) -> list[HoldRow]:
        """Holds of nothing: what the attempt costs will be counted. Safe from any thread."""
        hold_id = new_hold_id()
        return [
            HoldRow(hold_id, account.budget.id, account.period, 0, call.key, call.request_hash, n)
            for account in self._accounts(agent, provider)
        ]

    async def book_tabs(self) -> None:
        """What the metered attempts that have ended cost."""
        await self.look()
        if not self._budgets:
            return
        try:
            async with self._database.write() as connection:
                ids = [budget.id for budget in self._budgets]
                await budgets.fold_ended(connection, self._database.dialect, budget_ids=ids)
        except Exception as error:
            if not is_outage(error):
                raise

    # --- which budgets there are ----------------------------------------------------------------------------------------------------

    async def look(self) -> None:
        """Reads the budgets again when the last time is a while ago."""
        if not self._is_enabled:
            return
        async with self._looking:  # nobody goes on before the first look has ended
            if self._clock.monotonic() - self._looked_at >= LOOK_SECONDS:
                self._budgets = await self._load()
                self._looked_at = self._clock.monotonic()

    async def _load(self) -> Sequence[Budget]:
        run = self._claim.run
        if self._payer is None:
            self._payer = Payer(await self._load_lineage(), run.workflow, run.version_id, run.owner)
        return await self._looks.load(self._payer)

    async def _load_lineage(self) -> Sequence[str]:
        run = self._claim.run
        if run.parent_run_id is None:
            return [run.id]
        return await read_patiently(self._database, lambda connection: budgets.load_lineage(connection, run.id))

    def _accounts(self, agent: str, provider: str) -> list[Account]:
        if self._payer is None:
            return []
        return accounts_for(self._budgets, self._payer, agent=agent, provider=provider, now=self._clock.now())

    def _key_of(self, call: CallId, n: int) -> AttemptKey:
        return AttemptKey(self._claim.run_id, call.key, call.request_hash, n)
