"""What the month will have cost, and what a request like the last ones costs."""

from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.money import to_usd
from shadowgraph.costs.ledger import Sums, Which, conditions, load_report
from shadowgraph.models.llm_calls import llm_attempts

RATE_DAYS = 7
"""The pace of the last week is taken to go on."""
LIKE_DAYS = 30


@dataclass(frozen=True, slots=True)
class LikeRequest:
    """What runs of one workflow cost."""

    workflow: str
    runs: int
    """Those whose whole cost is known."""
    p50_usd: Decimal
    p95_usd: Decimal


@dataclass(frozen=True, slots=True)
class Forecast:
    month: str
    so_far: Sums
    per_day_usd: Decimal
    projected_usd: Decimal
    workflows: Sequence[LikeRequest]


async def load_forecast(connection: AsyncConnection, *, now: datetime) -> Forecast:
    begins = first_of_month(now)
    so_far = (await load_report(connection, Which(since=begins), by="provider", limit=1)).total
    recent = await load_report(connection, Which(since=now - timedelta(days=RATE_DAYS)), by="day")
    first = min((group.key for group in recent.groups), default=None)
    per_day = pace(to_usd(recent.total.cost_nano_usd), first_day=first, now=now)
    projected = to_usd(so_far.cost_nano_usd) + per_day * days_left(now)
    return Forecast(
        month=f"{begins:%Y-%m}",
        so_far=so_far,
        per_day_usd=round(per_day, 9),
        projected_usd=round(projected, 9),
        workflows=await _load_like_requests(connection, since=now - timedelta(days=LIKE_DAYS)),
    )


def first_of_month(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def pace(spent: Decimal, *, first_day: str | None, now: datetime) -> Decimal:
    """USD per day. Who began two days ago is not taken to have spent nothing in the five days before."""
    if first_day is None:
        return Decimal(0)
    began = datetime.fromisoformat(first_day).replace(tzinfo=UTC)
    days = max(timedelta(days=1), min(now - began, timedelta(days=RATE_DAYS))) / timedelta(days=1)
    return spent / Decimal(str(days))


def days_left(now: datetime) -> Decimal:
    """Of the month."""
    begins = first_of_month(now)
    ends = begins + timedelta(days=monthrange(begins.year, begins.month)[1])
    return Decimal(str((ends - now) / timedelta(days=1)))


async def _load_like_requests(connection: AsyncConnection, *, since: datetime) -> list[LikeRequest]:
    """Percentiles by nearest rank: a cost that a run really had."""
    a = llm_attempts.c
    per_run = (
        select(a.workflow, a.run_id, func.sum(a.cost_nano_usd).label("cost"))
        .where(*conditions(Which(since=since)))
        .group_by(a.workflow, a.run_id)
        .having(func.count() == func.count(a.cost_nano_usd))
        .subquery()
    )
    ranked = select(
        per_run.c.workflow,
        per_run.c.cost,
        func.row_number().over(partition_by=per_run.c.workflow, order_by=per_run.c.cost).label("rank"),
        func.count().over(partition_by=per_run.c.workflow).label("runs"),
    ).subquery()
    r = ranked.c
    statement = (
        select(
            r.workflow,
            func.max(r.runs).label("runs"),
            func.max(r.cost).filter(r.rank == (r.runs * 50 + 99) // 100).label("p50"),
            func.max(r.cost).filter(r.rank == (r.runs * 95 + 99) // 100).label("p95"),
        )
        .group_by(r.workflow)
        .order_by(r.workflow)
    )
    return [
        LikeRequest(row.workflow, row.runs, to_usd(int(row.p50)), to_usd(int(row.p95)))
        for row in await connection.execute(statement)
    ]
