"""What a run's age takes from it, in steps that `runs.retention` counts.

While a run is unfinished everything stays. After its end one checkpoint per superstep stays, so that each can be forked; after
`checkpoint_days` the last one of its thread, which the thread's next run continues; after `journal_days` the recorded answers of its calls
go, too. What a run was asked, what it did and what it cost stays until it is deleted.
"""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, delete, exists, literal_column, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.db.dialect import DialectName
from shadowgraph.models.llm_calls import llm_calls
from shadowgraph.models.runs import runs
from shadowgraph.models.tool_calls import tool_calls
from shadowgraph.runs.amounts import Amount, Removed, add_up
from shadowgraph.runs.references import PAYLOADS, delete_orphans, load_references
from shadowgraph.runs.run import left_threads
from shadowgraph.runs.states import Status

REST = timedelta(minutes=10)
"""How long an ended run is left alone: whoever watched its end may still read or fork it."""

JOURNAL_DAYS = 30.0
"""A failed run that is retried later than this pays its calls again."""

RECORDED_CALLS = "recorded calls"

WHOLE, THINNED, LAST_ONLY, WITHOUT_JOURNAL = range(4)
"""Values of `runs.retention`."""

CheckpointOperation = Callable[[AsyncConnection, DialectName, Sequence[str]], Awaitable[Removed]]


@dataclass(frozen=True, slots=True)
class CheckpointStore:
    """What can be done with the graph library's rows of some threads; `engine/checkpoints/retention.py` does it."""

    erase: CheckpointOperation
    thin: CheckpointOperation
    keep_last: CheckpointOperation


@dataclass(frozen=True, slots=True)
class Ages:
    """How old an ended run has to be for each step."""

    last_only: timedelta
    without_journal: timedelta

    @classmethod
    def of_days(cls, checkpoint_days: float) -> "Ages":
        """The journal outlives the checkpoints: who can fork a run can compare what its calls answered."""
        last_only = max(timedelta(days=checkpoint_days), REST)
        return cls(last_only, max(last_only, timedelta(days=JOURNAL_DAYS)))


@dataclass(frozen=True, slots=True)
class Aging:
    runs: int
    """How many have come a step further."""
    removed: Removed


@dataclass(frozen=True, slots=True)
class Ended:
    """A run that has ended, as far as its age matters."""

    id: str
    thread_id: str
    kind: str
    status: str
    checkpoint_thread: str
    finished_at: datetime
    retention: int


# --- what is due ----------------------------------------------------------------------------------------------------------------


def due_step(run: Ended, ages: Ages, *, now: datetime) -> int:
    """How far the run's age lets us go, as a value of `runs.retention`.

    A FAILED run is not thinned: its pending writes and the checkpoints of its subgraphs say where a retry goes on.
    """
    age = now - run.finished_at
    if age >= ages.without_journal:
        return WITHOUT_JOURNAL
    if age >= ages.last_only:
        return LAST_ONLY
    return THINNED if age >= REST and run.status != Status.FAILED else run.retention


def keepers(conversation: Iterable[Ended]) -> set[str]:
    """Whose last checkpoint is still of use, of the ended runs of a thread: its next run continues the newest completed one, a retry the newest."""
    newest_first = sorted(conversation, key=lambda run: run.id, reverse=True)
    completed = [run for run in newest_first if run.status == Status.COMPLETED]
    return {run.id for run in (*newest_first[:1], *completed[:1])}


async def find_due(connection: AsyncConnection, ages: Ages, *, now: datetime, limit: int | None = None) -> list[str]:
    """Ids of runs that have come to the age of their next step."""
    found: list[str] = []
    for condition in _due_conditions(ages, now=now):
        statement = select(runs.c.id).where(condition).order_by(runs.c.finished_at)
        if limit is not None:
            statement = statement.limit(limit - len(found))
        found += (await connection.scalars(statement)).all()
    return found


_fork = runs.alias("fork")
_has_open_fork = exists().where(_fork.c.parent_run_id == runs.c.id, _fork.c.finished_at.is_(None))
"""A fork that has not begun still needs the checkpoint that it begins with."""


def _due_conditions(ages: Ages, *, now: datetime) -> list[ColumnElement[bool]]:
    """Each is a range of the index on (retention, finished_at), written as the index has it: a parameter would hide that from the planner."""
    step, finished = runs.c.retention, runs.c.finished_at
    is_indexed = and_(finished.is_not(None), step < literal_column("3"), ~_has_open_fork)
    is_old = finished <= now - ages.last_only
    may_be_thinned = and_(finished <= now - REST, finished > now - ages.last_only, runs.c.status != Status.FAILED)
    return [
        and_(is_indexed, step == literal_column("0"), may_be_thinned),
        and_(is_indexed, step == literal_column("0"), is_old),
        and_(is_indexed, step == literal_column("1"), is_old),
        and_(is_indexed, step == literal_column("2"), finished <= now - ages.without_journal),
    ]


def loses_journal(ages: Ages, *, now: datetime) -> ColumnElement[bool]:
    """Runs that are due for the last step."""
    finished = runs.c.finished_at
    is_old = and_(finished.is_not(None), finished <= now - ages.without_journal)
    return and_(is_old, runs.c.retention < WITHOUT_JOURNAL, ~_has_open_fork)


# --- what goes ------------------------------------------------------------------------------------------------------------------


async def age_runs(
    connection: AsyncConnection,
    dialect: DialectName,
    store: CheckpointStore,
    run_ids: Sequence[str],
    ages: Ages,
    *,
    now: datetime,
) -> Aging:
    """Takes from these runs what their age takes. Those that somebody else works on are left for the next time."""
    locked = await _lock(connection, run_ids)
    in_use = await _with_open_forks(connection, [run.id for run in locked])
    steps = {run.id: due_step(run, ages, now=now) for run in locked if run.id not in in_use}
    due = [run for run in locked if steps.get(run.id, WHOLE) > run.retention]
    removed = add_up(
        await _forget_left_threads(connection, dialect, store, [run for run in due if run.retention == WHOLE]),
        await _thin(connection, dialect, store, [run for run in due if steps[run.id] == THINNED]),
        await _keep_last(
            connection, dialect, store, [run for run in due if run.retention < LAST_ONLY <= steps[run.id]]
        ),
        await _drop_journal(connection, dialect, [run.id for run in due if steps[run.id] == WITHOUT_JOURNAL]),
    )
    for step in sorted({steps[run.id] for run in due}):
        ids = [run.id for run in due if steps[run.id] == step]
        await connection.execute(update(runs).where(runs.c.id.in_(ids)).values(retention=step))
    return Aging(len(due), removed)


async def _lock(connection: AsyncConnection, run_ids: Sequence[str]) -> list[Ended]:
    statement = _ended().where(runs.c.id.in_(run_ids)).order_by(runs.c.id).with_for_update(skip_locked=True)
    return [Ended(**row) for row in (await connection.execute(statement)).mappings()]


async def _with_open_forks(connection: AsyncConnection, run_ids: Collection[str]) -> set[str]:
    if not run_ids:
        return set()
    return set(await connection.scalars(select(runs.c.id).where(runs.c.id.in_(run_ids), _has_open_fork)))


async def _forget_left_threads(
    connection: AsyncConnection, dialect: DialectName, store: CheckpointStore, ended: Sequence[Ended]
) -> Removed:
    """Checkpoints from before the run started over on another version."""
    left = [thread for run in ended for thread in left_threads(run.id, run.checkpoint_thread)]
    return await store.erase(connection, dialect, left) if left else {}


async def _thin(
    connection: AsyncConnection, dialect: DialectName, store: CheckpointStore, ended: Sequence[Ended]
) -> Removed:
    if not ended:
        return {}
    return await store.thin(connection, dialect, [run.checkpoint_thread for run in ended])


async def _keep_last(
    connection: AsyncConnection, dialect: DialectName, store: CheckpointStore, old: Sequence[Ended]
) -> Removed:
    """Of these runs and the older ones of their threads: the last checkpoint where it is of use, else nothing."""
    if not old:
        return {}
    conversations = await _load_conversations(connection, {run.thread_id for run in old})
    kept = {run_id for conversation in conversations for run_id in keepers(conversation)}
    ids = {run.id for run in old}
    reached = [
        run for conversation in conversations for run in conversation if run.id in ids or run.retention > THINNED
    ]
    passed = [run for run in reached if run.id not in kept]
    in_use = await _with_open_forks(connection, [run.id for run in passed])
    removed = [await store.keep_last(connection, dialect, [run.checkpoint_thread for run in old if run.id in kept])]
    if doomed := [run.checkpoint_thread for run in passed if run.id not in in_use]:
        removed.append(await store.erase(connection, dialect, doomed))
    return add_up(*removed)


async def _load_conversations(connection: AsyncConnection, thread_ids: Collection[str]) -> list[list[Ended]]:
    """The ended runs of these threads, each kind of runs by itself."""
    found: dict[tuple[str, str], list[Ended]] = defaultdict(list)
    for row in (await connection.execute(_ended().where(runs.c.thread_id.in_(thread_ids)))).mappings():
        found[row["thread_id"], row["kind"]].append(Ended(**row))
    return list(found.values())


def _ended() -> Select[Any]:
    return select(*(runs.c[name] for name in Ended.__match_args__)).where(runs.c.finished_at.is_not(None))


async def _drop_journal(connection: AsyncConnection, dialect: DialectName, run_ids: Sequence[str]) -> Removed:
    """The calls as they were recorded, with their answers. The attempts stay: they are what was paid."""
    if not run_ids:
        return {}
    digests = await load_references(connection, dialect, run_ids, of_journal_only=True)
    rows = 0
    for table in (llm_calls, tool_calls):
        rows += (await connection.execute(delete(table).where(table.c.run_id.in_(run_ids)))).rowcount
    return {RECORDED_CALLS: Amount(rows), PAYLOADS: await delete_orphans(connection, dialect, digests)}
