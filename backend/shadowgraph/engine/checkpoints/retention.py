"""How the graph library's rows go: all of a thread, or all but what somebody may still need. Plain SQL, without the library.

The library itself offers this on PostgreSQL only. `threads` are its own here: each run has one.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    Text,
    bindparam,
    delete,
    func,
    inspect,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.db.dialect import DialectName
from shadowgraph.engine.checkpoints import tables
from shadowgraph.runs.amounts import Amount, Removed
from shadowgraph.runs.retention import CheckpointStore

CHECKPOINTS = "checkpoints"
PENDING_WRITES = "pending writes"
CHANNEL_VALUES = "channel values"


async def erase(connection: AsyncConnection, dialect: DialectName, threads: Sequence[str]) -> Removed:
    """Nothing is left of these threads."""
    shelf = _SHELVES[dialect]
    if not await _is_set_up(connection, shelf):
        return {}
    removed = {
        CHECKPOINTS: await _delete(connection, shelf.checkpoints, _of(shelf.checkpoints, threads), shelf.state_size),
        PENDING_WRITES: await _delete(connection, shelf.writes, _of(shelf.writes, threads), shelf.write_size),
    }
    if shelf.blobs is None:
        return removed
    values = await _delete(connection, shelf.blobs, _of(shelf.blobs, threads), func.octet_length(shelf.blobs.c.blob))
    return removed | {CHANNEL_VALUES: values}


async def _is_set_up(connection: AsyncConnection, shelf: "_Shelf") -> bool:
    """False before the first worker of a new database has made the tables."""
    return await connection.run_sync(lambda plain: inspect(plain).has_table(shelf.checkpoints.name))


async def thin(connection: AsyncConnection, dialect: DialectName, threads: Sequence[str]) -> Removed:
    """Of runs that will never be resumed: one checkpoint per superstep stays, so that each can be forked."""
    shelf = _SHELVES[dialect]
    return await _keep(connection, dialect, threads, apart_by=shelf.step)


async def keep_last(connection: AsyncConnection, dialect: DialectName, threads: Sequence[str]) -> Removed:
    """The newest checkpoint stays, for the next turn of a conversation."""
    return await _keep(connection, dialect, threads, apart_by=None)


async def _keep(
    connection: AsyncConnection, dialect: DialectName, threads: Sequence[str], *, apart_by: ColumnElement[Any] | None
) -> Removed:
    """The newest of each namespace stays, or of each value of `apart_by` in it; no subgraph's own, and no pending writes.

    A subgraph's namespace has a task id after a colon and is read by that task alone. One without outlives its calls.
    """
    shelf = _SHELVES[dialect]
    if not await _is_set_up(connection, shelf):
        return {}
    plain = await _without_deltas(connection, shelf, threads)
    if not plain:
        return {}
    c = shelf.checkpoints.c
    groups = [c.thread_id, c.checkpoint_ns] + ([] if apart_by is None else [apart_by])
    age = func.row_number().over(partition_by=groups, order_by=c.checkpoint_id.desc()).label("age")
    ranked = select(c.thread_id, c.checkpoint_ns, c.checkpoint_id, age).where(c.thread_id.in_(plain)).subquery()
    key = (ranked.c.thread_id, ranked.c.checkpoint_ns, ranked.c.checkpoint_id)
    doomed = select(*key).where(or_(ranked.c.age > 1, ranked.c.checkpoint_ns.contains(":")))
    where = tuple_(c.thread_id, c.checkpoint_ns, c.checkpoint_id).in_(doomed)
    removed = {
        CHECKPOINTS: await _delete(connection, shelf.checkpoints, where, shelf.state_size),
        PENDING_WRITES: await _delete(connection, shelf.writes, _of(shelf.writes, plain), shelf.write_size),
    }
    await _cut_loose(connection, shelf, plain)
    if shelf.blobs is None:
        return removed
    return removed | {CHANNEL_VALUES: await _delete_unread_values(connection, shelf.checkpoints, shelf.blobs, plain)}


async def _without_deltas(connection: AsyncConnection, shelf: "_Shelf", threads: Sequence[str]) -> list[str]:
    """A checkpoint of the library's DeltaChannel means nothing without those before it: such threads stay whole until they are erased."""
    c = shelf.checkpoints.c
    found = select(c.thread_id).where(c.thread_id.in_(threads), shelf.uses_deltas).distinct()
    return sorted(set(threads) - set(await connection.scalars(found)))


async def _cut_loose(connection: AsyncConnection, shelf: "_Shelf", threads: Sequence[str]) -> None:
    """A checkpoint whose parent is gone has none."""
    c, parent = shelf.checkpoints.c, shelf.checkpoints.alias("parent")
    has_parent = (
        select(parent.c.checkpoint_id)
        .where(
            parent.c.thread_id == c.thread_id,
            parent.c.checkpoint_ns == c.checkpoint_ns,
            parent.c.checkpoint_id == c.parent_checkpoint_id,
        )
        .correlate(shelf.checkpoints)
        .exists()
    )
    await connection.execute(
        update(shelf.checkpoints)
        .where(c.thread_id.in_(threads), c.parent_checkpoint_id.is_not(None), ~has_parent)
        .values(parent_checkpoint_id=None)
    )


async def _delete_unread_values(
    connection: AsyncConnection, checkpoints: Table, blobs: Table, threads: Sequence[str]
) -> Amount:
    """The values that no checkpoint reads any more. Compared here: the planner makes a join of the two quadratic."""
    b = blobs.c
    key = (b.thread_id, b.checkpoint_ns, b.channel, b.version)
    stored = await connection.execute(select(*key, func.octet_length(b.blob)).where(b.thread_id.in_(threads)))
    sizes = {tuple(row[:4]): row[4] or 0 for row in stored}
    read = {tuple(row) for row in await connection.execute(_versions_read(checkpoints, threads))}
    unread = sizes.keys() - read
    if unread:
        by_key = delete(blobs).where(*(column == bindparam(f"key_{column.name}") for column in key))
        names = [f"key_{column.name}" for column in key]
        await connection.execute(by_key, [dict(zip(names, found, strict=True)) for found in sorted(unread)])
    return Amount(len(unread), sum(sizes[found] for found in unread))


def _versions_read(checkpoints: Table, threads: Sequence[str]) -> Select[Any]:
    """PostgreSQL: which version of which channel each checkpoint consists of."""
    c = checkpoints.c
    pairs = func.jsonb_each_text(c.checkpoint["channel_versions"]).table_valued("key", "value").render_derived()
    return (
        select(c.thread_id, c.checkpoint_ns, pairs.c.key, pairs.c.value)
        .select_from(checkpoints.join(pairs, true()))
        .where(c.thread_id.in_(threads))
        .distinct()
    )


async def _delete(
    connection: AsyncConnection, table: Table, where: ColumnElement[bool], size: ColumnElement[int]
) -> Amount:
    counted = select(func.count(), func.coalesce(func.sum(size), 0)).select_from(table).where(where)
    rows, bytes_ = (await connection.execute(counted)).one()
    if rows:
        await connection.execute(delete(table).where(where))
    return Amount(rows, int(bytes_))


def _of(table: Table, threads: Collection[str]) -> ColumnElement[bool]:
    return table.c.thread_id.in_(threads)


@dataclass(frozen=True, slots=True)
class _Shelf:
    """The tables of one database, and what the two do not say alike."""

    checkpoints: Table
    writes: Table
    blobs: Table | None
    """SQLite keeps channel values inside the checkpoint."""
    step: ColumnElement[Any]
    uses_deltas: ColumnElement[bool]
    state_size: ColumnElement[int]
    write_size: ColumnElement[int]


def _shelf_of_postgresql() -> _Shelf:
    checkpoints = tables.pg_checkpoints
    metadata = checkpoints.c.metadata
    return _Shelf(
        checkpoints,
        tables.pg_writes,
        tables.pg_blobs,
        step=metadata["step"].astext,
        uses_deltas=or_(*(metadata.has_key(mark) for mark in _DELTA_MARKS)),
        state_size=func.pg_column_size(checkpoints.c.checkpoint),
        write_size=func.octet_length(tables.pg_writes.c.blob),
    )


def _shelf_of_sqlite() -> _Shelf:
    checkpoints = tables.sqlite_checkpoints
    metadata = checkpoints.c.metadata.cast(Text)
    return _Shelf(
        checkpoints,
        tables.sqlite_writes,
        None,
        step=func.json_extract(metadata, "$.step"),
        uses_deltas=or_(*(func.json_extract(metadata, f"$.{mark}").is_not(None) for mark in _DELTA_MARKS)),
        state_size=func.length(checkpoints.c.checkpoint),
        write_size=func.length(tables.sqlite_writes.c.value),
    )


_DELTA_MARKS = ("counters_since_delta_snapshot", "delta_writes_versioned")
"""In the metadata of checkpoints of a graph that uses a DeltaChannel."""

_SHELVES: Mapping[DialectName, _Shelf] = {"postgresql": _shelf_of_postgresql(), "sqlite": _shelf_of_sqlite()}

STORE = CheckpointStore(erase=erase, thin=thin, keep_last=keep_last)
