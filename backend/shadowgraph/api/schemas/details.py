"""What hangs on a run: steps, events, files, calls."""

from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field

from shadowgraph.api.schemas.common import Received, Sent, Usd
from shadowgraph.api.schemas.paging import DEFAULT_LIMIT, MAX_LIMIT
from shadowgraph.api.schemas.runs import Run, RunError

MAX_SEQ = 2**63 - 1


class Step(Sent):
    """One try of one node in one superstep."""

    node: str
    superstep: int
    path: str = Field(description="Tells the tasks of a fan-out apart.")
    attempt: int
    status: str = Field(description="running, finished, failed, interrupted, cancelled, lost.")
    started_at: datetime
    finished_at: datetime | None
    summary: str | None = Field(description="One line of what the node returned.")
    error: RunError | None
    cost_usd: Usd | None = Field(
        description="Of the model calls that began in this try; null: a part of it is unknown."
    )


class StepList(Sent):
    items: list[Step]
    next_cursor: None = Field(default=None, description="Always null: a list of steps is whole.")


class RunEvent(Sent):
    """Something that happened to a run. Numbers may have gaps."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "run_id": "run_019a0000-0000-7000-8000-000000000000",
                    "seq": 3,
                    "type": "step.started",
                    "at": "2026-01-01T12:00:00.020000Z",
                    "data": {"node": "planner", "superstep": 2, "attempt": 1},
                }
            ]
        }
    )

    run_id: str
    seq: int | None = Field(description="null for live text (`output.live`), which is not stored.")
    type: str
    at: datetime | None
    data: dict[str, Any] = Field(description="`run.finished` carries the whole run as `run`.")


class EventPage(Sent):
    items: list[RunEvent]
    next_cursor: str | None = Field(description="Send it as `after` for the next page; null: there is none now.")


class EventParameters(Received):
    after: int = Field(
        default=0, ge=0, le=MAX_SEQ, description="Only events with a higher number; `Last-Event-ID` wins over it."
    )
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT, description="Of a JSON page; a stream has no limit.")


class Artifact(Sent):
    """A file that the run produced."""

    path: str
    media_type: str
    size: int = Field(description="Bytes.")
    sha256: str
    node: str | None = Field(description="The node that left it.")
    created_at: datetime
    link: str


class ArtifactList(Sent):
    items: list[Artifact]
    next_cursor: None = Field(default=None, description="Always null: a list of files is whole.")


class LlmAttempt(Sent):
    """One request to a provider, without its texts."""

    call_key: str
    n: int
    agent: str
    provider: str
    model: str
    status: str
    at: datetime
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    tokens_source: str | None
    cost_usd: Usd | None = Field(description="null: unknown, or not ended yet.")
    price_source: str | None = Field(
        description="override (set by a person), provider (said with the answer), list (the price list), synthetic (play money)."
    )
    unit_prices: dict[str, Usd] | None = Field(
        description="USD per million tokens (`prompt`, `cached`, `completion`) and per `call`; null: the sum was reported, or is unknown."
    )
    error_class: str | None
    ttft_ms: int | None
    latency_ms: int | None
    gated: bool = Field(
        description="False: metered, not gated. A model of the author's own made it; its tokens are those that it reported, null when it did not."
    )


class ToolCall(Sent):
    """One call of a tool, without its arguments and result."""

    call_key: str
    agent: str
    tool: str
    effect: str
    mode: str
    status: str
    error: str | None
    at: datetime
    finished_at: datetime | None


class RunExport(Sent):
    """Everything about a run but the texts of its calls and the bodies of its files."""

    format: Literal["shadowgraph.run.v1"] = "shadowgraph.run.v1"
    run: Run
    steps: list[Step]
    events: list[RunEvent]
    artifacts: list[Artifact]
    llm_attempts: list[LlmAttempt]
    tool_calls: list[ToolCall]
