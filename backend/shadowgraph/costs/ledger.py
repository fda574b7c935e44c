"""Sums over the attempts, which are the only place where tokens and money stand. One query serves every view, so no two can disagree."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import CTE, ColumnElement, RowMapping, Select, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.costs.grouping import GroupBy
from shadowgraph.costs.prices import OFFLINE
from shadowgraph.db.dialect import expect_few_groups, make_room_for_sums, utc_day
from shadowgraph.models.llm_calls import llm_attempts

CostState = Literal["exact", "estimated", "partial", "unknown", "synthetic"]

_a = llm_attempts.c


@dataclass(frozen=True, slots=True)
class Sums:
    """Of some attempts."""

    attempts: int = 0
    """Requests to providers, failed ones included."""
    calls: int = 0
    """Logical calls that these began with: a first attempt each."""
    failed: int = 0
    under_way: int = 0
    """Not ended yet: nothing of them is in the other sums."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Part of the prompt tokens."""
    completion_tokens: int = 0
    reasoning_tokens: int = 0
    """Part of the completion tokens."""
    cost_nano_usd: int = 0
    """Of the attempts whose cost is known: at least so much when there are others."""
    synthetic_nano_usd: int = 0
    """The part of it that is play money of the offline model."""
    unpriced: int = 0
    """Attempts that ended, and nobody knows what they cost."""
    estimated: int = 0
    """Attempts whose tokens, and so their cost, are estimated."""
    synthetic: int = 0
    """Attempts that the offline model answered."""
    unreported: int = 0
    """Attempts that were answered, and nobody said with how many tokens."""

    @property
    def ended(self) -> int:
        return self.attempts - self.under_way

    @property
    def cost_state(self) -> CostState:
        if self.ended and self.synthetic == self.attempts:
            return "synthetic"
        if self.unpriced:
            return "unknown" if self.unpriced == self.ended else "partial"
        return "estimated" if self.estimated else "exact"

    def __add__(self, other: "Sums") -> "Sums":
        return Sums(*(getattr(self, name) + getattr(other, name) for name in SUM_NAMES))

    def __sub__(self, other: "Sums") -> "Sums":
        return Sums(*(getattr(self, name) - getattr(other, name) for name in SUM_NAMES))


SUM_NAMES = tuple(field.name for field in fields(Sums))


@dataclass(frozen=True, slots=True)
class Which:
    """Which attempts are summed; every empty field means "all"."""

    since: datetime | None = None
    until: datetime | None = None
    """Began before it."""
    run_ids: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Group:
    key: str
    """Empty: the attempts have no such thing, such as a version before there are any."""
    sums: Sums


@dataclass(frozen=True, slots=True)
class Report:
    groups: Sequence[Group]
    """The dearest ones, or the first days."""
    total: Sums
    """Of all groups, those that are not shown included."""
    group_count: int

    @property
    def rest(self) -> Sums:
        """What the groups that are not shown add up to."""
        return self.total - sum((group.sums for group in self.groups), Sums())


async def load_report(connection: AsyncConnection, which: Which, *, by: GroupBy, limit: int | None = None) -> Report:
    """Groups and total come from one statement: no attempt can end between the one and the other."""
    if which.run_ids is None:
        await make_room_for_sums(connection)
    if by == "day":
        await expect_few_groups(connection)
    rows = (await connection.execute(_report_query(which, by=by, limit=limit))).mappings().all()
    if not rows:
        return Report((), Sums(), 0)
    groups = [Group(str(row["key"]), _sums(row)) for row in rows]
    return Report(groups, _sums(rows[0], prefix="total_"), rows[0]["group_count"])


async def sum_runs(connection: AsyncConnection, run_ids: Sequence[str]) -> Mapping[str, Sums]:
    """Runs without any attempt are left out."""
    if not run_ids:
        return {}
    report = await load_report(connection, Which(run_ids=run_ids), by="run")
    return {group.key: group.sums for group in report.groups}


async def list_models(connection: AsyncConnection, which: Which) -> list[tuple[str, str]]:
    """Provider and model of each target that was asked."""
    statement = select(_a.provider, _a.model).where(*conditions(which)).distinct().order_by(_a.provider, _a.model)
    return [(row.provider, row.model) for row in await connection.execute(statement)]


def _report_query(which: Which, *, by: GroupBy, limit: int | None) -> Select[Any]:
    groups = _groups(which, by=by)
    totals = [func.sum(groups.c[name]).over().label(f"total_{name}") for name in SUM_NAMES]
    order = [groups.c.key] if by == "day" else [groups.c.cost_nano_usd.desc(), groups.c.key]
    return select(*groups.c, *totals, func.count().over().label("group_count")).order_by(*order).limit(limit)


def _groups(which: Which, *, by: GroupBy) -> CTE:
    key = _key(by).label("key")
    return select(key, *sum_columns()).where(*conditions(which)).group_by(key).cte("groups")


def _key(by: GroupBy) -> ColumnElement[Any]:
    if by == "day":
        return utc_day(_a.at)
    if by == "version":
        return func.coalesce(_a.version, "")
    return {
        "agent": _a.agent,
        "model": _a.model,
        "provider": _a.provider,
        "workflow": _a.workflow,
        "run": _a.run_id,
        "owner": _a.owner,
    }[by]


def conditions(which: Which) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if which.since:
        found.append(_a.at >= which.since)
    if which.until:
        found.append(_a.at < which.until)
    if which.run_ids is not None:
        found.append(_a.run_id.in_(which.run_ids))
    return found


def sum_columns() -> list[ColumnElement[int]]:
    """One column per field of `Sums`."""
    has_ended = _a.status != "started"
    is_synthetic = _a.provider == OFFLINE
    columns: dict[str, ColumnElement[Any]] = {
        "attempts": func.count(),
        "calls": func.count().filter(_a.n == 1),
        "failed": func.count().filter(_a.status == "failed"),
        "under_way": func.count().filter(~has_ended),
        "prompt_tokens": func.coalesce(func.sum(_a.prompt_tokens), 0),
        "cached_tokens": func.coalesce(func.sum(_a.cached_tokens), 0),
        "completion_tokens": func.coalesce(func.sum(_a.completion_tokens), 0),
        "reasoning_tokens": func.coalesce(func.sum(_a.reasoning_tokens), 0),
        "cost_nano_usd": func.coalesce(func.sum(_a.cost_nano_usd), 0),
        "synthetic_nano_usd": func.coalesce(func.sum(_a.cost_nano_usd).filter(is_synthetic), 0),
        "unpriced": func.count().filter(has_ended & _a.cost_nano_usd.is_(None)),
        "estimated": func.count().filter(_a.tokens_source == "estimated"),
        "synthetic": func.count().filter(is_synthetic),
        "unreported": func.count().filter((_a.status == "done") & _a.tokens_source.is_(None)),
    }
    return [columns[name].label(name) for name in SUM_NAMES]


def _sums(row: RowMapping, *, prefix: str = "") -> Sums:
    return Sums(*(int(row[f"{prefix}{name}"]) for name in SUM_NAMES))
