"""A run on the wire, and what lists of runs take."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from shadowgraph.api.schemas.common import MetadataKey, Moment, Received, Sent, Text, Usd
from shadowgraph.api.schemas.interactions import Interaction
from shadowgraph.api.schemas.paging import DEFAULT_LIMIT, MAX_LIMIT
from shadowgraph.runs.cursors import Cursor
from shadowgraph.runs.repository import RunQuery
from shadowgraph.runs.states import Status

METADATA_PREFIX = "metadata."

_metadata_key = TypeAdapter[str](MetadataKey)
_text = TypeAdapter[str](Text)


class Usage(Sent):
    """Sums over every request that went to a provider, failed ones included."""

    prompt_tokens: int
    completion_tokens: int
    unreported: int = Field(
        default=0,
        description="Answered requests of a graph's own models that said nothing of their tokens: the sums lack them.",
    )
    unpriced: int = Field(default=0, description="Requests whose cost nobody knows: the sum is at least `cost_usd`.")
    cost_usd: Usd | None = Field(description="null: unknown.")
    cost_state: str = Field(
        description="exact; estimated (some tokens are estimates); partial (some requests are `unpriced`); unknown (all are); "
        "synthetic (only the offline model answered)."
    )


class RunError(Sent):
    """Why a run failed, in the members of a problem."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    detail: str
    code: str = Field(description="Stable; scripts may branch on it.")
    retryable: bool
    hint: str | None = None
    step: str | None = Field(default=None, description="The node that failed.")
    attempts: int | None = None
    provider: str | None = None


class RunLinks(Sent):
    self: str
    events: str
    steps: str
    artifacts: str
    artifacts_zip: str
    export_json: str
    export_md: str
    checkpoints: str
    children: str = Field(description="Runs that were forked from this one.")
    thread: str
    cancel: str
    pause: str
    resume: str
    retry: str
    fork: str
    answer: str


class RunSummary(Sent):
    """A run in a list: without its input and result, whose first words stand in `preview`."""

    id: str
    status: Status
    reason: str | None = Field(description="Why it is in this state, such as lease_expired.")
    workflow: str
    version: str | None = Field(
        description="Label of the version that the run is pinned to, by its request or its first claim; null: none yet, or there are none."
    )
    preview: str = Field(description="The first 200 characters of the request's texts.")
    thread_id: str
    parent_run_id: str | None = Field(description="The run that this one was forked from.")
    parent_checkpoint_id: str | None = Field(description="The checkpoint of the parent that this one began with.")
    subject: str | None
    metadata: Mapping[str, str]
    priority: int
    max_steps: int | None = Field(description="null: the workflow's own limit.")
    budget_usd: Usd | None = Field(description="What the run may spend; null: it has no budget of its own.")
    control: str | None = Field(description="What was asked of the run's worker and is not done yet: pause, cancel.")
    deadline_at: datetime | None = Field(
        description="The run fails if it has not ended by then; null: it may take its time."
    )
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: RunError | None
    usage: Usage
    links: RunLinks


class Run(RunSummary):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "run_019a0000-0000-7000-8000-000000000000",
                    "status": "COMPLETED",
                    "reason": None,
                    "workflow": "pipeline",
                    "version": "v1",
                    "preview": "Build a snake game",
                    "thread_id": "run_019a0000-0000-7000-8000-000000000000",
                    "parent_run_id": None,
                    "parent_checkpoint_id": None,
                    "subject": None,
                    "metadata": {"order_id": "7"},
                    "priority": 0,
                    "max_steps": None,
                    "budget_usd": 0.5,
                    "control": None,
                    "deadline_at": None,
                    "created_at": "2026-01-01T12:00:00Z",
                    "started_at": "2026-01-01T12:00:00.010000Z",
                    "finished_at": "2026-01-01T12:00:05Z",
                    "error": None,
                    "usage": {
                        "prompt_tokens": 5120,
                        "completion_tokens": 2048,
                        "cost_usd": 0,
                        "cost_state": "synthetic",
                    },
                    "links": {
                        "self": "/api/v1/runs/run_019a0000-0000-7000-8000-000000000000",
                        "events": "/api/v1/runs/run_019a0000-0000-7000-8000-000000000000/events",
                        "steps": "/api/v1/runs/run_019a0000-0000-7000-8000-000000000000/steps",
                        "artifacts": "/api/v1/runs/run_019a0000-0000-7000-8000-000000000000/artifacts",
                        "artifacts_zip": "/api/v1/runs/run_019a0000-0000-7000-8000-000000000000/artifacts.zip",
                        "export_json": "/api/v1/runs/run_019a0000-0000-7000-8000-000000000000/export.json",
                        "export_md": "/api/v1/runs/run_019a0000-0000-7000-8000-000000000000/export.md",
                        "checkpoints": "/api/v1/runs/run_019a0000-0000-7000-8000-000000000000/checkpoints",
                        "children": "/api/v1/runs?parent_run_id=run_019a0000-0000-7000-8000-000000000000",
                        "thread": "/api/v1/threads/run_019a0000-0000-7000-8000-000000000000",
                        "cancel": "/api/v1/runs/run_019a0000-0000-7000-8000-000000000000/cancel",
                        "pause": "/api/v1/runs/run_019a0000-0000-7000-8000-000000000000/pause",
                        "resume": "/api/v1/runs/run_019a0000-0000-7000-8000-000000000000/resume",
                        "retry": "/api/v1/runs/run_019a0000-0000-7000-8000-000000000000/retry",
                        "fork": "/api/v1/runs/run_019a0000-0000-7000-8000-000000000000/fork",
                        "answer": "/api/v1/runs/run_019a0000-0000-7000-8000-000000000000/answer",
                    },
                    "input": {"query": "Build a snake game"},
                    "query": "Build a snake game",
                    "result": {"answer": "A snake game in one file."},
                    "interactions": [],
                }
            ]
        }
    )

    input: Any
    query: str | None = Field(description="The input's `query`, when it has one.")
    result: Any = Field(description="null until the run is COMPLETED.")
    interactions: list[Interaction] = Field(
        default=[], description="The open questions of a run that waits for a person."
    )


class RunPage(Sent):
    items: list[RunSummary]
    next_cursor: str | None = Field(description="Send it as `cursor` for the next page; null: there is none.")


class RunFilters(Received):
    """Which runs a list shows. `metadata.KEY=VALUE` finds runs with that label; filters may be repeated."""

    model_config = ConfigDict(extra="allow")

    status: list[Status] = Field(default=[], description="Any of these.")
    workflow: list[Text] = Field(default=[], description="Any of these.")
    since: Moment | None = Field(
        default=None, description="Created at or after (RFC 3339).", examples=["2026-01-01T00:00:00Z"]
    )
    until: Moment | None = Field(default=None, description="Created before (RFC 3339).")
    q: Text | None = Field(
        default=None,
        max_length=500,
        description="Every word must begin some word of the request, the result or the error.",
    )
    subject: Text | None = Field(default=None, max_length=200)
    parent_run_id: Text | None = Field(default=None, max_length=200)
    thread_id: Text | None = Field(default=None, max_length=200, description="Runs of this conversation.")
    version: list[Text] = Field(default=[], description="Any of these: labels such as v3, or ids.")
    cursor: str | None = Field(default=None, max_length=500, description="`next_cursor` of the page before.")
    limit: int = Field(default=DEFAULT_LIMIT, ge=1, le=MAX_LIMIT)

    @model_validator(mode="after")
    def _check_extra(self) -> "RunFilters":
        for name, value in self._extra.items():
            key = name.removeprefix(METADATA_PREFIX)
            if key == name:
                known = ", ".join([*type(self).model_fields, "metadata.KEY"])
                raise PydanticCustomError(
                    "unknown_parameter", "is not known; known are {known}", {"name": name, "known": known}
                )
            _check_label(name, key, value)
        return self

    @property
    def _extra(self) -> Mapping[str, Any]:
        return self.model_extra or {}

    def to_query(self) -> RunQuery:
        """Errors: `BadCursor`."""
        return RunQuery(
            status=self.status,
            workflow=self.workflow,
            since=self.since,
            until=self.until,
            text=self.q,
            metadata={name.removeprefix(METADATA_PREFIX): value for name, value in self._extra.items()},
            subject=self.subject,
            parent_run_id=self.parent_run_id,
            thread_id=self.thread_id,
            version=self.version,
            cursor=Cursor.decode(self.cursor) if self.cursor else None,
            limit=self.limit,
        )


def _check_label(name: str, key: str, value: object) -> None:
    try:
        _metadata_key.validate_python(key)
        _text.validate_python(value)
    except ValidationError as error:
        raise PydanticCustomError("bad_label", "{why}", {"name": name, "why": error.errors()[0]["msg"]}) from None
