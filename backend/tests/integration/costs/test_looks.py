"""Budgets that many runs ask for at once are the ones that each would get alone."""

import asyncio
from decimal import Decimal

from sqlalchemy import event

from shadowgraph.costs.budgets import load_applying
from shadowgraph.costs.grouping import Subject
from shadowgraph.costs.limits import Payer
from shadowgraph.db.engine import Database
from shadowgraph.engine.looks import BudgetLooks
from shadowgraph.runs.budgets import NewBudget
from tests.support.runs import start_run
from tests.support.spending import make_budget

LIMIT = Decimal(1)
RUNS = 6


async def make_payers(database: Database) -> list[Payer]:
    """Two owners, two versions; a budget for every kind of subject, and one for the second run."""
    ids = [(await start_run(database)).id for _ in range(RUNS)]
    of: list[tuple[Subject, str]] = [
        ("everything", ""),
        ("agent", "coder"),
        ("workflow", "pipeline"),
        ("owner", "owner1"),
    ]
    for subject, name in [*of, ("run", ids[1])]:
        await make_budget(database, NewBudget(subject, name, "total", LIMIT))
    return [Payer([ids[n]], "pipeline" if n % 2 else "other", f"ver_{n}", f"owner{n % 2}") for n in range(RUNS)]


async def test_each_run_gets_the_budgets_that_apply_to_it_and_no_other(database: Database) -> None:
    payers = await make_payers(database)
    looks = BudgetLooks(database)

    found = await asyncio.gather(*(looks.load(payer) for payer in payers))

    async with database.read() as connection:
        alone = [await load_applying(connection, payer) for payer in payers]
    assert [{budget.id for budget in some} for some in found] == [{budget.id for budget in some} for some in alone]
    assert {len(some) for some in alone} == {2, 4, 5}


async def test_runs_that_ask_while_one_look_is_under_way_share_the_next_one(database: Database) -> None:
    payers = await make_payers(database)
    looks = BudgetLooks(database)
    statements: list[str] = []
    engine = database._reader.sync_engine
    event.listen(engine, "before_cursor_execute", lambda *given: statements.append(given[2]))

    first = asyncio.create_task(looks.load(payers[0]))
    await asyncio.sleep(0)
    await asyncio.gather(first, *(looks.load(payer) for payer in payers))

    assert len([text for text in statements if "FROM budgets" in text]) <= 2
