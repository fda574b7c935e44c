"""A whole run over a budget: it stops, says so, and goes on where it stopped."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send

from shadowgraph import chat_model
from shadowgraph.core.calls import Usage
from shadowgraph.costs.budgets import fold_ended, list_budgets
from shadowgraph.costs.ledger import sum_runs
from shadowgraph.costs.prices import Override, PriceBook, UnitPrices
from shadowgraph.db.engine import Database
from shadowgraph.llm.port import Chunk, Target
from shadowgraph.llm.routes import only
from shadowgraph.llm.targets import Targets
from shadowgraph.runs.alerts import list_open_alerts
from shadowgraph.runs.budgets import NewBudget, StillExceeded, change_budget
from shadowgraph.runs.lifecycle import resume_run
from shadowgraph.runs.run import Run
from shadowgraph.runs.service import cancel_run
from shadowgraph.runs.states import Status
from tests.support.foreign import AuthorsModel, Stage, open_stage
from tests.support.graphs import Graph, State, line
from tests.support.llm import FakeProvider, Forever
from tests.support.runs import CLOCK, start_run
from tests.support.spending import CENT, NOTHING, a_cent_each, count_holds, make_budget, state_of

ANSWER = [Chunk("fine"), Chunk(usage=Usage(10, 5), finish_reason="stop")]
FIVE_CALLS = 5 * CENT


@pytest.fixture
def provider() -> FakeProvider:
    return FakeProvider(ANSWER)


@pytest.fixture
async def stage(database: Database, provider: FakeProvider) -> AsyncIterator[Stage]:
    async with open_stage(database, provider, prices=a_cent_each()) as opened:
        yield opened


def asking(name: str) -> Any:
    async def node(state: State) -> State:
        answer = await chat_model(name).ainvoke([HumanMessage(f"{name}?")])
        return {"log": [f"{name}: {answer.text}"]}

    return node


def eight_calls() -> Graph:
    """One after the other, a branch of three side by side, a loop of two rounds: eight calls in all."""
    builder = StateGraph(State)
    for name in ("first", "second"):
        builder.add_node(name, asking(name))
    for name in ("left", "middle", "right"):
        builder.add_node(name, asking(name))
    builder.add_node("gather", lambda _state: {})
    builder.add_node("round", asking("round"))
    builder.add_node("last", asking("last"))
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")
    builder.add_conditional_edges(
        "second", lambda _: [Send(name, {}) for name in ("left", "middle", "right")], ["left", "middle", "right"]
    )
    for name in ("left", "middle", "right"):
        builder.add_edge(name, "gather")
    builder.add_edge("gather", "round")
    builder.add_conditional_edges(
        "round", lambda state: "round" if [*state["log"]].count("round: fine") < 2 else "last", ["round", "last"]
    )
    builder.add_edge("last", END)
    return builder.compile()


async def limit_of(database: Database, run: Run) -> str:
    async with database.read() as connection:
        (budget,) = await list_budgets(connection, conditions={"name": run.id})
    return budget.id


async def raise_limit(database: Database, budget_id: str, usd: Decimal) -> None:
    async with database.write() as connection:
        await change_budget(connection, database.dialect, budget_id, limit_usd=usd, who="ann", clock=CLOCK)


async def resume(database: Database, run: Run) -> Run:
    async with database.write() as connection:
        return await resume_run(connection, run.id, who="ann", clock=CLOCK)


async def cost_of(database: Database, run: Run) -> tuple[int, int]:
    async with database.read() as connection:
        sums = (await sum_runs(connection, [run.id]))[run.id]
    return sums.attempts, sums.cost_nano_usd


async def test_a_run_with_a_budget_of_five_calls_stops_at_five_and_goes_on_after_it_is_raised(
    stage: Stage, provider: FakeProvider
) -> None:
    database = stage.database
    await start_run(database, budget_usd=FIVE_CALLS)

    stopped = await stage.drive(eight_calls())

    assert (stopped.status, stopped.reason) == (Status.BUDGET_EXCEEDED, "budget")
    assert stopped.lease_expires_at is None, "no worker is held"
    assert len(provider.requests) == 5
    assert await cost_of(database, stopped) == (5, 50_000_000)
    budget_id = await limit_of(database, stopped)
    assert await state_of(database, budget_id) == (FIVE_CALLS, NOTHING)
    assert stopped.error
    assert (stopped.error["code"], stopped.error["budget_id"]) == ("budget_exceeded", budget_id)
    (event,) = await stage.events(stopped, "run.budget_exceeded")
    assert (event.payload["spent_usd"], event.payload["needed_usd"]) == (0.05, 0.01)

    with pytest.raises(StillExceeded) as refused:
        await resume(database, stopped)
    assert refused.value.facts["missing_usd"] == 0.01

    await raise_limit(database, budget_id, 8 * CENT)
    resumed = await resume(database, stopped)
    assert (resumed.status, resumed.error) == (Status.QUEUED, None)
    ended = await stage.drive(eight_calls())

    assert ended.status is Status.COMPLETED
    assert len(provider.requests) == 8, "finished calls are answered from the journal"
    assert await cost_of(database, ended) == (8, 80_000_000)
    assert await state_of(database, budget_id) == (8 * CENT, NOTHING)
    assert await count_holds(database) == 0


async def test_side_by_side_calls_that_have_begun_are_finished_before_the_run_stops(
    stage: Stage, provider: FakeProvider
) -> None:
    database = stage.database
    await start_run(database, budget_usd=4 * CENT)

    stopped = await stage.drive(eight_calls())

    assert stopped.status is Status.BUDGET_EXCEEDED
    assert [attempt["status"] for attempt in await stage.attempts()] == ["done"] * 4
    await raise_limit(database, await limit_of(database, stopped), Decimal(1))
    await resume(database, stopped)
    await stage.drive(eight_calls())
    assert len(provider.requests) == 8


async def test_a_budget_that_fails_ends_the_run_and_a_retry_goes_on(stage: Stage, provider: FakeProvider) -> None:
    database = stage.database
    await start_run(database)
    budget = (await make_budget(database, NewBudget("workflow", "shapes", "month", 2 * CENT, action="fail"))).budget

    failed = await stage.drive(eight_calls())

    assert (failed.status, failed.reason) == (Status.FAILED, "budget_exceeded")
    assert await cost_of(database, failed) == (2, 20_000_000), "what was spent shows on a failed run, too"
    await raise_limit(database, budget.id, Decimal(1))
    await stage.retry(failed)
    assert (await stage.drive(eight_calls())).status is Status.COMPLETED
    assert len(provider.requests) == 8


DEAR, CHEAP = "dear", "cheap"
FALLBACK = NewBudget("workflow", "shapes", "month", FIVE_CALLS, action="fallback")


@asynccontextmanager
async def dear_before_cheap(database: Database, provider: FakeProvider, *, cheap: Decimal) -> AsyncIterator[Stage]:
    """A route of two targets: a call costs two cents at the first one, `cheap` at the second."""
    targets = Targets({"fake": provider}, routes=only(Target("fake", DEAR), Target("fake", CHEAP)))
    prices = PriceBook([_costs(DEAR, 2 * CENT), _costs(CHEAP, cheap)])
    async with open_stage(database, provider, targets, prices=prices) as stage:
        yield stage


async def test_a_budget_that_falls_back_lets_a_run_end_at_a_target_that_costs_nothing(
    database: Database, provider: FakeProvider
) -> None:
    graph = line({name: asking(name) for name in "abcde"})
    budget = (await make_budget(database, FALLBACK)).budget

    async with dear_before_cheap(database, provider, cheap=NOTHING) as stage:
        ended = await stage.run(graph)

    assert ended.status is Status.COMPLETED
    assert [target.model for target in provider.targets] == [DEAR, DEAR, CHEAP, CHEAP, CHEAP]
    assert await cost_of(database, ended) == (5, 40_000_000)
    assert await state_of(database, budget.id) == (4 * CENT, NOTHING)
    async with database.read() as connection:
        (alert,) = await list_open_alerts(connection, kind="budget_exceeded")
    assert "cheaper" in alert.message


async def test_a_budget_that_falls_back_stops_a_run_when_not_even_the_cheaper_target_fits(
    database: Database, provider: FakeProvider
) -> None:
    graph = line({name: asking(name) for name in "abcde"})
    budget = (await make_budget(database, FALLBACK)).budget

    async with dear_before_cheap(database, provider, cheap=CENT) as stage:
        stopped = await stage.run(graph)
        asked = [target.model for target in provider.targets]
        await raise_limit(database, budget.id, Decimal(1))
        await resume(database, stopped)
        ended = await stage.drive(graph)

    assert (stopped.status, stopped.error and stopped.error["action"]) == (Status.BUDGET_EXCEEDED, "fallback")
    assert asked == [DEAR, DEAR, CHEAP], "five cents"
    assert ended.status is Status.COMPLETED
    assert [target.model for target in provider.targets] == [*asked, DEAR, DEAR]


def _costs(model: str, usd: Decimal) -> Override:
    return Override("fake", model, UnitPrices(NOTHING, NOTHING, call=usd))


async def test_a_run_that_waits_for_money_can_be_cancelled(stage: Stage) -> None:
    database = stage.database
    await start_run(database, budget_usd=Decimal(0))
    stopped = await stage.drive(eight_calls())

    async with database.write() as connection:
        cancelled = await cancel_run(connection, stopped.id, clock=CLOCK)

    assert (cancelled.status, cancelled.error) == (Status.CANCELLED, None)


async def test_a_worker_that_is_lost_in_the_middle_of_a_call_leaves_no_money_held(
    stage: Stage, provider: FakeProvider
) -> None:
    database = stage.database
    provider.scripts[:] = [[Chunk("fi"), Forever()], ANSWER]
    run = await start_run(database, budget_usd=FIVE_CALLS)
    graph = line({"a": asking("a"), "b": asking("b")})

    await stage.lose_worker(graph, "llm.attempt.started:a")
    ended = await stage.drive(graph)

    assert ended.status is Status.COMPLETED
    assert sorted(attempt["status"] for attempt in await stage.attempts()) == ["done", "done", "in_doubt"]
    assert await cost_of(database, run) == (3, 30_000_000), (
        "the call in flight may have been billed: its estimate is booked"
    )
    async with database.write() as connection:
        await fold_ended(connection, database.dialect)
    assert await count_holds(database) == 0
    assert await state_of(database, await limit_of(database, run)) == (3 * CENT, NOTHING)


async def test_requests_of_models_that_are_only_metered_count_in_budgets_and_cannot_be_stopped(
    stage: Stage,
) -> None:
    database = stage.database
    await start_run(database, budget_usd=CENT)
    model = AuthorsModel()

    async def node(_state: State) -> State:
        await model.ainvoke("one")
        await model.ainvoke("two")
        return {"log": []}

    ended = await stage.drive(line({"node": node}))

    assert ended.status is Status.COMPLETED
    assert [(attempt["gated"], attempt["cost_nano_usd"]) for attempt in await stage.attempts()] == [(False, None)] * 2
