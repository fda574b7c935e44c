"""What happens to the unfinished runs of a version that a release leaves: decided for each, done for all of them at once."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import String, cast, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.ids import RunId, VersionId
from shadowgraph.db.dialect import now_ms
from shadowgraph.models.events import events
from shadowgraph.models.runs import runs
from shadowgraph.models.tool_calls import tool_calls
from shadowgraph.runs import events as ev
from shadowgraph.runs.interactions import close_questions
from shadowgraph.runs.outbox import enqueue_runs
from shadowgraph.runs.run import FIELDS, Run, run_from_row
from shadowgraph.runs.states import ENDED, Status
from shadowgraph.runs.takeover import mark_in_doubt

RESTARTED, LEFT, IRREVERSIBLE = "restarted", "version_left", "irreversible_effect"
"""Reasons of a run that was moved: it starts over; its version is active no more; it did what cannot be undone, so it does not start over."""

BATCH = 500
UNFINISHED = tuple(sorted(set(Status) - ENDED))
_RUN_COLUMNS = tuple(runs.c[name] for name in FIELDS)


class InFlight(StrEnum):
    FINISH = "finish"
    """They end on the version that they began with."""
    RESTART = "restart"
    """They start over on the active version; one that did something irreversible is held."""
    CANCEL = "cancel"
    HOLD = "hold"
    """PAUSED, until a person decides."""


@dataclass(frozen=True, slots=True)
class Outcome:
    status: Status
    starts_over: bool = False
    """True: nothing of what it did counts any more, and its next claim pins it anew."""
    reason: str = LEFT


@dataclass(frozen=True, slots=True)
class MovedRun:
    run_id: RunId
    status: Status
    seq: int
    """Of its last event."""


def decide(run: Run, policy: InFlight, *, did_irreversible: bool) -> Outcome | None:
    """None: it stays as it is.

    A run that a person wants cancelled is cancelled, and one that a person paused stays paused: a restart is no answer to that.
    """
    if policy is InFlight.FINISH or run.has_ended:
        return None
    if policy is InFlight.CANCEL or run.control == "cancel":
        return Outcome(Status.CANCELLED)
    is_paused = run.status is Status.PAUSED
    if policy is InFlight.HOLD:
        return None if is_paused else Outcome(Status.PAUSED)
    if did_irreversible:
        return None if is_paused else Outcome(Status.PAUSED, reason=IRREVERSIBLE)
    stays_paused = is_paused or run.control == "pause"
    return Outcome(Status.PAUSED if stays_paused else Status.QUEUED, starts_over=True, reason=RESTARTED)


async def move_runs(
    connection: AsyncConnection, version_id: VersionId, policy: InFlight, *, at: datetime
) -> list[MovedRun]:
    """Of all unfinished runs that are pinned to the version. Their workers are fenced by the token."""
    if policy is InFlight.FINISH:
        return []
    pinned = await _lock_pinned(connection, version_id)
    irreversible = await _find_irreversible(connection, [run.id for run in pinned])
    groups: dict[Outcome, list[Run]] = defaultdict(list)
    for run in pinned:
        outcome = decide(run, policy, did_irreversible=run.id in irreversible)
        if outcome is not None:
            groups[outcome].append(run)
    moved: list[MovedRun] = []
    for outcome, group in groups.items():
        for start in range(0, len(group), BATCH):
            moved += await _move(connection, group[start : start + BATCH], outcome, at=at)
    return moved


async def count_pinned(connection: AsyncConnection, version_ids: Sequence[str]) -> Counter[str]:
    """Unfinished runs of each version."""
    statement = (
        select(runs.c.version_id, func.count().label("number"))
        .where(runs.c.version_id.in_(version_ids), runs.c.status.in_(UNFINISHED))
        .group_by(runs.c.version_id)
    )
    return Counter({row.version_id: row.number for row in await connection.execute(statement)})


async def count_runs(connection: AsyncConnection, version_ids: Sequence[str]) -> Counter[str]:
    """Of each version, ended ones too."""
    statement = (
        select(runs.c.version_id, func.count().label("number"))
        .where(runs.c.version_id.in_(version_ids))
        .group_by(runs.c.version_id)
    )
    return Counter({row.version_id: row.number for row in await connection.execute(statement)})


async def find_driven(connection: AsyncConnection) -> set[str]:
    """Snapshots of runs that a worker has now."""
    statement = select(runs.c.snapshot_digest).where(runs.c.status == Status.RUNNING, runs.c.version_id.is_not(None))
    return set(await connection.scalars(statement.distinct()))


async def _lock_pinned(connection: AsyncConnection, version_id: VersionId) -> list[Run]:
    """In the order in which everybody locks runs. Nobody claims or ends one of them until this transaction ends."""
    statement = (
        select(*_RUN_COLUMNS)
        .where(runs.c.version_id == version_id, runs.c.status.in_(UNFINISHED))
        .order_by(runs.c.id)
        .with_for_update()
    )
    return [run_from_row(row) for row in (await connection.execute(statement)).mappings()]


async def _find_irreversible(connection: AsyncConnection, run_ids: Sequence[str]) -> set[str]:
    """Those that began a call of a tool with an irreversible effect, whatever became of it."""
    c = tool_calls.c
    found: set[str] = set()
    for start in range(0, len(run_ids), BATCH):
        some = run_ids[start : start + BATCH]
        statement = select(c.run_id).where(c.run_id.in_(some), c.effect == "irreversible").distinct()
        found |= set(await connection.scalars(statement))
    return found


async def _move(connection: AsyncConnection, group: Sequence[Run], outcome: Outcome, *, at: datetime) -> list[MovedRun]:
    ids = [run.id for run in group]
    statement = (
        update(runs)
        .where(runs.c.id.in_(ids))
        .values(status=outcome.status, event_seq=runs.c.event_seq + 1, **_released(), **_values(outcome, at=at))
        .returning(runs.c.id, runs.c.event_seq)
    )
    seqs = {row.id: row.event_seq for row in await connection.execute(statement)}
    event = _event(outcome)
    await connection.execute(
        insert(events).inline(), [ev.event_row(run_id, seqs[run_id], event, at=at) for run_id in ids]
    )
    await mark_in_doubt(connection, [run.id for run in group if run.status is Status.RUNNING], at=at)
    if outcome.starts_over or outcome.status is Status.CANCELLED:
        await close_questions(connection, *ids)
    if outcome.status is Status.QUEUED:
        await enqueue_runs(connection, ids, why=RESTARTED, at=at)
    return [MovedRun(RunId(run_id), outcome.status, seqs[run_id]) for run_id in ids]


def _released() -> dict[str, Any]:
    """No worker owns it any more, and none that did can write."""
    return {
        "lease_token": runs.c.lease_token + 1,
        "lease_owner": None,
        "lease_expires_at": None,
        "control": None,
    }


def _values(outcome: Outcome, *, at: datetime) -> dict[str, Any]:
    ended = {"finished_at": at, "error": None} if outcome.status is Status.CANCELLED else {}
    return {"reason": outcome.reason, **ended, **(_fresh_start() if outcome.starts_over else {})}


def _fresh_start() -> dict[str, Any]:
    """A checkpoint thread and a generation of its own: neither a checkpoint nor an answer of the old version can leak in."""
    generation = runs.c.generation + 1
    return {
        "version_id": None,
        "snapshot_digest": None,
        "generation": generation,
        "checkpoint_thread": runs.c.id.concat("#").concat(cast(generation, String)),
        "started_at": None,
        "available_at": now_ms(),
        "crash_streak": 0,
        "takeovers": 0,
        "error": None,
    }


def _event(outcome: Outcome) -> ev.NewEvent:
    if outcome.status is Status.CANCELLED:
        return ev.NewEvent(ev.RUN_FINISHED, {"status": outcome.status, "why": outcome.reason})
    if outcome.status is Status.PAUSED:
        return ev.NewEvent(ev.RUN_PAUSED, {"why": outcome.reason})
    return ev.NewEvent(ev.RUN_QUEUED, {"why": outcome.reason})
