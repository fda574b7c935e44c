"""Budgets on the wire."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field

from shadowgraph.api.schemas.common import Name, Received, Sent, Usd
from shadowgraph.api.schemas.paging import DEFAULT_LIMIT, MAX_LIMIT, NEXT_CURSOR
from shadowgraph.core.settings import MAX_USD
from shadowgraph.costs.grouping import Action, Subject, Window

Limit = Annotated[float, Field(ge=0, le=MAX_USD, allow_inf_nan=False)]

ACTIONS = (
    "What happens when it has no room: `warn` raises an alert, `pause` stops the run in BUDGET_EXCEEDED until the limit is raised and it is "
    "resumed, `fail` ends it, `fallback` asks the next target of the route."
)


class Budget(Sent):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "bud_019a0000-0000-7000-8000-000000000000",
                    "subject": "everything",
                    "name": None,
                    "window": "month",
                    "limit_usd": 50,
                    "action": "pause",
                    "period": "2026-01",
                    "spent_usd": 12.5,
                    "held_usd": 0,
                    "remaining_usd": 37.5,
                    "created_at": "2026-01-01T12:00:00Z",
                    "updated_at": "2026-01-01T12:00:00Z",
                    "links": {"self": "/api/v1/budgets/bud_019a0000-0000-7000-8000-000000000000"},
                }
            ]
        }
    )

    id: str
    subject: Subject
    name: str | None = Field(description="Which run, agent, …; null for everything.")
    window: Window
    limit_usd: Usd
    action: Action = Field(description=ACTIONS)
    period: str | None = Field(
        description="The window of now, such as 2026-01 (UTC); null: it does not follow the calendar."
    )
    spent_usd: Usd | None = Field(description="In this period; null: each run has its own.")
    held_usd: Usd | None = Field(description="Set aside for calls under way.")
    remaining_usd: Usd | None
    created_at: datetime
    updated_at: datetime
    links: dict[str, str]


class BudgetPage(Sent):
    items: Sequence[Budget]
    next_cursor: str | None = Field(description=NEXT_CURSOR)


class BudgetFilters(Received):
    subject: Subject | None = Field(default=None, description="Only these; without it all but those of single runs.")
    name: Name | None = None
    cursor: str | None = Field(default=None, max_length=100, description="`next_cursor` of the page before.")
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT)


class NewBudget(Received):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"subject": "everything", "window": "month", "limit_usd": 50},
                {"subject": "workflow", "name": "pipeline", "window": "run", "limit_usd": 0.5, "action": "fail"},
            ]
        }
    )

    subject: Subject
    name: Name | None = Field(default=None, description="Which run, agent, workflow, version, owner or provider.")
    window: Window = Field(description="`run`: each run, with its forks; `day` and `month`: of UTC; `total`: for ever.")
    limit_usd: Limit
    action: Action = Field(default="pause", description=ACTIONS)


class BudgetChange(Received):
    limit_usd: Limit | None = Field(default=None, description="null: as it is.")
    action: Action | None = Field(default=None, description="null: as it is.")


class RemovedBudget(Sent):
    id: str
