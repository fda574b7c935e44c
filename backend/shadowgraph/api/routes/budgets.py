"""Budgets that stop."""

import re
from decimal import Decimal
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from shadowgraph.api.deps import NO_PARAMETERS, TRACKS_COSTS, IfMatchHeader, Services
from shadowgraph.api.etags import etag_of, is_fresh
from shadowgraph.api.json_bodies import JsonRoute
from shadowgraph.api.money_views import budget_path, build_budget
from shadowgraph.api.problem_responses import BODY, problems
from shadowgraph.api.schemas.budgets import Budget, BudgetChange, BudgetFilters, BudgetPage, NewBudget, RemovedBudget
from shadowgraph.core.errors import Conflict
from shadowgraph.core.json import digest
from shadowgraph.costs import limits
from shadowgraph.costs.budgets import list_budgets as list_rows
from shadowgraph.runs import budgets
from shadowgraph.runs.budgets import BudgetNotFound, BudgetState
from shadowgraph.runs.service import LOCAL_OWNER

router = APIRouter(tags=["costs"], route_class=JsonRoute, dependencies=TRACKS_COSTS)

_BUDGET_ID = re.compile(r"bud_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
ETAG_HEADER = {"ETag": {"description": "For If-Match.", "schema": {"type": "string"}}}


class BudgetChanged(Conflict):
    code = "budget_changed"


def get_budget_id(
    budget_id: Annotated[
        str, Path(description="Begins with bud_.", examples=["bud_019a0000-0000-7000-8000-000000000000"])
    ],
) -> str:
    """Errors: `BudgetNotFound` for what cannot be an id at all."""
    if not _BUDGET_ID.match(budget_id):
        raise BudgetNotFound(f"there is no budget {budget_id[:80]!r}", budget_id=budget_id[:80])
    return budget_id


BudgetIdPath = Annotated[str, Depends(get_budget_id)]


@router.get("/budgets", response_model=BudgetPage, summary="List budgets", responses=problems("costs_disabled"))
async def list_budgets(filters: Annotated[BudgetFilters, Query()], services: Services) -> BudgetPage:
    """In the order of their making, with what is spent in the period of now. Those of single runs come with `subject=run` only."""
    conditions = {name: value for name, value in (("subject", filters.subject), ("name", filters.name)) if value}
    async with services.database.read() as connection:
        found = await list_rows(
            connection,
            conditions=conditions,
            without_runs=filters.subject is None,
            after=filters.cursor,
            limit=filters.limit + 1,
        )
        now = services.clock.now()
        states = [await budgets.load_state(connection, budget, now=now) for budget in found[: filters.limit]]
    more = len(found) > filters.limit
    return BudgetPage(
        items=[build_budget(state) for state in states], next_cursor=states[-1].budget.id if more else None
    )


@router.post(
    "/budgets",
    status_code=201,
    response_model=Budget,
    summary="Make a budget",
    dependencies=NO_PARAMETERS,
    response_description="It holds from the next call on.",
    responses=problems("budget_exists", "budget_unfit", "run_not_found", "costs_disabled", "origin_not_allowed", *BODY)
    | {201: {"headers": {"Location": {"description": "Where it is.", "schema": {"type": "string"}}, **ETAG_HEADER}}},
)
async def create_budget(new: NewBudget, services: Services) -> Response:
    """What was spent in its window already counts. Runs under way come under it within a second."""
    database = services.database
    wanted = budgets.NewBudget(new.subject, new.name or "", new.window, Decimal(str(new.limit_usd)), new.action)
    async with database.write() as connection:
        state = await budgets.create_budget(connection, database.dialect, wanted, who=LOCAL_OWNER, clock=services.clock)
    return _answer(state, status_code=201)


@router.get(
    "/budgets/{budget_id}",
    response_model=Budget,
    summary="Show a budget",
    dependencies=NO_PARAMETERS,
    responses=problems("budget_not_found", "costs_disabled") | {200: {"headers": ETAG_HEADER}},
)
async def get_budget(budget_id: BudgetIdPath, services: Services) -> Response:
    """With what is spent in the period of now."""
    async with services.database.read() as connection:
        budget = await budgets.require_budget(connection, budget_id)
        state = await budgets.load_state(connection, budget, now=services.clock.now())
    return _answer(state)


@router.patch(
    "/budgets/{budget_id}",
    response_model=Budget,
    summary="Change a budget",
    dependencies=NO_PARAMETERS,
    responses=problems(
        "budget_not_found", "budget_exists", "budget_changed", "costs_disabled", "origin_not_allowed", *BODY
    )
    | {200: {"headers": ETAG_HEADER}},
)
async def change_budget(
    budget_id: BudgetIdPath, change: BudgetChange, services: Services, if_match: IfMatchHeader = None
) -> Response:
    """Holds for the very next call. Runs that stopped at it are not resumed by this: POST /runs/{id}/resume."""
    database = services.database
    async with database.write() as connection:
        _require_match(await budgets.require_budget(connection, budget_id, is_locked=True), if_match)
        state = await budgets.change_budget(
            connection,
            database.dialect,
            budget_id,
            limit_usd=None if change.limit_usd is None else Decimal(str(change.limit_usd)),
            action=change.action,
            who=LOCAL_OWNER,
            clock=services.clock,
        )
    return _answer(state)


@router.delete(
    "/budgets/{budget_id}",
    response_model=RemovedBudget,
    summary="Remove a budget",
    dependencies=NO_PARAMETERS,
    responses=problems("budget_not_found", "costs_disabled", "origin_not_allowed"),
)
async def remove_budget(budget_id: BudgetIdPath, services: Services) -> RemovedBudget:
    """Nothing is limited by it any more; what was spent stays in the sums."""
    database = services.database
    async with database.write() as connection:
        await budgets.remove_budget(connection, database.dialect, budget_id, who=LOCAL_OWNER, clock=services.clock)
    return RemovedBudget(id=budget_id)


def _require_match(budget: limits.Budget, if_match: str | None) -> None:
    """Errors: `BudgetChanged`."""
    if if_match is not None and not is_fresh(_etag(budget), if_match):
        raise BudgetChanged("the budget was changed meanwhile", budget_id=budget.id)


def _answer(state: BudgetState, *, status_code: int = 200) -> Response:
    headers = {"ETag": _etag(state.budget)} | ({"Location": budget_path(state.budget.id)} if status_code == 201 else {})
    body = build_budget(state).model_dump_json()
    return Response(body, status_code=status_code, headers=headers, media_type="application/json")


def _etag(budget: limits.Budget) -> str:
    """Of what people set; what is spent changes with every call."""
    return etag_of(digest([budget.id, budget.limit_nano_usd, budget.action, budget.updated_at.isoformat()]))
