"""Ownership of a run: the lease on its row, with a token that only ever grows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Update,
    and_,
    bindparam,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.clock import Clock
from shadowgraph.core.errors import Conflict
from shadowgraph.core.ids import RunId, WorkerId
from shadowgraph.db.dialect import now_ms
from shadowgraph.models.runs import runs
from shadowgraph.models.workers import workers
from shadowgraph.models.workflows import workflows
from shadowgraph.runs import events as ev
from shadowgraph.runs.run import FIELDS, Run, run_from_row
from shadowgraph.runs.states import Status
from shadowgraph.runs.threads import is_its_turn
from shadowgraph.versioning.pinning import has_code, released_workflows, take_pin, workflows_active_with

URGENCY: ColumnElement[int] = literal_column("(runs.available_at - runs.priority * 60000)")
"""Claim order, as the index spells it: a point of priority is worth a minute of waiting, so nothing starves."""

_RUN_COLUMNS = tuple(runs.c[name] for name in FIELDS)


@dataclass(frozen=True, slots=True)
class Claimant:
    """A worker that looks for work."""

    worker_id: WorkerId
    workflows: Mapping[str, str]
    """The workflows that it has loaded, with the digest of the project's files of each."""
    lease_ms: int
    codes: Mapping[str, str] | None = None
    """Of these workflows, the code that it can run (`digests.code_digest_of`); one that is missing has code that no version may have.
    None: there are no versions here, and runs are pinned to none."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the heartbeat learns of one run."""

    run_id: RunId
    control: str | None


class ReleaseMoved(Conflict):
    """The run's first claim found that its workflow's active version has other code now: whoever has that code claims it."""

    code = "release_moved"


async def claim_run(
    connection: AsyncConnection, claimant: Claimant, *, clock: Clock, run_id: str | None = None
) -> Run | None:
    """Takes the lease on the most urgent due run, or on the named one; None when there is nothing to take.

    Errors: `ReleaseMoved`; then the caller rolls back, and nothing is claimed.
    """
    codes = None if claimant.codes is None else tuple(claimant.codes.values())
    statement = _claiming(tuple(claimant.workflows), codes, is_named=run_id is not None)
    values: dict[str, Any] = {"worker": claimant.worker_id, "lease_ms": claimant.lease_ms}
    if run_id is not None:
        values["wanted"] = run_id
    row = (await connection.execute(statement, values)).mappings().first()
    if row is None:
        return None
    run = run_from_row(row)
    if run.started_at is None:
        run = await _begin(connection, run, claimant, clock=clock)
    await ev.append_events(connection, run.id, [_claim_event(run)], last_seq=run.event_seq, at=clock.now())
    return run


@cache
def _claiming(workflow_names: tuple[str, ...], codes: tuple[str, ...] | None, *, is_named: bool) -> Update:
    """Built once for each worker: building it anew costs more than the claim."""
    named = [runs.c.id == bindparam("wanted")] if is_named else []
    candidate = (
        select(runs.c.id)
        .where(*_claimable(workflow_names, codes), *named)
        .order_by(URGENCY)
        .limit(1)
        .with_for_update(skip_locked=True)
        .scalar_subquery()
    )
    return (
        update(runs)
        .where(runs.c.id == candidate, runs.c.status == Status.QUEUED)
        .values(
            status=Status.RUNNING,
            reason=None,
            lease_owner=bindparam("worker"),
            lease_token=runs.c.lease_token + 1,
            lease_expires_at=now_ms() + bindparam("lease_ms", type_=BigInteger),
            claims=runs.c.claims + 1,
            event_seq=runs.c.event_seq + 1,
        )
        .returning(*_RUN_COLUMNS)
    )


async def _begin(connection: AsyncConnection, run: Run, claimant: Claimant, *, clock: Clock) -> Run:
    """The first claim decides which code the run belongs to, unless the request did."""
    begun = replace(await _pinned(connection, run, claimant), started_at=clock.now())
    values = {
        "begun": run.id,
        "started": begun.started_at,
        "version": begun.version_id,
        "digest": begun.snapshot_digest,
    }
    await connection.execute(_BEGIN, values)
    return begun


async def _pinned(connection: AsyncConnection, run: Run, claimant: Claimant) -> Run:
    """Errors: `ReleaseMoved`."""
    if run.version_id is not None:
        return run
    pin = None if claimant.codes is None else await take_pin(connection, run.workflow)
    if pin is None or claimant.codes is None:
        return replace(run, snapshot_digest=claimant.workflows.get(run.workflow))
    if pin.code_digest not in claimant.codes.values():
        raise ReleaseMoved(f"the active version of {run.workflow!r} has other code", version=pin.version_id)
    return replace(run, version_id=pin.version_id, snapshot_digest=pin.snapshot_digest)


_BEGIN = (
    update(runs)
    .where(runs.c.id == bindparam("begun"))
    .values(started_at=bindparam("started"), version_id=bindparam("version"), snapshot_digest=bindparam("digest"))
)


def _claimable(workflow_names: Sequence[str], codes: Sequence[str] | None) -> list[ColumnElement[bool]]:
    known = select(workflows.c.name)
    # A name that no worker knows was accepted while the table was empty: anybody may take it, to fail it with the reason.
    is_unknown = and_(runs.c.workflow.not_in(known), *([] if codes is None else [_is_unreleased]))
    return [
        runs.c.status == Status.QUEUED,
        runs.c.available_at <= now_ms(),
        is_its_turn(),
        or_(and_(runs.c.workflow.in_(workflow_names), *_fits(codes)), is_unknown),
    ]


_is_unreleased = runs.c.workflow.not_in(released_workflows())


def _fits(codes: Sequence[str] | None) -> list[ColumnElement[bool]]:
    """The run's version, or the one that it would get, has one of these codes. A run that began without a version stays without one."""
    if codes is None:
        return []
    began_without = and_(runs.c.version_id.is_(None), runs.c.started_at.is_not(None))
    would_get = or_(runs.c.workflow.in_(workflows_active_with(codes)), _is_unreleased)
    return [
        or_(
            began_without,
            and_(runs.c.version_id.is_(None), would_get),
            and_(runs.c.version_id.is_not(None), has_code(runs.c.snapshot_digest, codes)),
        )
    ]


def _claim_event(run: Run) -> ev.NewEvent:
    kind = ev.RUN_STARTED if run.claims == 1 else ev.RUN_TAKEN_OVER
    pinned = {} if run.version_id is None else {"version_id": run.version_id, "snapshot_digest": run.snapshot_digest}
    return ev.NewEvent(kind, {"worker": run.lease_owner, "claim": run.claims, **pinned})


def seconds_left(run: Run, *, lease_ms: int) -> float | None:
    """Until the deadline of a run that was claimed just now; None: it has none. Both times are the database's."""
    if run.deadline_at is None or run.lease_expires_at is None:
        return None
    return max(0.0, (run.deadline_at - (run.lease_expires_at - lease_ms)) / 1000)


def extend_leases(
    connection: Connection, worker_id: WorkerId, held: Sequence[tuple[RunId, int]], lease_ms: int
) -> list[Held]:
    """One heartbeat for all runs of a process, on the heartbeat thread's own connection.

    `held`: run id and lease token. A run that is missing from the result is no longer ours.
    """
    connection.execute(update(workers).where(workers.c.id == worker_id).values(seen_at=now_ms()))
    if not held:
        return []
    mine = or_(*(and_(runs.c.id == run_id, runs.c.lease_token == token) for run_id, token in held))
    statement = (
        update(runs)
        .where(runs.c.id.in_([run_id for run_id, _ in held]), mine, runs.c.lease_expires_at.is_not(None))
        .values(lease_expires_at=now_ms() + lease_ms)
        .returning(runs.c.id, runs.c.control)
    )
    return [Held(RunId(row.id), row.control) for row in connection.execute(statement)]
