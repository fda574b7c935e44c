"""The closed list of what may be written for a RUNNING run.

Callers hand over typed rows, never SQL: one row of a kind and a thousand rows of it are the same statement, so the writes of many runs can
be merged. Fields are named as the columns that they fill; what the claim knows (run id, kind, workflow, version, owner) is added to them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from shadowgraph.core.json import JsonObject
from shadowgraph.runs.events import NewEvent

CallStatus = Literal["started", "done", "rejected", "in_doubt"]
AttemptStatus = Literal["started", "done", "failed", "in_doubt"]
ToolStatus = Literal["started", "done", "failed", "in_doubt", "given_up"]
StepStatus = Literal["running", "finished", "failed", "interrupted", "cancelled"]


@dataclass(frozen=True, slots=True)
class EventRow:
    """Numbered by the fence."""

    event: NewEvent
    at: datetime


@dataclass(frozen=True, slots=True)
class EventPruneRow:
    """Removes a stored event: only `output.delta`, when the whole output is there."""

    seq: int


@dataclass(frozen=True, slots=True)
class PayloadRow:
    sha256: str
    media_type: str
    size: int
    body: bytes


@dataclass(frozen=True, slots=True)
class StepRow:
    """A step attempt begins; writing it again changes nothing."""

    superstep: int
    node: str
    path: str
    attempt: int
    started_at: datetime
    checkpoint_id: str | None
    status: StepStatus = "running"


@dataclass(frozen=True, slots=True)
class StepEndRow:
    superstep: int
    node: str
    path: str
    attempt: int
    status: StepStatus
    finished_at: datetime
    output_ref: str | None = None
    summary: str | None = None
    error: JsonObject | None = None


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call starts, or starts again after a crash."""

    call_key: str
    request_hash: str
    step_key: str
    agent: str
    at: datetime
    status: CallStatus = "started"


@dataclass(frozen=True, slots=True)
class CallEndRow:
    call_key: str
    request_hash: str
    status: CallStatus
    response_ref: str | None
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class AttemptRow:
    call_key: str
    request_hash: str
    n: int
    agent: str
    at: datetime
    provider: str
    model: str
    estimated_prompt_tokens: int
    estimated_completion_tokens: int = 0
    estimated_cost_nano_usd: int | None = None
    price_source: str | None = None
    unit_prices: JsonObject | None = None
    status: AttemptStatus = "started"
    gated: bool = True
    route: str | None = None
    route_number: int | None = None


@dataclass(frozen=True, slots=True)
class AttemptEndRow:
    call_key: str
    request_hash: str
    n: int
    status: AttemptStatus
    prompt_tokens: int | None
    completion_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    tokens_source: str | None
    cost_nano_usd: int | None
    price_source: str | None
    unit_prices: JsonObject | None
    error_class: str | None
    ttft_ms: int | None
    latency_ms: int | None


@dataclass(frozen=True, slots=True)
class HoldRow:
    """What the attempt costs will be counted in this budget."""

    id: str
    budget_id: str
    period: str
    amount_nano_usd: int
    call_key: str
    request_hash: str
    n: int


@dataclass(frozen=True, slots=True)
class ToolRow:
    call_key: str
    args_hash: str
    step_key: str
    tool: str
    schema_digest: str
    effect: str
    agent: str
    args_ref: str
    at: datetime
    doubts: int = 0
    mode: str = "live"
    status: ToolStatus = "started"


@dataclass(frozen=True, slots=True)
class ToolEndRow:
    call_key: str
    args_hash: str
    status: ToolStatus
    result_ref: str | None
    error: str | None
    finished_at: datetime


@dataclass(frozen=True, slots=True)
class ArtifactRow:
    """A later file with the same path takes the place of the earlier one."""

    path: str
    media_type: str
    size: int
    sha256: str
    node: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class InteractionRow:
    """A question to a person; asking it again changes nothing."""

    id: str
    interrupt_id: str
    node: str | None
    question: JsonObject
    schema: JsonObject | None
    default: JsonObject | None
    wait_ms: int
    """From now, by the database's clock."""
    created_at: datetime
    status: Literal["open"] = "open"


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    thread_id: str
    checkpoint_ns: str
    checkpoint_id: str
    parent_checkpoint_id: str | None
    type: str | None
    """SQLite: how `checkpoint` is serialised. PostgreSQL keeps JSON and leaves this NULL."""
    checkpoint: bytes | Mapping[str, Any]
    metadata: bytes | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BlobRow:
    """PostgreSQL only: SQLite's saver keeps channel values inside the checkpoint."""

    thread_id: str
    checkpoint_ns: str
    channel: str
    version: str
    type: str
    blob: bytes | None


@dataclass(frozen=True, slots=True)
class PendingRow:
    """One write of a finished task; the first one under its key stays."""

    thread_id: str
    checkpoint_ns: str
    checkpoint_id: str
    task_id: str
    task_path: str
    idx: int
    channel: str
    type: str
    blob: bytes


@dataclass(frozen=True, slots=True)
class SpecialWriteRow(PendingRow):
    """A write to one of the library's own channels (error, interrupt, resume): the last one under its key stays."""


Row: TypeAlias = (
    EventRow
    | EventPruneRow
    | PayloadRow
    | StepRow
    | StepEndRow
    | CallRow
    | CallEndRow
    | AttemptRow
    | AttemptEndRow
    | HoldRow
    | ToolRow
    | ToolEndRow
    | ArtifactRow
    | InteractionRow
    | CheckpointRow
    | BlobRow
    | PendingRow
    | SpecialWriteRow
)
