"""Conversations: runs that follow each other on one thread, each from the state that the last completed one left."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import ColumnElement, exists, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.errors import Conflict, NotFound
from shadowgraph.db.dialect import DialectName
from shadowgraph.models.runs import runs
from shadowgraph.runs.cursors import Cursor
from shadowgraph.runs.repository import Page
from shadowgraph.runs.run import FIELDS, Run, run_from_row
from shadowgraph.runs.states import ENDED, Status

OnBusy = Literal["reject", "enqueue"]

UNFINISHED = tuple(sorted(set(Status) - ENDED))
_RUN_COLUMNS = tuple(runs.c[name] for name in FIELDS)
_older = runs.alias("older")
"""Made once: it copies every column, and each claim asks for it."""


class ThreadNotFound(NotFound):
    code = "thread_not_found"


class ThreadBusy(Conflict):
    """An unfinished run stands in the way; `run_id` names it."""

    code = "thread_busy"


@dataclass(frozen=True, slots=True)
class Thread:
    """What its runs say of it: a thread has no row of its own."""

    thread_id: str
    workflow: str
    """Of its newest run."""
    runs: int
    created_at: datetime
    updated_at: datetime
    """When its newest run was created."""


async def require_free_thread(
    connection: AsyncConnection, dialect: DialectName, thread_id: str, *, on_busy: OnBusy
) -> None:
    """One POST at a time per thread decides; `enqueue` waits its turn in any case.

    Errors: `ThreadBusy`.
    """
    await lock_thread(connection, dialect, thread_id)
    if on_busy == "enqueue":
        return
    blocking = await connection.scalar(
        select(runs.c.id)
        .where(runs.c.thread_id == thread_id, runs.c.kind == "live", runs.c.status.in_(UNFINISHED))
        .order_by(runs.c.id)
        .limit(1)
    )
    if blocking is not None:
        hint = 'wait for it, or send "on_busy": "enqueue"'
        raise ThreadBusy(f"run {blocking} is not finished on this thread", hint=hint, run_id=blocking)


async def lock_thread(connection: AsyncConnection, dialect: DialectName, thread_id: str) -> None:
    """Nobody else adds a run to the thread, or deletes it, until this transaction ends."""
    if dialect == "postgresql":  # SQLite has one writer anyway
        await connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:thread, 7))"), {"thread": thread_id}
        )


def is_its_turn() -> ColumnElement[bool]:
    """No older live run of the same thread is unfinished: part of every claim."""
    return ~exists().where(
        _older.c.thread_id == runs.c.thread_id,
        _older.c.kind == "live",
        _older.c.id < runs.c.id,
        _older.c.status.in_(UNFINISHED),
    )


async def find_predecessor(connection: AsyncConnection, run: Run) -> Run | None:
    """The run whose state this one continues: the last completed one before it on its thread."""
    statement = (
        select(*_RUN_COLUMNS)
        .where(
            runs.c.thread_id == run.thread_id,
            runs.c.kind == "live",
            runs.c.id < run.id,
            runs.c.status == Status.COMPLETED,
        )
        .order_by(runs.c.id.desc())
        .limit(1)
    )
    row = (await connection.execute(statement)).mappings().first()
    return run_from_row(row) if row else None


async def list_threads(connection: AsyncConnection, *, cursor: Cursor | None = None, limit: int = 100) -> Page[Thread]:
    """The one with the newest run first."""
    newest = func.max(runs.c.created_at)
    newest_id = func.max(runs.c.id)
    statement = (
        select(
            runs.c.thread_id,
            newest_id.label("newest_id"),
            func.count().label("runs"),
            func.min(runs.c.created_at).label("created_at"),
            newest.label("updated_at"),
        )
        .where(runs.c.kind == "live")
        .group_by(runs.c.thread_id)
        .order_by(newest_id.desc())
        .limit(limit + 1)
    )
    if cursor:
        statement = statement.having(newest_id < cursor.id)
    grouped = (await connection.execute(statement)).mappings().all()
    workflows = await _workflows_of(connection, [row["newest_id"] for row in grouped])
    items = [
        Thread(row["thread_id"], workflows[row["newest_id"]], row["runs"], row["created_at"], row["updated_at"])
        for row in grouped[:limit]
    ]
    more = len(grouped) > limit
    return Page(items, Cursor(items[-1].updated_at, grouped[limit - 1]["newest_id"]) if more else None)


async def _workflows_of(connection: AsyncConnection, run_ids: Sequence[str]) -> dict[str, str]:
    rows = await connection.execute(select(runs.c.id, runs.c.workflow).where(runs.c.id.in_(run_ids)))
    return {row.id: row.workflow for row in rows}


async def require_thread_runs(connection: AsyncConnection, thread_id: str) -> list[Run]:
    """Its live runs, oldest first.

    Errors: `ThreadNotFound`.
    """
    statement = select(*_RUN_COLUMNS).where(runs.c.thread_id == thread_id, runs.c.kind == "live").order_by(runs.c.id)
    found = [run_from_row(row) for row in (await connection.execute(statement)).mappings()]
    if not found:
        raise ThreadNotFound(f"there is no thread {thread_id}", thread_id=thread_id)
    return found
