"""Reads of runs and what hangs on them. Nothing else queries these tables; writes of a RUNNING run go through `engine/writer.py`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Integer, RowMapping, Select, and_, bindparam, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.errors import NotFound
from shadowgraph.db.dialect import DialectName, json_text, matches_text
from shadowgraph.models.artifacts import artifacts
from shadowgraph.models.events import events
from shadowgraph.models.llm_calls import llm_attempts
from shadowgraph.models.payloads import payloads
from shadowgraph.models.run_texts import run_texts
from shadowgraph.models.runs import runs
from shadowgraph.models.steps import steps
from shadowgraph.models.tool_calls import tool_calls
from shadowgraph.models.workflows import workflows
from shadowgraph.runs.cursors import Cursor
from shadowgraph.runs.events import Event
from shadowgraph.runs.run import FIELDS, Run, run_from_row
from shadowgraph.runs.states import Status
from shadowgraph.versioning.repository import ids_of_versions

_RUN_COLUMNS = tuple(runs.c[name] for name in FIELDS)

Item = TypeVar("Item")


class RunNotFound(NotFound):
    code = "run_not_found"


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs a list shows; every empty field means "all"."""

    status: Sequence[Status] = ()
    workflow: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None
    """Every word must begin some word of the request, the result or the error."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    subject: str | None = None
    parent_run_id: str | None = None
    thread_id: str | None = None
    version: Sequence[str] = ()
    """Ids, or labels such as v3."""
    cursor: Cursor | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    items: Sequence[Item]
    next_cursor: Cursor | None


@dataclass(frozen=True, slots=True)
class Step:
    superstep: int
    node: str
    path: str
    attempt: int
    status: str
    started_at: datetime
    finished_at: datetime | None
    summary: str | None
    output_ref: str | None
    error: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Artifact:
    path: str
    media_type: str
    size: int
    sha256: str
    node: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Workflow:
    name: str
    project: str
    code_digest: str
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any]
    graph: Mapping[str, Any]
    description: str
    timeout_s: float | None
    default_budget_nano_usd: int | None
    """For runs that name no budget; None: as the server says."""
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class LlmAttempt:
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
    cost_nano_usd: int | None
    price_source: str | None
    unit_prices: Mapping[str, str] | None
    error_class: str | None
    ttft_ms: int | None
    latency_ms: int | None
    gated: bool


@dataclass(frozen=True, slots=True)
class ToolCall:
    call_key: str
    agent: str
    tool: str
    effect: str
    mode: str
    status: str
    error: str | None
    at: datetime
    finished_at: datetime | None


def live_runs() -> Select[Any]:
    """The runs that users started: the one place that leaves out shadow runs."""
    return select(*_RUN_COLUMNS).where(runs.c.kind.in_(("live", "imported")))


# Built once: these two are read for every event that a stream sends.
_ONE_RUN = select(*_RUN_COLUMNS).where(runs.c.id == bindparam("run_id"))
_EVENTS_AFTER = (
    select(events.c.run_id, events.c.seq, events.c.type, events.c.payload, events.c.at)
    .where(events.c.run_id == bindparam("run_id"), events.c.seq > bindparam("after"))
    .order_by(events.c.seq)
    .limit(bindparam("most", type_=Integer))
)


async def find_run(connection: AsyncConnection, run_id: str) -> Run | None:
    row = (await connection.execute(_ONE_RUN, {"run_id": run_id})).mappings().first()
    return run_from_row(row) if row else None


async def require_run(connection: AsyncConnection, run_id: str) -> Run:
    """Errors: `RunNotFound`."""
    run = await find_run(connection, run_id)
    if run is None:
        raise RunNotFound(f"there is no run {run_id}", run_id=run_id)
    return run


async def list_runs(connection: AsyncConnection, dialect: DialectName, query: RunQuery) -> Page[Run]:
    """Newest first."""
    statement = (
        live_runs()
        .where(*_conditions(query, dialect))
        .order_by(runs.c.created_at.desc(), runs.c.id.desc())
        .limit(query.limit + 1)
    )
    found = [run_from_row(row) for row in (await connection.execute(statement)).mappings()]
    items = found[: query.limit]
    more = len(found) > query.limit
    return Page(items, Cursor(items[-1].created_at, items[-1].id) if more else None)


def _conditions(query: RunQuery, dialect: DialectName) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if query.status:
        conditions.append(runs.c.status.in_([str(status) for status in query.status]))
    if query.workflow:
        conditions.append(runs.c.workflow.in_(query.workflow))
    if query.since:
        conditions.append(runs.c.created_at >= query.since)
    if query.until:
        conditions.append(runs.c.created_at < query.until)
    if query.subject is not None:
        conditions.append(runs.c.subject == query.subject)
    if query.parent_run_id is not None:
        conditions.append(runs.c.parent_run_id == query.parent_run_id)
    if query.thread_id is not None:
        conditions.append(runs.c.thread_id == query.thread_id)
    if query.version:
        conditions.append(runs.c.version_id.in_(ids_of_versions(query.version)))
    conditions += [json_text(runs.c.metadata, key, dialect) == value for key, value in query.metadata.items()]
    if query.text:
        conditions.append(runs.c.id.in_(select(run_texts.c.run_id).where(matches_text(query.text, dialect))))
    if query.cursor:
        conditions.append(_before(query.cursor))
    return conditions


def _before(cursor: Cursor) -> ColumnElement[bool]:
    return or_(
        runs.c.created_at < cursor.created_at, and_(runs.c.created_at == cursor.created_at, runs.c.id < cursor.id)
    )


async def list_steps(connection: AsyncConnection, run_id: str) -> list[Step]:
    """In the order in which they started."""
    statement = (
        select(steps)
        .where(steps.c.run_id == run_id)
        .order_by(steps.c.superstep, steps.c.started_at, steps.c.node, steps.c.path, steps.c.attempt)
    )
    return [_build(Step, row) for row in (await connection.execute(statement)).mappings()]


async def list_events(connection: AsyncConnection, run_id: str, *, after: int = 0, limit: int = 500) -> list[Event]:
    values = {"run_id": run_id, "after": after, "most": limit}
    return [Event(**row) for row in (await connection.execute(_EVENTS_AFTER, values)).mappings()]


async def list_artifacts(connection: AsyncConnection, run_id: str) -> list[Artifact]:
    statement = select(artifacts).where(artifacts.c.run_id == run_id).order_by(artifacts.c.path)
    return [_build(Artifact, row) for row in (await connection.execute(statement)).mappings()]


async def find_artifact(connection: AsyncConnection, run_id: str, path: str) -> tuple[Artifact, bytes] | None:
    statement = (
        select(artifacts, payloads.c.body)
        .join(payloads, payloads.c.sha256 == artifacts.c.sha256)
        .where(artifacts.c.run_id == run_id, artifacts.c.path == path)
    )
    row = (await connection.execute(statement)).mappings().first()
    return (_build(Artifact, row), bytes(row["body"])) if row else None


async def list_llm_attempts(connection: AsyncConnection, run_id: str) -> list[LlmAttempt]:
    """In the order in which they began."""
    statement = (
        select(llm_attempts)
        .where(llm_attempts.c.run_id == run_id)
        .order_by(llm_attempts.c.at, llm_attempts.c.call_key, llm_attempts.c.n)
    )
    return [_build(LlmAttempt, row) for row in (await connection.execute(statement)).mappings()]


async def list_tool_calls(connection: AsyncConnection, run_id: str) -> list[ToolCall]:
    """In the order in which they began."""
    statement = select(tool_calls).where(tool_calls.c.run_id == run_id).order_by(tool_calls.c.at, tool_calls.c.call_key)
    return [_build(ToolCall, row) for row in (await connection.execute(statement)).mappings()]


async def list_workflows(connection: AsyncConnection) -> list[Workflow]:
    rows = (await connection.execute(select(workflows).order_by(workflows.c.name))).mappings()
    return [_build(Workflow, row) for row in rows]


async def find_workflow(connection: AsyncConnection, name: str) -> Workflow | None:
    row = (await connection.execute(_ONE_WORKFLOW, {"workflow": name})).mappings().first()
    return _build(Workflow, row) if row else None


_ONE_WORKFLOW = select(workflows).where(workflows.c.name == bindparam("workflow"))


def _build(kind: type[Item], row: RowMapping) -> Item:
    names = kind.__dataclass_fields__  # type: ignore[attr-defined]  # only dataclasses are built here
    return kind(**{name: row[name] for name in names})
