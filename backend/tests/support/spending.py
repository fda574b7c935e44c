"""Calls that cost a cent each, as a worker makes them: set aside, journaled, answered, booked."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from decimal import Decimal

from sqlalchemy import select, update

from shadowgraph.core.calls import AttemptEnd, AttemptStart, CallId, Hold, Place, Usage, Wish
from shadowgraph.core.money import to_usd
from shadowgraph.costs.budgets import load_spent
from shadowgraph.costs.limits import WHOLE, Account, period_at
from shadowgraph.costs.prices import Override, PriceBook, UnitPrices
from shadowgraph.db.engine import Database
from shadowgraph.engine.claim import Claim
from shadowgraph.engine.journal import EngineLlmJournal, StepMemory
from shadowgraph.engine.looks import BudgetLooks
from shadowgraph.engine.purse import RunPurse
from shadowgraph.engine.recorder import RunRecorder
from shadowgraph.engine.writer import Writer
from shadowgraph.models.budgets import budget_holds
from shadowgraph.models.runs import runs
from shadowgraph.queue.inprocess import InProcessWakeups
from shadowgraph.runs.budgets import BudgetState, NewBudget, create_budget, require_budget
from shadowgraph.runs.run import Run
from tests.support.runs import CLOCK, NOWHERE, claim, start_run

CENT, NOTHING = Decimal("0.01"), Decimal(0)
PROVIDER, MODEL = "fake", "fake-1"
UNPRICED = "nobody-knows"


def a_cent_each() -> PriceBook:
    free = Decimal(0)
    return PriceBook([Override(PROVIDER, MODEL, UnitPrices(free, free, call=CENT))])


@dataclass
class Spender:
    """One claim of one run."""

    database: Database
    run: Run
    prices: PriceBook = field(default_factory=a_cent_each)

    def __post_init__(self) -> None:
        mine = Claim(self.run, NOWHERE, self.run.event_seq)
        self.recorder = RunRecorder(
            mine, Writer(self.database), clock=CLOCK, wakeups=InProcessWakeups(), attempts=Counter()
        )
        self.journal = EngineLlmJournal(self.recorder, self.database, StepMemory(), clock=CLOCK, prices=self.prices)
        self.purse = RunPurse(self.database, self.prices, mine, looks=BudgetLooks(self.database), clock=CLOCK)

    async def reserve(self, index: int, *, model: str = MODEL, agent: str = "node") -> Hold | None:
        return await self.purse.reserve(Wish(call_of(index), 1, agent, PROVIDER, model, 10, 10))

    async def begin(self, index: int, *, model: str = MODEL, agent: str = "node") -> Hold | None:
        hold = await self.reserve(index, model=model, agent=agent)
        start = AttemptStart(1, PROVIDER, model, CLOCK.now(), 10, max_completion_tokens=10)
        await self.journal.start(call_of(index), agent=agent, attempt=start)
        return hold

    async def end(
        self, index: int, hold: Hold | None, *, usage: Usage | None = None, model: str = MODEL, agent: str = "node"
    ) -> None:
        used = usage or Usage(10, 5)
        priced = self.prices.price(PROVIDER, model, used, at=CLOCK.now())
        ended = AttemptEnd(1, CLOCK.now(), used, latency_ms=1, priced=priced)
        await self.journal.finish(call_of(index), agent=agent, ended=ended, answer=b"{}")
        if hold:
            await self.purse.settle(hold, priced.cost_nano_usd)

    async def call(self, index: int, *, agent: str = "node", model: str = MODEL) -> int:
        hold = await self.begin(index, agent=agent, model=model)
        await asyncio.sleep(0)
        await self.end(index, hold, agent=agent, model=model)
        return index


def call_of(index: int) -> CallId:
    return CallId(f"0//node/1//{index}", "hash", Place("", "node", 1, ""))


async def spender(database: Database, **fields: object) -> Spender:
    """Of a new run."""
    await start_run(database, **fields)  # type: ignore[arg-type]  # as a run takes them
    return Spender(database, await claim(database))


async def child_spender(database: Database, parent: Run) -> Spender:
    """Of a new run whose parent is this one."""
    await start_child(database, parent)
    return Spender(database, await claim(database))


async def start_child(database: Database, parent: Run) -> Run:
    run = await start_run(database)
    async with database.write() as connection:
        await connection.execute(update(runs).where(runs.c.id == run.id).values(parent_run_id=parent.id))
    return run


async def make_budget(database: Database, new: NewBudget) -> BudgetState:
    async with database.write() as connection:
        return await create_budget(connection, database.dialect, new, who="ann", clock=CLOCK)


async def state_of(database: Database, budget_id: str, *, period: str = WHOLE) -> tuple[Decimal, Decimal]:
    """Spent and held, in USD."""
    async with database.read() as connection:
        budget = await require_budget(connection, budget_id)
        account = Account(budget, period_at(budget.window, period, CLOCK.now()))
        found = await load_spent(connection, account)
    return to_usd(found.spent), to_usd(found.held)


async def count_holds(database: Database) -> int:
    async with database.read() as connection:
        return len((await connection.execute(select(budget_holds.c.id))).all())
