"""What `POST /runs` takes."""

from decimal import Decimal
from typing import Annotated, Any

import orjson
from pydantic import ConfigDict, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from shadowgraph.api.schemas.common import MetadataKey, Name, Received, Text, ThreadId
from shadowgraph.api.schemas.versions import VersionRef
from shadowgraph.core.settings import MAX_USD, Settings
from shadowgraph.runs.idempotency import IdempotencyKey
from shadowgraph.runs.service import RunSpec
from shadowgraph.runs.threads import OnBusy

QUERY_WORKFLOW = "pipeline"
"""`{"query": "…"}` is short for this workflow with the input `{"query": "…"}`."""

MAX_METADATA_BYTES = 16 * 1024
MAX_QUERY_CHARACTERS = 100_000
MAX_WAIT_SECONDS = 60
MAX_TIMEOUT_SECONDS = 366 * 24 * 3600

NOT_SERVED_YET = {
    "parent_run_id": "fork with POST /api/v1/runs/{run_id}/fork",
    "dry_run": "tools cannot be stubbed yet",
    "no_shadow": "no run is shadowed yet",
    "webhook": "follow GET /api/v1/runs/{run_id}/events instead",
}
"""Fields that have a meaning already, and what to do without them."""


class NewRun(Received):
    """Either `workflow` and `input`, or `query`, which is short for the workflow `pipeline` with that query as its input."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={
            "oneOf": [
                {"required": ["query"], "not": {"anyOf": [{"required": ["workflow"]}, {"required": ["input"]}]}},
                {"required": ["workflow", "input"], "not": {"required": ["query"]}},
            ],
            "examples": [
                {"query": "Build a snake game"},
                {
                    "workflow": "pipeline",
                    "input": {"query": "Build a REST API for managing books"},
                    "priority": 5,
                    "metadata": {"order_id": "7"},
                },
                {
                    "query": "And now with a high score",
                    "thread_id": "snake",
                    "on_busy": "enqueue",
                    "timeout_s": 600,
                    "budget_usd": 0.5,
                },
            ],
        },
    )

    workflow: Name | None = Field(default=None, description="Name of a workflow; GET /workflows lists them.")
    input: dict[str, Any] | None = Field(default=None, description="Must fit the workflow's input schema.")
    query: Annotated[Text, StringConstraints(min_length=1, max_length=MAX_QUERY_CHARACTERS)] | None = Field(
        default=None, description="Short for the workflow `pipeline` with the input `{query}`."
    )
    priority: int = Field(default=0, ge=-10, le=10, description="A point is worth a minute of waiting.")
    max_steps: int | None = Field(
        default=None, ge=1, le=10_000, description="The run fails after so many steps; null: the workflow's own limit."
    )
    thread_id: ThreadId | None = Field(
        default=None, description="The conversation that the run continues; null: one of its own.", examples=["order 7"]
    )
    on_busy: OnBusy | None = Field(
        default=None,
        description="While another run of the thread is unfinished: `reject` (409; the default), or `enqueue` and wait in line.",
    )
    timeout_s: float | None = Field(
        default=None,
        gt=0,
        le=MAX_TIMEOUT_SECONDS,
        allow_inf_nan=False,
        description="The run fails if it has not ended within so many seconds; null: it may take its time.",
    )
    budget_usd: float | None = Field(
        default=None,
        ge=0,
        le=MAX_USD,
        allow_inf_nan=False,
        description="What the run may spend, its forks included; at the call that would need more it stops in BUDGET_EXCEEDED. null: the "
        "workflow's default (`default_budget_usd` of its project), else the server's (MAX_RUN_COST).",
    )
    version: VersionRef | None = Field(
        default=None,
        description="The version that the run is to be one of: a label such as v3, an id or a digest; null: the one that is active when a "
        "worker begins it.",
        examples=["v3"],
    )
    metadata: dict[MetadataKey, Text] = Field(
        default_factory=dict, description="Your own labels, at most 16 KB; `GET /runs?metadata.KEY=VALUE` finds them."
    )
    subject: Name | None = Field(default=None, description="On whose behalf the run is, in your own words.")

    @model_validator(mode="before")
    @classmethod
    def _refuse_what_is_not_served(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        for name, hint in NOT_SERVED_YET.items():
            if data.get(name) is not None:
                raise PydanticCustomError("not_served_yet", "is not served yet: {hint}", {"name": name, "hint": hint})
        return {name: value for name, value in data.items() if name not in NOT_SERVED_YET}  # null says nothing

    @model_validator(mode="after")
    def _require_one_form(self) -> "NewRun":
        if self.query is not None and (self.workflow is not None or self.input is not None):
            raise ValueError("has both forms: send query alone, or workflow and input")
        if self.query is None and (self.workflow is None or self.input is None):
            raise ValueError("needs workflow and input, or query alone")
        if self.query is not None and not self.query.strip():
            raise PydanticCustomError("blank_query", "is blank", {"name": "query"})
        if len(orjson.dumps(self.metadata)) > MAX_METADATA_BYTES:
            raise PydanticCustomError("metadata_too_large", "has more than 16 KB", {"name": "metadata"})
        return self

    def to_spec(self, *, traceparent: str | None, idempotency: IdempotencyKey | None, settings: Settings) -> RunSpec:
        return RunSpec(
            workflow=self.workflow or QUERY_WORKFLOW,
            input=self.input if self.input is not None else {"query": self.query},
            subject=self.subject,
            priority=self.priority,
            max_steps=self.max_steps,
            timeout_seconds=self.timeout_s,
            thread_id=self.thread_id,
            on_busy=self.on_busy or "reject",
            budget_usd=None if self.budget_usd is None else Decimal(str(self.budget_usd)),
            server_budget_usd=settings.max_run_cost or None,
            is_budgeted=settings.cost_tracking_enabled,
            version=self.version,
            metadata=self.metadata,
            traceparent=traceparent,
            idempotency=idempotency,
        )


class WaitParameter(Received):
    wait: int = Field(
        default=0,
        ge=0,
        le=MAX_WAIT_SECONDS,
        description="Seconds to wait for the run's end; 0: answer at once.",
        examples=[30],
    )
