"""What calls cost."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response

from shadowgraph.api.deps import NO_PARAMETERS, TRACKS_COSTS, RunIdPath, Services
from shadowgraph.api.money_views import (
    build_forecast,
    build_group,
    build_report,
    build_run_budget,
    build_sums,
    render_csv,
)
from shadowgraph.api.problem_responses import problems
from shadowgraph.api.schemas.costs import CostForecast, CostParameters, CostReport, RunCosts
from shadowgraph.api.views import build_attempt
from shadowgraph.costs.forecast import load_forecast
from shadowgraph.costs.ledger import Which, load_report
from shadowgraph.runs.budgets import load_states_of_run
from shadowgraph.runs.repository import list_llm_attempts, require_run

router = APIRouter(tags=["costs"], dependencies=TRACKS_COSTS)

CSV_TYPE = "text/csv"
CSV_RESPONSE: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The sums; as CSV with `Accept: text/csv` or `format=csv`.",
        "content": {CSV_TYPE: {"schema": {"type": "string"}}},
    }
}


@router.get(
    "/costs",
    response_model=CostReport,
    summary="Sum up costs",
    responses=problems("costs_disabled") | CSV_RESPONSE,
)
async def get_costs(
    parameters: Annotated[CostParameters, Query()],
    services: Services,
    accept: Annotated[str, Header(description="application/json, or text/csv.")] = "application/json",
) -> Response | CostReport:
    """Over all requests to providers, those of deleted runs included. For every grouping the groups add up to the total.

    A request whose cost nobody knows is never counted as 0: the sum is a lower bound then, and `summary` says so.
    """
    which = Which(since=parameters.since, until=parameters.until)
    as_csv = parameters.format == "csv" or (parameters.format is None and CSV_TYPE in accept)
    async with services.database.read() as connection:
        report = await load_report(connection, which, by=parameters.by, limit=None if as_csv else parameters.limit)
    if as_csv:
        return Response(render_csv(report, by=parameters.by), media_type=CSV_TYPE)
    return build_report(report, which, by=parameters.by)


@router.get(
    "/costs/forecast",
    response_model=CostForecast,
    summary="Forecast costs",
    dependencies=NO_PARAMETERS,
    responses=problems("costs_disabled"),
)
async def get_forecast(services: Services) -> CostForecast:
    """What this month will have cost at the pace of the last week, and what a run of each workflow costs."""
    async with services.database.read() as connection:
        return build_forecast(await load_forecast(connection, now=services.clock.now()))


@router.get(
    "/runs/{run_id}/costs",
    response_model=RunCosts,
    summary="Show a run's costs",
    dependencies=NO_PARAMETERS,
    responses=problems("run_not_found", "costs_disabled"),
)
async def get_run_costs(run_id: RunIdPath, services: Services) -> RunCosts:
    """By agent and by model, the budgets that it counts against, and every request with the prices that it was reckoned with."""
    which = Which(run_ids=[run_id])
    async with services.database.read() as connection:
        run = await require_run(connection, run_id)
        by_agent = await load_report(connection, which, by="agent")
        by_model = await load_report(connection, which, by="model")
        states = await load_states_of_run(connection, run, now=services.clock.now())
        attempts = await list_llm_attempts(connection, run_id)
    return RunCosts(
        run_id=run_id,
        total=build_sums(by_agent.total),
        agents=[build_group(group) for group in by_agent.groups],
        models=[build_group(group) for group in by_model.groups],
        budgets=[build_run_budget(state) for state in states],
        attempts=[build_attempt(attempt) for attempt in attempts],
    )
