"""Random histories of a few runs, through the real journal, purse, takeover, retry, resume and fork: no number about money is ever wrong."""

import asyncio
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import get_args

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, update

from shadowgraph.core.calls import AttemptEnd, AttemptStart, Usage, Wish
from shadowgraph.core.money import to_nano
from shadowgraph.costs.budgets import fold_ended
from shadowgraph.costs.grouping import GroupBy
from shadowgraph.costs.ledger import Sums, Which, load_report, sum_runs
from shadowgraph.costs.prices import Override, PriceBook, UnitPrices
from shadowgraph.db.engine import Database
from shadowgraph.engine import exits
from shadowgraph.engine.exits import Leaving
from shadowgraph.engine.writer import Writer
from shadowgraph.models.budgets import budget_holds, budget_periods, budgets
from shadowgraph.models.llm_calls import llm_attempts, llm_calls
from shadowgraph.models.runs import runs
from shadowgraph.runs.budgets import NewBudget
from shadowgraph.runs.lifecycle import ForkSpec, fork_run, resume_run, retry_run
from shadowgraph.runs.run import Run
from shadowgraph.runs.takeover import take_orphans
from tests.support.runs import CLOCK, claim, start_run
from tests.support.spending import MODEL, PROVIDER, UNPRICED, Spender, call_of, make_budget, state_of

PRICES = PriceBook(
    [
        Override(PROVIDER, MODEL, UnitPrices(Decimal("0.15"), Decimal("0.6"), cached=Decimal("0.075"))),
        Override(PROVIDER, "dear", UnitPrices(Decimal("3"), Decimal("15.000000001"), call=Decimal("0.000000001"))),
    ]
)
MODELS = (MODEL, "dear", UNPRICED)

CALLS = ("finish", "fail", "refused", "second attempt", "cut")
LEAVING: Mapping[str, Leaving] = {
    "pause and resume": exits.paused(at=CLOCK.now()),
    "budget and resume": exits.budget_exceeded({"code": "budget_exceeded"}, at=CLOCK.now()),
    "fail and retry": exits.failed({"code": "node_failed", "message": "x"}, at=CLOCK.now()),
}
"""How a worker leaves the run, before somebody lets it go on."""

usages = st.builds(
    lambda prompt, completion, cached, source: Usage(prompt, completion, min(prompt, cached), 0, source),
    st.integers(0, 9_999),
    st.integers(0, 9_999),
    st.integers(0, 99),
    st.sampled_from(["provider", "estimated"]),
)
steps = st.lists(
    st.tuples(
        st.sampled_from(
            [
                *CALLS,
                "finish",
                "crash",
                "crash early",
                "pause and resume",
                "budget and resume",
                "fail and retry",
                "fork",
            ]
        ),
        st.sampled_from(MODELS),
        st.sampled_from(["planner", "coder"]),
        usages,
        st.integers(0, 2),
    ),
    max_size=10,
)


@dataclass
class History:
    """What really happened, beside what the ledger says."""

    database: Database
    runs: list[Spender] = field(default_factory=list)
    costs: Counter[str] = field(default_factory=Counter)
    """Known cost in nano-USD, by run."""
    attempts: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)
    indexes: Iterator[int] = field(default_factory=itertools.count)
    finished: defaultdict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    """Calls with an answer, by run."""
    parents: dict[str, str] = field(default_factory=dict)

    async def play(self, action: str, model: str, agent: str, usage: Usage, which: int) -> None:
        at = which % len(self.runs)
        one = self.runs[at]
        if action == "fork":
            await self.fork(one.run)
        elif action in LEAVING:
            await self._leave_and_come_back(at, action)
        else:
            await self._call(at, action, model, agent, usage)

    async def fork(self, parent: Run) -> None:
        async with self.database.write() as connection:
            made = await fork_run(
                connection, self.database.dialect, parent.id, ForkSpec("checkpoint"), who="ann", clock=CLOCK
            )
        self.parents[made.id] = parent.id
        self.runs.append(await self.claim_next())

    async def _leave_and_come_back(self, at: int, action: str) -> None:
        one, leaving = self.runs[at], LEAVING[action]
        await Writer(self.database).leave(one.recorder.claim, leaving.exit, leaving.rows)
        go_on = retry_run if action == "fail and retry" else resume_run
        async with self.database.write() as connection:
            await go_on(connection, one.run.id, who="ann", clock=CLOCK)
        self.runs[at] = await self.claim_next()

    async def claim_next(self) -> Spender:
        """Calls that are finished are answered from the journal, for nothing."""
        one = Spender(self.database, await claim(self.database), PRICES)
        for index in sorted(self.finished[one.run.id]):
            found = await one.journal.find(call_of(index))
            assert found is not None
            assert found.answer == b"{}", "paid once, known for good"
        return one

    def family_of(self, run_id: str) -> set[str]:
        """With its children, and theirs."""
        children = [child for child, parent in self.parents.items() if parent == run_id]
        return {run_id}.union(*(self.family_of(child) for child in children))

    async def _call(self, at: int, action: str, model: str, agent: str, usage: Usage) -> None:
        one, index = self.runs[at], next(self.indexes)
        hold = await one.begin(index, model=model, agent=agent)
        self.attempts[one.run.id] += 1
        if action.startswith("crash"):
            await self._crash(at, model, is_early=action == "crash early")
            return
        priced = None if action == "refused" else PRICES.price(PROVIDER, model, usage, at=CLOCK.now())
        ended = AttemptEnd(1, CLOCK.now(), None if action == "refused" else usage, "x", latency_ms=1, priced=priced)
        self._count(one.run, 0 if priced is None else priced.cost_nano_usd)
        call = call_of(index)
        match action:
            case "finish":
                await one.journal.finish(call, agent=agent, ended=ended, answer=b"{}")
                self.finished[one.run.id].add(index)
            case "cut":
                await one.journal.cut(call, agent=agent, ended=ended)
            case "second attempt":
                if hold:
                    await one.purse.settle(hold, priced.cost_nano_usd if priced else 0)
                hold = await one.purse.reserve(Wish(call, 2, agent, PROVIDER, MODEL, 10, 10))
                start = AttemptStart(2, PROVIDER, MODEL, CLOCK.now(), 10, max_completion_tokens=10)
                await one.journal.retry(call, agent=agent, ended=ended, attempt=start, error="x", wait_seconds=0)
                priced = again = PRICES.price(PROVIDER, MODEL, usage, at=CLOCK.now())
                second = AttemptEnd(2, CLOCK.now(), usage, latency_ms=1, priced=again)
                await one.journal.finish(call, agent=agent, ended=second, answer=b"{}")
                self.finished[one.run.id].add(index)
                self.attempts[one.run.id] += 1
                self._count(one.run, again.cost_nano_usd)
            case _:
                await one.journal.reject(call, agent=agent, ended=ended, error="x")
        if hold:
            await one.purse.settle(hold, priced.cost_nano_usd if priced else 0)

    async def _crash(self, at: int, model: str, *, is_early: bool) -> None:
        """Its worker dies with the call under way; another one takes over. Every other run's worker dies with it."""
        run = self.runs[at].run
        self._count(run, PRICES.price(PROVIDER, model, Usage(10, 10), at=CLOCK.now()).cost_nano_usd)
        async with self.database.write() as connection:
            await take_orphans(connection, clock=CLOCK)
            if is_early:
                await fold_ended(connection, self.database.dialect)
            await connection.execute(update(runs).values(crash_streak=0))
        self.runs = [await self.claim_next() for _ in self.runs]

    def _count(self, run: Run, cost: int | None) -> None:
        self.costs[run.id] += cost or 0
        self.unknown[run.id] += cost is None


async def begin(database: Database) -> History:
    """Two runs, and a fork of the first one."""
    history = History(database)
    for _ in range(2):
        await start_run(database)
        history.runs.append(await history.claim_next())
    await history.fork(history.runs[0].run)
    return history


def test_random_histories_add_up(database_url: str) -> None:
    @settings(
        max_examples=8,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(steps)
    def check(history: list[tuple[str, str, str, Usage, int]]) -> None:
        asyncio.run(play_and_check(database_url, history))

    check()


async def play_and_check(url: str, actions: list[tuple[str, str, str, Usage, int]]) -> None:
    database = Database(url, pool_size=3)
    try:
        await forget_everything(database)
        monthly = NewBudget("everything", "", "month", Decimal(1_000_000), action="warn")
        budget = (await make_budget(database, monthly)).budget
        history = await begin(database)
        first = history.runs[0].run.id
        family = (await make_budget(database, NewBudget("run", first, "run", Decimal(1_000_000), "warn"))).budget
        for action in actions:
            await history.play(*action)
        await check_sums(history)
        async with database.write() as connection:
            await fold_ended(connection, database.dialect)
        total = sum(history.costs.values())
        assert tuple(map(to_nano, await state_of(database, budget.id))) == (total, 0), (
            "the budget says what the ledger says"
        )
        shared = sum(history.costs[run_id] for run_id in history.family_of(first))
        assert tuple(map(to_nano, await state_of(database, family.id))) == (shared, 0), "a fork counts with its parent"
    finally:
        await database.close()


async def forget_everything(database: Database) -> None:
    async with database.write() as connection:
        for table in (budget_holds, budget_periods, budgets, llm_attempts, llm_calls, runs):
            await connection.execute(delete(table))


async def check_sums(history: History) -> None:
    async with history.database.read() as connection:
        reports = {by: await load_report(connection, Which(), by=by) for by in get_args(GroupBy)}
        by_run = await sum_runs(connection, [one.run.id for one in history.runs])
        cut_off = await load_report(connection, Which(), by="agent", limit=1)
        statuses = set((await connection.scalars(select(llm_attempts.c.status))).all())
    totals = {report.total for report in reports.values()}
    assert len(totals) == 1, "every grouping has the same total"
    (total,) = totals
    for by, report in reports.items():
        assert sum((group.sums for group in report.groups), Sums()) == total, by
    assert sum((group.sums for group in cut_off.groups), cut_off.rest) == total
    assert "started" not in statuses
    for one in history.runs:
        sums, run_id = by_run.get(one.run.id, Sums()), one.run.id
        assert sums.attempts == history.attempts[run_id], "no attempt is lost or counted twice"
        assert (sums.cost_nano_usd, sums.unpriced) == (history.costs[run_id], history.unknown[run_id])
        if history.unknown[run_id]:
            assert sums.cost_state in ("unknown", "partial"), "unknown never becomes 0"
