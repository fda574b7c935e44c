"""Brings the rows of running runs into the database, behind the fence, inside a transaction that somebody else opens and commits."""

import sqlite3
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.db.engine import Database, execute_prepared
from shadowgraph.engine.operations import OPERATIONS
from shadowgraph.engine.rows import EventRow
from shadowgraph.engine.statements import (
    ORDER,
    SQLITE_EVENTS,
    Round,
    Write,
    batch_statement,
    fence_rows,
    rounds_of,
    row_statement,
    sqlite_events,
    sqlite_fence,
)

Passed = Mapping[int, int]
"""The writes whose fence held, by their number: the last event number of each. The others have left nothing."""


async def apply_writes(database: Database, connection: AsyncConnection, writes: Sequence[Write]) -> Passed:
    """`writes`: of different runs; on SQLite one."""
    if database.dialect == "postgresql":
        return await _apply_together(connection, writes)
    (write,) = writes
    statements = _statements_of(write)
    reached = await database.run_in_driver(connection, lambda driver: _apply_one(driver, write, statements))
    return {} if reached is None else {0: reached}


# --- PostgreSQL -----------------------------------------------------------------------------------------------------------------


async def _apply_together(connection: AsyncConnection, writes: Sequence[Write]) -> Passed:
    first, *later = rounds_of(writes)
    run_ids = [write.claim.run_id for write in writes]
    statement = batch_statement(_kinds_of(first), is_fenced=True)
    found = await execute_prepared(connection, statement.text, statement.parameters(run_ids, fence_rows(writes), first))
    passed = {int(number): int(seq) for number, seq in found}
    for rows in later:
        await _apply_later(connection, run_ids, _of_those_who(passed, rows))
    return passed


async def _apply_later(connection: AsyncConnection, run_ids: Sequence[str], rows: Round) -> None:
    """Behind the fence of the statement before, whose transaction holds the rows of its runs."""
    statement = batch_statement(_kinds_of(rows), is_fenced=False)
    await execute_prepared(connection, statement.text, statement.parameters(run_ids, (), rows))


def _of_those_who(passed: Passed, rows: Round) -> Round:
    return {kind: [values for values in found if values[0] in passed] for kind, found in rows.items()}


def _kinds_of(rows: Round) -> tuple[Any, ...]:
    return tuple(sorted(rows, key=ORDER.__getitem__))


# --- SQLite ---------------------------------------------------------------------------------------------------------------------

_Statements = Sequence[tuple[str, Sequence[Mapping[str, Any]]]]


def _statements_of(write: Write) -> _Statements:
    """In the order of the rows."""
    statements = []
    for kind, same in groupby((row for row in write.rows if not isinstance(row, EventRow)), key=type):
        operation, statement = OPERATIONS["sqlite"][kind], row_statement(kind)
        statements.append((statement.text, [statement.parameters(operation.values(row, write.claim)) for row in same]))
    return statements


def _apply_one(driver: sqlite3.Connection, write: Write, statements: _Statements) -> int | None:
    """The last event number; None: the fence did not hold."""
    claim = write.claim
    ours = {"id": claim.run_id, "token": claim.token}
    fence = {**ours, "events": len(write.events), "is_progress": write.is_progress}
    found = driver.execute(sqlite_fence(), fence).fetchall()
    if not found:
        return None
    seq = int(found[0][0])
    for text, parameters in statements:
        driver.executemany(text, parameters)
    if write.events:
        driver.executemany(SQLITE_EVENTS, sqlite_events(write, last_seq=seq))
    return seq
