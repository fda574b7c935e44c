"""Sums of money and tokens on the wire."""

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from pydantic import ConfigDict, Field, model_validator

from shadowgraph.api.schemas.common import Moment, Received, Sent, Usd
from shadowgraph.api.schemas.details import LlmAttempt
from shadowgraph.api.schemas.paging import DEFAULT_LIMIT, MAX_LIMIT
from shadowgraph.costs.grouping import GroupBy

STATES = (
    "exact; estimated (some tokens are estimates); partial (some requests are `unpriced`); unknown (all are); synthetic (only the offline "
    "model answered)."
)


class Sums(Sent):
    """Over requests to providers, failed ones included."""

    attempts: int = Field(description="Requests to providers.")
    calls: int = Field(
        description="Logical calls that these began with: retries and failovers are further attempts of one call."
    )
    failed: int
    under_way: int = Field(description="Not ended yet: nothing of them is in the other sums.")
    prompt_tokens: int
    cached_tokens: int = Field(description="Part of the prompt tokens.")
    completion_tokens: int
    reasoning_tokens: int = Field(description="Part of the completion tokens.")
    cost_usd: Usd | None = Field(description="Of the requests whose cost is known; null: none is.")
    synthetic_usd: Usd = Field(description="The part of it that is play money of the offline model.")
    cost_state: str = Field(description=STATES)
    unpriced: int = Field(description="Requests that ended, and nobody knows what they cost.")
    estimated: int = Field(description="Requests whose tokens, and so their cost, are estimated.")
    synthetic: int = Field(description="Requests that the offline model answered.")
    summary: str = Field(
        description="The cost in words that say how sure it is.", examples=["at least $0.0125, 3 requests unpriced"]
    )


class CostGroup(Sums):
    key: str = Field(description="The agent, the model, …; empty: these requests have no such thing.")


class CostReport(Sent):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "by": "agent",
                    "from": "2026-01-01T00:00:00Z",
                    "to": None,
                    "items": [],
                    "rest": None,
                    "group_count": 0,
                    "total": {
                        "attempts": 0,
                        "calls": 0,
                        "failed": 0,
                        "under_way": 0,
                        "prompt_tokens": 0,
                        "cached_tokens": 0,
                        "completion_tokens": 0,
                        "reasoning_tokens": 0,
                        "cost_usd": 0,
                        "synthetic_usd": 0,
                        "cost_state": "exact",
                        "unpriced": 0,
                        "estimated": 0,
                        "synthetic": 0,
                        "summary": "$0",
                    },
                }
            ]
        },
        serialize_by_alias=True,
    )

    by: GroupBy
    since: datetime | None = Field(serialization_alias="from", description="Requests that began at or after it.")
    until: datetime | None = Field(serialization_alias="to", description="Requests that began before it.")
    items: Sequence[CostGroup] = Field(description="The dearest groups first; days in their order.")
    rest: Sums | None = Field(description="All groups beyond `limit` together; null: there are none.")
    group_count: int
    total: Sums = Field(description="Of all groups: items and rest add up to it.")


class CostParameters(Received):
    by: GroupBy = Field(default="agent", description="What the sums are grouped by; days are those of UTC.")
    since: Moment | None = Field(
        default=None, alias="from", description="Requests that began at or after it (RFC 3339)."
    )
    until: Moment | None = Field(default=None, alias="to", description="Requests that began before it (RFC 3339).")
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Groups; CSV has all of them.")
    format: Literal["json", "csv"] | None = Field(default=None, description="Wins over the Accept header.")

    @model_validator(mode="after")
    def _require_order(self) -> "CostParameters":
        if self.since and self.until and self.since >= self.until:
            raise ValueError("`from` is not before `to`")
        return self


class LikeRequest(Sent):
    """What the runs of one workflow cost in the last 30 days: so much will the next one cost."""

    workflow: str
    runs: int = Field(description="Runs whose whole cost is known.")
    p50_usd: Usd = Field(description="Half of them cost no more.")
    p95_usd: Usd = Field(description="19 of 20 cost no more.")


class CostForecast(Sent):
    month: str = Field(description="Such as 2026-08 (UTC).")
    so_far: Sums
    per_day_usd: Usd = Field(description="The pace of the last seven days, or since the first request.")
    projected_usd: Usd = Field(description="So far, and that pace until the end of the month.")
    workflows: Sequence[LikeRequest]


class RunBudget(Sent):
    """A budget that this run's calls count against."""

    budget_id: str
    subject: str
    name: str | None
    window: str
    action: str
    limit_usd: Usd
    spent_usd: Usd
    held_usd: Usd
    remaining_usd: Usd


class RunCosts(Sent):
    run_id: str
    total: Sums
    agents: Sequence[CostGroup]
    models: Sequence[CostGroup]
    budgets: Sequence[RunBudget]
    attempts: Sequence[LlmAttempt] = Field(description="Every request, in the order in which they began.")
