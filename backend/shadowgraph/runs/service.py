"""The use cases of a run's life that come from outside: start one, cancel one.

Each function does its work on the connection that it is given and never commits: the edge opens the transaction and commits before it replies.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from sqlalchemy import BigInteger, bindparam, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.clock import Clock
from shadowgraph.core.errors import Conflict, Invalid
from shadowgraph.core.ids import RunId, new_run_id
from shadowgraph.core.json import JsonObject
from shadowgraph.core.money import to_usd
from shadowgraph.db.dialect import DialectName, now_ms
from shadowgraph.models.runs import runs
from shadowgraph.models.workflows import workflows
from shadowgraph.runs import events as ev
from shadowgraph.runs.budgets import add_run_budget
from shadowgraph.runs.idempotency import IdempotencyKey, claim_key
from shadowgraph.runs.inputs import check_input
from shadowgraph.runs.interactions import close_questions
from shadowgraph.runs.outbox import enqueue_run
from shadowgraph.runs.payloads import json_payload, store_payloads
from shadowgraph.runs.repository import find_workflow, require_run
from shadowgraph.runs.run import FIELDS, Run, run_from_row
from shadowgraph.runs.states import ENDED, Status
from shadowgraph.runs.texts import REQUEST_PART, store_text
from shadowgraph.runs.threads import OnBusy, require_free_thread
from shadowgraph.runs.transitions import change_state
from shadowgraph.versioning.pinning import hold_active
from shadowgraph.versioning.release import require_runnable
from shadowgraph.versioning.repository import Version
from shadowgraph.versioning.service import require_version

PREVIEW_CHARACTERS = 200
LOCAL_OWNER = "local"


class UnknownWorkflow(Invalid):
    code = "unknown_workflow"


class WrongState(Conflict):
    """The verb does not fit the run's state now."""

    code = "wrong_state"


@dataclass(frozen=True, slots=True)
class RunSpec:
    """What a caller asks for."""

    workflow: str
    input: JsonObject
    owner: str = LOCAL_OWNER
    subject: str | None = None
    priority: int = 0
    max_steps: int | None = None
    timeout_seconds: float | None = None
    """From now; None: no deadline."""
    thread_id: str | None = None
    """The conversation that it continues; None: one of its own."""
    on_busy: OnBusy = "reject"
    """What to do while another run of the thread is unfinished."""
    budget_usd: Decimal | None = None
    """What it may spend; None: what its workflow says of such runs, else `server_budget_usd`."""
    server_budget_usd: Decimal | None = None
    is_budgeted: bool = True
    """False: costs are not tracked, so the run gets no budget that it did not ask for."""
    version: str | None = None
    """Label, id or digest; None: whichever is active at its first claim."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    traceparent: str | None = None
    idempotency: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    run: Run
    replayed: bool
    """True: the same request with the same idempotency key was accepted before, and this is its run."""
    budget_usd: Decimal | None = None
    """That a new run got."""


async def create_run(connection: AsyncConnection, dialect: DialectName, spec: RunSpec, *, clock: Clock) -> Accepted:
    """Stores the run QUEUED, its first event and the outbox row.

    Errors: `UnknownWorkflow`, `InvalidInput`, `ThreadBusy`, `IdempotencyKeyReused`, `IdempotencyInProgress`; `VersionNotFound`,
    `VersionRevoked`, `VersionPurged`.
    """
    run_id = new_run_id()
    if spec.idempotency:
        earlier = await claim_key(connection, dialect, spec.idempotency, scope=spec.owner, run_id=run_id, clock=clock)
        if earlier is not None:
            return Accepted(await require_run(connection, earlier), replayed=True)
    spec = await _for_workflow(connection, spec)
    version = None if spec.version is None else await _require_version(connection, spec.workflow, spec.version)
    if spec.thread_id:
        await require_free_thread(connection, dialect, spec.thread_id, on_busy=spec.on_busy)
    run = await _insert_run(connection, dialect, run_id, spec, version, clock=clock)
    return Accepted(run, replayed=False, budget_usd=spec.budget_usd)


async def _for_workflow(connection: AsyncConnection, spec: RunSpec) -> RunSpec:
    """Checked against its workflow, with what that says of runs that do not."""
    workflow = await find_workflow(connection, spec.workflow)
    if workflow is not None:
        check_input(spec.workflow, workflow.input_schema, spec.input)
        return replace(
            spec,
            timeout_seconds=workflow.timeout_s if spec.timeout_seconds is None else spec.timeout_seconds,
            budget_usd=_budget_of(spec, workflow.default_budget_nano_usd),
        )
    known = list((await connection.scalars(select(workflows.c.name).order_by(workflows.c.name))).all())
    if known:
        raise UnknownWorkflow(
            f"there is no workflow {spec.workflow!r}",
            hint=f"known workflows: {', '.join(known)}",
            workflow=spec.workflow,
        )
    check_input(
        spec.workflow, {}, spec.input
    )  # no worker has said yet what it can run: name and schema are checked at the claim
    return replace(spec, budget_usd=_budget_of(spec, None))


def _budget_of(spec: RunSpec, default_nano_usd: int | None) -> Decimal | None:
    if spec.budget_usd is not None or not spec.is_budgeted:
        return spec.budget_usd
    return spec.server_budget_usd if default_nano_usd is None else to_usd(default_nano_usd)


async def _require_version(connection: AsyncConnection, workflow: str, name: str) -> Version:
    """One that a run may be pinned to, and that stays so until this transaction ends."""
    await hold_active(connection, workflow)
    version = await require_version(connection, name, workflow=workflow)
    require_runnable(version.target)
    return version


async def _insert_run(
    connection: AsyncConnection,
    dialect: DialectName,
    run_id: RunId,
    spec: RunSpec,
    version: Version | None,
    *,
    clock: Clock,
) -> Run:
    now = clock.now()
    payload = json_payload(spec.input)
    request = preview_of(spec.input)
    await store_payloads(connection, dialect, [payload])
    values = {
        "id": run_id,
        "workflow": spec.workflow,
        "kind": "live",
        "status": Status.QUEUED,
        "input_ref": payload.sha256,
        "input_preview": request[:PREVIEW_CHARACTERS],
        "thread_id": spec.thread_id or run_id,
        "checkpoint_thread": run_id,
        "version_id": version.id if version else None,
        "snapshot_digest": version.snapshot_digest if version else None,
        "priority": spec.priority,
        "timeout_ms": None if spec.timeout_seconds is None else int(spec.timeout_seconds * 1000),
        "event_seq": 1,
        "owner": spec.owner,
        "subject": spec.subject,
        "traceparent": spec.traceparent,
        "metadata": dict(spec.metadata),
        "options": {} if spec.max_steps is None else {"max_steps": spec.max_steps},
        "created_at": now,
    }
    stored = (await connection.execute(_INSERT, values)).mappings().one()
    if spec.budget_usd is not None:
        await add_run_budget(connection, dialect, run_id, spec.budget_usd, at=now)
    await store_text(connection, dialect, run_id, REQUEST_PART, request)
    queued = ev.NewEvent(ev.RUN_QUEUED, {"workflow": spec.workflow, "why": "created"})
    await ev.append_events(connection, run_id, [queued], last_seq=1, at=now)
    await enqueue_run(connection, run_id, why="created", at=now)
    return run_from_row(stored)


# Built once: every POST needs it.
_INSERT = (
    insert(runs)
    .values(available_at=now_ms(), deadline_at=now_ms() + bindparam("timeout_ms", type_=BigInteger))
    .returning(*(runs.c[name] for name in FIELDS))
)


def preview_of(value: JsonObject) -> str:
    """The request in one line, for lists and search: its texts, in order."""
    return " ".join(" ".join(_texts(value)).split())


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in _texts(item)]
    return []


async def cancel_run(connection: AsyncConnection, run_id: str, *, clock: Clock) -> Run:
    """Ends the run now, or asks its worker to: then it is still RUNNING with `control = cancel`.

    Errors: `RunNotFound`; `WrongState` when it has ended or is being cancelled already.
    """
    run = await require_run(connection, run_id)
    if run.status in ENDED:
        raise WrongState(f"the run is {run.status} already", state=run.status, possible=[])
    if run.status is Status.RUNNING:
        return await _ask_to_cancel(connection, run)
    finished = ev.NewEvent(ev.RUN_FINISHED, {"status": Status.CANCELLED})
    cancelled = await change_state(
        connection,
        run,
        to=Status.CANCELLED,
        events=[finished],
        at=clock.now(),
        lease_token=runs.c.lease_token + 1,
        reason=None,
        error=None,
        finished_at=clock.now(),
    )
    if cancelled is None:
        return await cancel_run(connection, run_id, clock=clock)
    await close_questions(connection, run_id)
    return cancelled


async def _ask_to_cancel(connection: AsyncConnection, run: Run) -> Run:
    if run.control == "cancel":
        raise WrongState("the run is being cancelled already", state=run.status, possible=[])
    asked = await connection.execute(
        update(runs).where(runs.c.id == run.id, runs.c.status == Status.RUNNING).values(control="cancel")
    )
    if asked.rowcount == 0:
        raise WrongState("the run changed its state just now", state=run.status, possible=["cancel"], hint="try again")
    return await require_run(connection, run.id)
