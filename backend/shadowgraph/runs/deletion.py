"""Deletes runs with every text of theirs. What they cost stays: the attempts keep their numbers, without a word of what was said."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Literal

from sqlalchemy import Table, bindparam, delete, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.clock import Clock
from shadowgraph.core.errors import Conflict
from shadowgraph.core.ids import RunId
from shadowgraph.costs.budgets import fold_ended
from shadowgraph.db.dialect import DialectName, json_text
from shadowgraph.db.scrubbing import mark_for_scrubbing
from shadowgraph.models.alerts import alerts
from shadowgraph.models.artifacts import artifacts
from shadowgraph.models.events import events
from shadowgraph.models.idempotency_keys import idempotency_keys
from shadowgraph.models.interactions import interactions
from shadowgraph.models.llm_calls import llm_attempts, llm_calls
from shadowgraph.models.outbox import outbox
from shadowgraph.models.run_texts import run_texts
from shadowgraph.models.runs import runs
from shadowgraph.models.steps import steps
from shadowgraph.models.tool_calls import tool_calls
from shadowgraph.runs import audit
from shadowgraph.runs.budgets import delete_of_runs
from shadowgraph.runs.references import delete_orphans, load_references
from shadowgraph.runs.repository import require_run
from shadowgraph.runs.run import FIELDS, Run, run_from_row
from shadowgraph.runs.service import WrongState
from shadowgraph.runs.threads import lock_thread, require_thread_runs

EraseCheckpoints = Callable[[AsyncConnection, DialectName, Sequence[str]], Awaitable[Any]]
"""Deletes all that the graph library keeps of these threads of its own."""

Forks = Literal["refuse", "delete"]
"""What to do with forks: they began with a copy of the run's state, so its texts live on in them."""

_OF_ONE_RUN: Sequence[Table] = (run_texts, events, steps, llm_calls, tool_calls, artifacts, interactions)
_COLUMNS = tuple(runs.c[name] for name in FIELDS)


class ThreadContinues(Conflict):
    """A later run of the thread began with this one's state; `run_id` names it."""

    code = "thread_continues"


class HasForks(Conflict):
    """`forks` names them."""

    code = "has_forks"


async def delete_run(
    connection: AsyncConnection,
    dialect: DialectName,
    run_id: str,
    *,
    erase_checkpoints: EraseCheckpoints,
    who: str,
    clock: Clock,
    forks: Forks = "refuse",
) -> list[RunId]:
    """The runs that are gone: this one and, if wanted, its forks and theirs.

    Errors: `RunNotFound`; `WrongState` while one of them is unfinished; `ThreadContinues`, `HasForks`.
    """
    thread_id = (await require_run(connection, run_id)).thread_id
    doomed = await _doom(connection, dialect, [run_id], thread_id, forks=forks)
    await _erase(connection, dialect, doomed, erase_checkpoints=erase_checkpoints)
    for gone in doomed:
        await audit.record(connection, who=who, action="run.delete", subject=gone.id, at=clock.now())
    return [gone.id for gone in doomed]


async def delete_thread(
    connection: AsyncConnection,
    dialect: DialectName,
    thread_id: str,
    *,
    erase_checkpoints: EraseCheckpoints,
    who: str,
    clock: Clock,
    forks: Forks = "refuse",
) -> list[RunId]:
    """All runs of the thread are gone and, if wanted, their forks.

    Errors: `ThreadNotFound`; `WrongState` while one of them is unfinished; `ThreadContinues` (of a fork), `HasForks`.
    """
    own = [run.id for run in await require_thread_runs(connection, thread_id)]
    doomed = await _doom(connection, dialect, own, thread_id, forks=forks)
    await _erase(connection, dialect, doomed, erase_checkpoints=erase_checkpoints)
    data = {"run_ids": [gone.id for gone in doomed]}  # the thread's own name may be somebody's text
    await audit.record(connection, who=who, action="thread.delete", subject=own[0], at=clock.now(), data=data)
    return [gone.id for gone in doomed]


async def _doom(
    connection: AsyncConnection, dialect: DialectName, run_ids: Sequence[str], thread_id: str, *, forks: Forks
) -> list[Run]:
    """What has to go, and can: nobody changes these runs or continues their threads until this transaction ends."""
    await lock_thread(connection, dialect, thread_id)
    doomed = await _collect(connection, run_ids, forks=forks)
    for other in sorted({run.thread_id for run in doomed} - {thread_id}):
        await lock_thread(connection, dialect, other)
    await _require_last_of_their_threads(connection, doomed)
    return doomed


async def _lock(connection: AsyncConnection, run_ids: Collection[str]) -> list[Run]:
    """Nobody retries, forks or answers them any more until this transaction ends."""
    statement = select(*_COLUMNS).where(runs.c.id.in_(run_ids)).order_by(runs.c.id).with_for_update()
    return [run_from_row(row) for row in (await connection.execute(statement)).mappings()]


async def _collect(connection: AsyncConnection, first: Sequence[str], *, forks: Forks) -> list[Run]:
    """These runs, all of them ended, and the forks of them and of their forks."""
    collected: dict[str, Run] = {}
    wanted: Collection[str] = first
    while wanted:
        for run in await _lock(connection, wanted):
            collected[run.id] = _require_ended(run)
        wanted = set(await _forks_of(connection, wanted)) - collected.keys()
        if wanted and forks == "refuse":
            names = sorted(wanted)
            raise HasForks(f"forks began with its state: {', '.join(names)}", forks=names)
    return list(collected.values())


def _require_ended(run: Run) -> Run:
    if run.has_ended:
        return run
    message, possible = f"run {run.id} is {run.status}", ["cancel"]
    raise WrongState(message, hint="cancel it first", state=run.status, run_id=run.id, possible=possible)


async def _forks_of(connection: AsyncConnection, run_ids: Collection[str]) -> Sequence[str]:
    statement = select(runs.c.id).where(runs.c.parent_run_id.in_(run_ids), runs.c.seed.is_not(None))
    return (await connection.scalars(statement)).all()


async def _require_last_of_their_threads(connection: AsyncConnection, doomed: Sequence[Run]) -> None:
    ids = [run.id for run in doomed]
    earlier, later = runs.alias("earlier"), runs.alias("later")
    statement = (
        select(later.c.id)
        .join(earlier, (earlier.c.thread_id == later.c.thread_id) & (earlier.c.id < later.c.id))
        .where(earlier.c.id.in_(ids), earlier.c.kind == "live", later.c.kind == "live", later.c.id.not_in(ids))
        .order_by(later.c.id)
        .limit(1)
    )
    if (later_id := await connection.scalar(statement)) is not None:
        raise ThreadContinues(f"run {later_id} continued its thread", run_id=later_id)


async def _erase(
    connection: AsyncConnection, dialect: DialectName, doomed: Sequence[Run], *, erase_checkpoints: EraseCheckpoints
) -> None:
    ids = [run.id for run in doomed]
    await mark_for_scrubbing(connection, dialect)
    digests = await load_references(connection, dialect, ids)
    await erase_checkpoints(connection, dialect, [thread for run in doomed for thread in run.checkpoint_threads])
    while await fold_ended(connection, dialect, run_ids=ids):
        pass
    await delete_of_runs(connection, ids)
    await _forget_words_of_attempts(connection, ids)
    for table in _OF_ONE_RUN:
        await connection.execute(delete(table).where(table.c.run_id.in_(ids)))
    for column in (idempotency_keys.c.response, outbox.c.payload):
        await connection.execute(delete(column.table).where(json_text(column, "run_id", dialect).in_(ids)))
    await connection.execute(delete(alerts).where(alerts.c.subject.in_(ids)))
    await connection.execute(delete(runs).where(runs.c.id.in_(ids)))
    await delete_orphans(connection, dialect, digests)


async def _forget_words_of_attempts(connection: AsyncConnection, run_ids: Sequence[str]) -> None:
    """A call's key may hold what its author put there, and its hash would tell whether somebody guessed the request."""
    c = llm_attempts.c
    calls = select(c.run_id, c.call_key, c.request_hash).where(c.run_id.in_(run_ids)).distinct()
    known = [
        {"of_run": call.run_id, "old_key": call.call_key, "old_hash": call.request_hash, "new_key": f"deleted/{number}"}
        for number, call in enumerate(await connection.execute(calls))
    ]
    forget = (
        update(llm_attempts)
        .where(
            c.run_id == bindparam("of_run"),
            c.call_key == bindparam("old_key"),
            c.request_hash == bindparam("old_hash"),
        )
        .values(call_key=bindparam("new_key"), request_hash="")
    )
    if known:
        await connection.execute(forget, known)
