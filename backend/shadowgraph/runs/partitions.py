"""PostgreSQL's partitions by month: those to come are made in time, those that nobody needs any more are dropped.

No row ever waits for either: what finds no partition of its month goes to the default one.
"""

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from sqlalchemy import ColumnElement, exists, false, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.db.partitions import Month, coming_months, run_id_bound
from shadowgraph.models.runs import runs
from shadowgraph.runs.retention import WITHOUT_JOURNAL, Ages

JOURNAL = ("llm_calls", "tool_calls")
"""Needed while a run of the month has its journal."""
HISTORY = ("events", "steps")
"""Needed while a run of the month is there at all. `llm_attempts` is needed for ever: it says what was paid."""

_LOCK_TIMEOUT = "SET LOCAL lock_timeout = '1s'"
"""Everybody who needs the table waits behind us meanwhile."""

_MONTH = re.compile(r"_(\d{4})_(\d{2})\Z")
_MISSING = text("SELECT name FROM unnest(CAST(:names AS text[])) name WHERE to_regclass(name) IS NULL")
_PARTITIONS = text(
    """
    SELECT parent.relname AS parent, child.relname AS name
    FROM pg_inherits JOIN pg_class parent ON parent.oid = inhparent JOIN pg_class child ON child.oid = inhrelid
    WHERE parent.relname = ANY(:tables) ORDER BY child.relname
    """
)


# --- to come --------------------------------------------------------------------------------------------------------------------


async def find_missing_months(connection: AsyncConnection, *, now: datetime) -> list[Month]:
    """Of this month and the next three."""
    coming = list(coming_months(now))
    missing = set(await connection.scalars(_MISSING, {"names": [month.name for month in coming]}))
    return [month for month in coming if month.name in missing]


async def make_month(connection: AsyncConnection, month: Month) -> None:
    """Rows of it that went to the default partition meanwhile, while nothing of ours ran for months, move along. Safe to repeat."""
    default = f"{month.table}_rest"
    await connection.execute(text(_LOCK_TIMEOUT))
    await connection.execute(text(f"LOCK TABLE {default} IN ACCESS EXCLUSIVE MODE"))
    if not await _is_missing(connection, month):
        return
    move = f"""
        WITH moved AS (DELETE FROM {default} WHERE run_id >= :first AND run_id < :end RETURNING *)
        INSERT INTO {month.name} SELECT * FROM moved
    """
    await connection.execute(text(f"CREATE TABLE {month.name} (LIKE {month.table} INCLUDING ALL)"))
    await connection.execute(text(move), {"first": run_id_bound(month.begins), "end": run_id_bound(month.ends)})
    await connection.execute(text(f"ALTER TABLE {month.table} ATTACH PARTITION {month.name} {month.bounds}"))


# --- past -----------------------------------------------------------------------------------------------------------------------


async def find_unneeded_months(
    connection: AsyncConnection, ages: Ages, *, now: datetime, loses_journal: ColumnElement[bool] | None = None
) -> list[Month]:
    """`loses_journal`: runs whose journal counts as gone already."""
    rows = await connection.execute(_PARTITIONS, {"tables": [*JOURNAL, *HISTORY]})
    months = [month for row in rows for month in _month(row.parent, row.name)]
    past = [month for month in months if month.ends <= now - ages.without_journal]
    return [month for month in past if not await _is_needed(connection, month, loses_journal)]


def _month(table: str, name: str) -> Iterator[Month]:
    """The partitions for other ids have no month in their names."""
    if found := _MONTH.search(name):
        yield Month(table, datetime(int(found[1]), int(found[2]), 1, tzinfo=UTC))


async def _is_needed(
    connection: AsyncConnection, month: Month, loses_journal: ColumnElement[bool] | None = None
) -> bool:
    of_month = exists().where(runs.c.id >= run_id_bound(month.begins), runs.c.id < run_id_bound(month.ends))
    if month.table in JOURNAL:
        of_month = of_month.where(
            runs.c.retention < WITHOUT_JOURNAL, ~(false() if loses_journal is None else loses_journal)
        )
    return bool(await connection.scalar(select(of_month)))


async def size_of_month(connection: AsyncConnection, month: Month) -> int:
    return int(await connection.scalar(text("SELECT pg_total_relation_size(:name)"), {"name": month.name}) or 0)


async def drop_month(connection: AsyncConnection, month: Month) -> int | None:
    """Its size in bytes; None when it is gone already or is needed again: a run of it was retried.

    Looked at once more behind the lock: who retries a run writes its journal only after us, and then into the default partition.
    """
    await connection.execute(text(_LOCK_TIMEOUT))
    await connection.execute(text(f"LOCK TABLE ONLY {month.table} IN ACCESS EXCLUSIVE MODE"))
    if await _is_missing(connection, month) or await _is_needed(connection, month):
        return None
    size = await size_of_month(connection, month)
    await connection.execute(text(f"DROP TABLE {month.name}"))
    return size


async def _is_missing(connection: AsyncConnection, month: Month) -> bool:
    return await connection.scalar(_MISSING, {"names": [month.name]}) is not None
