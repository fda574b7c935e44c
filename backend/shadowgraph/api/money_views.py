"""Sums, budgets and prices in the shapes of the wire."""

import csv
import io
from collections.abc import Sequence
from decimal import Decimal

from shadowgraph.api.schemas import budgets, costs, prices
from shadowgraph.api.schemas.common import API_PREFIX
from shadowgraph.core.money import plain, to_usd
from shadowgraph.costs.forecast import Forecast
from shadowgraph.costs.grouping import GroupBy
from shadowgraph.costs.ledger import Group, Report, Sums, Which
from shadowgraph.costs.overrides import StoredOverride
from shadowgraph.costs.prices import UnitPrices
from shadowgraph.costs.wording import describe
from shadowgraph.runs.budgets import BudgetState

CSV_COLUMNS = (
    "attempts",
    "calls",
    "failed",
    "prompt_tokens",
    "cached_tokens",
    "completion_tokens",
    "reasoning_tokens",
    "cost_usd",
    "synthetic_usd",
    "cost_state",
    "unpriced",
    "estimated",
    "synthetic",
)


def cost_of(sums: Sums) -> Decimal | None:
    """None when nothing of it is known; what is known when a part is."""
    return None if sums.cost_state == "unknown" else to_usd(sums.cost_nano_usd)


def build_sums(sums: Sums) -> costs.Sums:
    return costs.Sums(
        attempts=sums.attempts,
        calls=sums.calls,
        failed=sums.failed,
        under_way=sums.under_way,
        prompt_tokens=sums.prompt_tokens,
        cached_tokens=sums.cached_tokens,
        completion_tokens=sums.completion_tokens,
        reasoning_tokens=sums.reasoning_tokens,
        cost_usd=cost_of(sums),
        synthetic_usd=to_usd(sums.synthetic_nano_usd),
        cost_state=sums.cost_state,
        unpriced=sums.unpriced,
        estimated=sums.estimated,
        synthetic=sums.synthetic,
        summary=describe(sums),
    )


def build_group(group: Group) -> costs.CostGroup:
    return costs.CostGroup(key=group.key, **build_sums(group.sums).model_dump())


def build_report(report: Report, which: Which, *, by: GroupBy) -> costs.CostReport:
    return costs.CostReport(
        by=by,
        since=which.since,
        until=which.until,
        items=[build_group(group) for group in report.groups],
        rest=build_sums(report.rest) if report.group_count > len(report.groups) else None,
        group_count=report.group_count,
        total=build_sums(report.total),
    )


def render_csv(report: Report, *, by: GroupBy) -> str:
    """One line per group, and the total last. Money in plain digits."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow((by, *CSV_COLUMNS))
    for name, sums in [*((_safe_cell(group.key), group.sums) for group in report.groups), ("total", report.total)]:
        values = build_sums(sums)
        writer.writerow((name, *(_cell(getattr(values, column)) for column in CSV_COLUMNS)))
    return text.getvalue()


def _cell(value: object) -> str:
    if value is None:
        return ""
    return plain(value) if isinstance(value, Decimal) else str(value)


def _safe_cell(text: str) -> str:
    """Spreadsheets take a text that begins like a formula for one."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text


def build_forecast(forecast: Forecast) -> costs.CostForecast:
    return costs.CostForecast(
        month=forecast.month,
        so_far=build_sums(forecast.so_far),
        per_day_usd=forecast.per_day_usd,
        projected_usd=forecast.projected_usd,
        workflows=[
            costs.LikeRequest(workflow=like.workflow, runs=like.runs, p50_usd=like.p50_usd, p95_usd=like.p95_usd)
            for like in forecast.workflows
        ],
    )


def build_budget(state: BudgetState) -> budgets.Budget:
    budget = state.budget
    is_one_account = budget.window != "run" or budget.subject == "run"
    return budgets.Budget(
        id=budget.id,
        subject=budget.subject,
        name=budget.name or None,
        window=budget.window,
        limit_usd=to_usd(budget.limit_nano_usd),
        action=budget.action,
        period=state.period or None,
        spent_usd=to_usd(state.spent.spent) if is_one_account else None,
        held_usd=to_usd(state.spent.held) if is_one_account else None,
        remaining_usd=state.remaining_usd if is_one_account else None,
        created_at=budget.created_at,
        updated_at=budget.updated_at,
        links={"self": budget_path(budget.id)},
    )


def build_run_budget(state: BudgetState) -> costs.RunBudget:
    budget = state.budget
    return costs.RunBudget(
        budget_id=budget.id,
        subject=budget.subject,
        name=budget.name or None,
        window=budget.window,
        action=budget.action,
        limit_usd=to_usd(budget.limit_nano_usd),
        spent_usd=to_usd(state.spent.spent),
        held_usd=to_usd(state.spent.held),
        remaining_usd=state.remaining_usd,
    )


def budget_path(budget_id: str) -> str:
    return f"{API_PREFIX}/budgets/{budget_id}"


def build_overrides(stored: Sequence[StoredOverride], *, used: frozenset[tuple[str, str]]) -> list[prices.Price]:
    return [
        build_price(
            item.override.provider,
            item.override.model,
            (item.override.prices, "override"),
            is_used=(item.override.provider, item.override.model) in used,
        ).model_copy(update={"valid_from": item.override.valid_from})
        for item in stored
    ]


def build_price(provider: str, model: str, found: tuple[UnitPrices, str] | None, *, is_used: bool) -> prices.Price:
    units, source = found or (None, "unknown")
    return prices.Price(
        provider=provider,
        model=model,
        source=source,
        prompt_usd=units.prompt if units else None,
        cached_usd=units.cached if units else None,
        completion_usd=units.completion if units else None,
        call_usd=units.call if units else None,
        valid_from=None,
        is_used=is_used,
    )
