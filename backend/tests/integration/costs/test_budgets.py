"""Budgets hold whoever spends at the same time, and whoever dies in between."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select, update

from shadowgraph.core.calls import FallBack, Usage
from shadowgraph.core.errors import OverBudget
from shadowgraph.costs.budgets import fold_ended, recount
from shadowgraph.costs.limits import Account, BudgetExceeded, PriceUnknown
from shadowgraph.costs.prices import Override, PriceBook, UnitPrices
from shadowgraph.db.engine import Database
from shadowgraph.models.alerts import alerts
from shadowgraph.models.budgets import budget_holds, budget_periods
from shadowgraph.models.llm_calls import llm_attempts
from shadowgraph.runs.budgets import BudgetExists, BudgetUnfit, NewBudget, change_budget, require_budget, seed_monthly
from shadowgraph.runs.takeover import take_orphans
from tests.support.runs import CLOCK, claim, start_run
from tests.support.spending import (
    CENT,
    MODEL,
    NOTHING,
    PROVIDER,
    UNPRICED,
    Spender,
    a_cent_each,
    child_spender,
    count_holds,
    make_budget,
    spender,
    state_of,
)

FIVE_CALLS = 5 * CENT


def monthly(limit: Decimal = FIVE_CALLS, **fields: Any) -> NewBudget:
    return NewBudget("everything", "", "month", limit, **fields)


async def outcomes(*calls: Any) -> tuple[int, int]:
    """How many passed, and how many a budget refused."""
    found = await asyncio.gather(*calls, return_exceptions=True)
    refused = [item for item in found if isinstance(item, OverBudget)]
    assert all(isinstance(item, OverBudget | int) for item in found), found
    return len(found) - len(refused), len(refused)


async def test_twenty_workers_at_once_cannot_overspend_by_one_call(database: Database) -> None:
    budget = (await make_budget(database, monthly())).budget
    spenders = [await spender(database) for _ in range(20)]

    passed = await outcomes(*(one.call(0) for one in spenders))

    assert passed == (5, 15)
    assert await state_of(database, budget.id) == (FIVE_CALLS, NOTHING)
    assert await count_holds(database) == 0


async def test_calls_side_by_side_in_one_run_stop_at_its_budget_and_are_not_cut(database: Database) -> None:
    one = await spender(database, budget_usd=FIVE_CALLS)

    passed = await outcomes(*(one.call(index) for index in range(20)))

    assert passed == (5, 15)
    async with database.read() as connection:
        statuses = (await connection.scalars(select(llm_attempts.c.status))).all()
    assert statuses == ["done"] * 5, "who was refused never began, and who had begun came to its end"


async def test_a_call_waits_for_the_runs_own_calls_that_may_cost_less_than_was_set_aside(database: Database) -> None:
    prices = PriceBook([Override(PROVIDER, MODEL, UnitPrices(Decimal(0), Decimal(1000)))])  # a cent for 10 tokens
    await start_run(database, budget_usd=2 * CENT)
    one = Spender(database, await claim(database), prices)

    async def cheap(index: int) -> int:
        hold = await one.begin(index)
        await asyncio.sleep(0)
        await one.end(index, hold, usage=Usage(10, 1))
        return index

    assert await outcomes(*(cheap(index) for index in range(10))) == (10, 0), "each really cost a tenth of a cent"


async def test_money_of_a_call_whose_worker_died_is_booked_as_the_ledger_estimates(database: Database) -> None:
    one = await spender(database, budget_usd=FIVE_CALLS)
    await one.begin(0)
    budget_id = await only_budget(database)
    assert await state_of(database, budget_id) == (NOTHING, CENT)

    async with database.write() as connection:
        await take_orphans(connection, clock=CLOCK)
        await fold_ended(connection, database.dialect)

    assert await state_of(database, budget_id) == (CENT, NOTHING)
    async with database.read() as connection:
        (attempt,) = (await connection.execute(select(llm_attempts))).mappings()
    assert (attempt["status"], attempt["tokens_source"]) == ("in_doubt", "estimated")
    assert (attempt["prompt_tokens"], attempt["completion_tokens"]) == (10, 10), "as much as its request allowed"
    assert attempt["cost_nano_usd"] == 10_000_000


async def only_budget(database: Database) -> str:
    async with database.read() as connection:
        (budget_id,) = (await connection.scalars(select(budget_holds.c.budget_id))).all()
    return str(budget_id)


async def test_money_of_a_call_that_never_began_goes_back_when_its_time_is_over(database: Database) -> None:
    one = await spender(database, budget_usd=FIVE_CALLS)
    await one.reserve(0)
    budget_id = await only_budget(database)

    async with database.write() as connection:
        assert await fold_ended(connection, database.dialect) == 0, "its worker may be about to begin"
        await connection.execute(update(budget_holds).values(expires_at=0))
        assert await fold_ended(connection, database.dialect) == 1

    assert await state_of(database, budget_id) == (NOTHING, NOTHING)


async def test_a_call_under_way_keeps_its_money_however_long_it_takes(database: Database) -> None:
    one = await spender(database, budget_usd=FIVE_CALLS)
    await one.begin(0)
    budget_id = await only_budget(database)

    async with database.write() as connection:
        await connection.execute(update(budget_holds).values(expires_at=0))
        assert await fold_ended(connection, database.dialect) == 0

    assert await state_of(database, budget_id) == (NOTHING, CENT)


async def test_a_call_is_booked_once_whoever_comes_first(database: Database) -> None:
    one = await spender(database, budget_usd=FIVE_CALLS)
    hold = await one.begin(0)
    budget_id = await only_budget(database)

    await one.end(0, None)  # journaled; its worker has not booked it yet
    async with database.write() as connection:
        assert await fold_ended(connection, database.dialect) == 1
    assert hold
    await one.purse.settle(hold, 10_000_000)
    await one.purse.settle(hold, 10_000_000)

    assert await state_of(database, budget_id) == (CENT, NOTHING)


async def test_who_needs_the_room_books_what_has_ended(database: Database) -> None:
    one = await spender(database)
    await make_budget(database, monthly(CENT))
    await one.purse.look()
    cheap = PriceBook([Override(PROVIDER, MODEL, UnitPrices(Decimal(0), Decimal(0), call=CENT))])
    hold = await one.begin(0)
    assert hold
    async with (
        database.write() as connection
    ):  # it turned out to cost nothing, and its worker died before it booked that
        await connection.execute(update(llm_attempts).values(status="done", cost_nano_usd=0))
    other = await spender(database)

    assert await Spender(database, other.run, cheap).reserve(0) is not None


async def test_a_child_spends_what_its_parent_has_left(database: Database) -> None:
    parent = await spender(database, budget_usd=3 * CENT)
    await parent.call(0)
    child = await child_spender(database, parent.run)

    assert await outcomes(*(child.call(index) for index in range(3))) == (2, 1)
    with pytest.raises(BudgetExceeded):
        await parent.call(1)


async def test_a_budget_per_run_of_a_workflow_counts_each_run_apart(database: Database) -> None:
    await make_budget(database, NewBudget("workflow", "shapes", "run", 2 * CENT))

    for _ in range(2):
        one = await spender(database)
        assert await outcomes(*(one.call(index) for index in range(3))) == (2, 1)


async def test_a_budget_of_an_agent_lets_the_others_pass(database: Database) -> None:
    await make_budget(database, NewBudget("agent", "coder", "total", CENT))
    one = await spender(database)

    assert await outcomes(one.call(0, agent="coder"), one.call(1, agent="coder")) == (1, 1)
    assert await outcomes(one.call(2, agent="planner"), one.call(3, agent="planner")) == (2, 0)


async def test_a_budget_that_only_warns_lets_pass_and_raises_one_alert(database: Database) -> None:
    budget = (await make_budget(database, monthly(CENT, action="warn"))).budget
    one = await spender(database)

    assert await outcomes(*(one.call(index) for index in range(4))) == (4, 0)

    assert await state_of(database, budget.id) == (4 * CENT, NOTHING)
    async with database.read() as connection:
        (alert,) = (await connection.execute(select(alerts))).mappings()
    assert alert["kind"] == "budget_exceeded"
    assert alert["data"]["budget_id"] == budget.id


@pytest.mark.parametrize(
    ("action", "error"), [("pause", BudgetExceeded), ("fail", BudgetExceeded), ("fallback", FallBack)]
)
async def test_a_refusal_says_what_is_missing(database: Database, action: Any, error: type[OverBudget]) -> None:
    budget = (await make_budget(database, monthly(Decimal("0.015"), action=action))).budget
    one = await spender(database)
    await one.call(0)

    with pytest.raises(error) as refused:
        await one.call(1)

    facts = refused.value.facts
    assert (facts["budget_id"], facts["action"]) == (budget.id, action)
    assert (facts["limit_usd"], facts["spent_usd"], facts["held_usd"]) == (0.015, 0.01, 0.0)
    assert (facts["needed_usd"], facts["missing_usd"]) == (0.01, 0.005)


async def test_a_model_without_a_price_cannot_pass_a_budget_that_stops(database: Database) -> None:
    one = await spender(database, budget_usd=FIVE_CALLS)

    with pytest.raises(PriceUnknown) as refused:
        await one.call(0, model=UNPRICED)

    assert refused.value.facts["model"] == f"{PROVIDER}:{UNPRICED}"
    assert "shadowgraph prices set" in (refused.value.hint or "")


async def test_a_model_without_a_price_passes_where_nothing_stops(database: Database) -> None:
    await make_budget(database, monthly(action="warn"))
    one = await spender(database)

    assert await one.call(0, model=UNPRICED) == 0


async def test_what_costs_nothing_sets_nothing_aside(database: Database) -> None:
    await make_budget(database, monthly(Decimal(0)))
    free = PriceBook([Override(PROVIDER, MODEL, UnitPrices(Decimal(0), Decimal(0)))])
    one = Spender(database, (await spender(database)).run, free)

    assert await one.reserve(0) is None


async def test_a_new_budget_counts_what_was_spent_before_it(database: Database) -> None:
    one = await spender(database)
    for index in range(3):
        await one.call(index)

    state = await make_budget(database, monthly())

    assert (state.spent.spent, state.spent.held) == (30_000_000, 0)


async def test_a_raised_limit_holds_for_the_next_call(database: Database) -> None:
    budget = (await make_budget(database, monthly(CENT))).budget
    one = await spender(database)
    assert await outcomes(one.call(0), one.call(1)) == (1, 1)

    async with database.write() as connection:
        await change_budget(connection, database.dialect, budget.id, limit_usd=2 * CENT, who="ann", clock=CLOCK)

    assert await outcomes(one.call(2)) == (1, 0)


async def test_a_recount_mends_a_counter_that_went_astray(database: Database) -> None:
    budget = (await make_budget(database, monthly())).budget
    one = await spender(database)
    await one.call(0)
    await one.begin(1)
    async with database.write() as connection:
        await connection.execute(update(budget_periods).values(spent_nano_usd=77, held_nano_usd=-5))
        (period,) = (await connection.scalars(select(budget_periods.c.period))).all()
        await recount(connection, Account(await require_budget(connection, budget.id), period))

    assert await state_of(database, budget.id) == (CENT, CENT)


async def test_there_is_one_budget_of_a_kind(database: Database) -> None:
    first = (await make_budget(database, monthly())).budget

    with pytest.raises(BudgetExists) as refused:
        await make_budget(database, monthly(CENT))

    assert refused.value.facts["budget_id"] == first.id


@pytest.mark.parametrize(("subject", "name"), [("everything", "x"), ("agent", "")])
async def test_parts_that_do_not_fit_are_refused(database: Database, subject: Any, name: str) -> None:
    with pytest.raises(BudgetUnfit):
        await make_budget(database, NewBudget(subject, name, "month", CENT))


async def test_the_setting_makes_one_budget_and_leaves_what_people_change(database: Database) -> None:
    async def start_server(limit: Decimal) -> None:
        async with database.write() as connection:
            await seed_monthly(connection, database.dialect, limit, clock=CLOCK)

    await start_server(Decimal(50))
    async with database.read() as connection:
        (budget_id,) = (await connection.scalars(select(budget_periods.c.budget_id))).all()
    async with database.write() as connection:
        await change_budget(connection, database.dialect, budget_id, limit_usd=Decimal(75), who="ann", clock=CLOCK)

    await start_server(Decimal(50))
    assert await limit_of(database, budget_id) == 75_000_000_000
    await start_server(Decimal(100))
    assert await limit_of(database, budget_id) == 100_000_000_000


async def limit_of(database: Database, budget_id: str) -> int:
    async with database.read() as connection:
        return (await require_budget(connection, budget_id)).limit_nano_usd


async def test_without_cost_tracking_nothing_is_refused(database: Database) -> None:
    one = await spender(database, budget_usd=CENT)
    one.purse._is_enabled = False

    assert await outcomes(*(one.call(index) for index in range(3))) == (3, 0)


def test_prices_of_these_tests() -> None:
    assert a_cent_each().price(PROVIDER, MODEL, Usage(1, 1), at=CLOCK.now()).cost_nano_usd == 10_000_000
