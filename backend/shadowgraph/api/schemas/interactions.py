"""Questions and approvals that wait for a person."""

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from shadowgraph.api.schemas.common import Received, Sent, Text
from shadowgraph.api.schemas.paging import NEXT_CURSOR, PageParameters

InteractionStatus = Literal["open", "answered", "expired", "closed"]


class InteractionLinks(Sent):
    self: str
    run: str
    answer: str


class Interaction(Sent):
    model_config = ConfigDict(
        serialize_by_alias=True,
        json_schema_extra={
            "examples": [
                {
                    "id": "int_019a0000-0000-7000-8000-000000000000",
                    "run_id": "run_019a0000-0000-7000-8000-000000000000",
                    "node": "approve",
                    "status": "open",
                    "question": {"question": "Publish it?"},
                    "schema": {"type": "boolean"},
                    "has_default": True,
                    "default": False,
                    "deadline_at": "2026-01-08T12:00:00Z",
                    "answer": None,
                    "who": None,
                    "created_at": "2026-01-01T12:00:00Z",
                    "answered_at": None,
                    "links": {
                        "self": "/api/v1/interactions/int_019a0000-0000-7000-8000-000000000000",
                        "run": "/api/v1/runs/run_019a0000-0000-7000-8000-000000000000",
                        "answer": "/api/v1/runs/run_019a0000-0000-7000-8000-000000000000/answer",
                    },
                }
            ]
        },
    )

    id: str
    run_id: str
    node: str | None = Field(description="The node that asked.")
    status: str = Field(
        description="open, answered, expired, closed (the run ended or started over without the answer)."
    )
    question: Any = Field(description="What the graph asked, whole.")
    answer_schema: dict[str, Any] | None = Field(
        alias="schema", description="JSON schema of the answer; null: any JSON."
    )
    has_default: bool = Field(description="False: the run fails at the deadline.")
    default: Any = Field(description="The answer at the deadline.")
    deadline_at: datetime
    answer: Any = Field(description="null until it is answered.")
    who: str | None = Field(description="Who answered; `default` at the deadline.")
    created_at: datetime
    answered_at: datetime | None
    links: InteractionLinks


class InteractionPage(Sent):
    items: list[Interaction]
    next_cursor: str | None = Field(description=NEXT_CURSOR)


class InteractionFilters(PageParameters):
    status: list[InteractionStatus] = Field(default=["open"], description="Any of these; without it the open ones.")
    run_id: Text | None = Field(default=None, max_length=200)
    workflow: Text | None = Field(default=None, max_length=200)


class NewAnswer(Received):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"value": True},
                {"interaction_id": "int_019a0000-0000-7000-8000-000000000000", "value": {"approved": True}},
            ]
        }
    )

    interaction_id: Text | None = Field(
        default=None, max_length=200, description="May be left out while exactly one question of the run is open."
    )
    value: Any = Field(description="Must fit the question's schema, if it has one.")
