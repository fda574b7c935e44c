"""LangGraph's savers behind the fence: they read as the library does, and hand what they write to the run's recorder as typed rows.

A graph that a sync node runs in an event loop of its own inherits the saver; what it reads and writes happens in the worker's loop.
"""

from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Protocol

import aiosqlite
import orjson
import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_metadata,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool, PoolClosed

from shadowgraph.core.errors import Invalid
from shadowgraph.core.sizes import MAX_STATE_BYTES
from shadowgraph.db.dialect import dialect_of, plain_url
from shadowgraph.db.engine import BUSY_TIMEOUT_MS
from shadowgraph.db.patience import outlast_outage
from shadowgraph.db.sessions import CONNECT_ARGS, limit_session
from shadowgraph.engine.home import at_home
from shadowgraph.engine.rows import BlobRow, CheckpointRow, PendingRow, Row, SpecialWriteRow

READ_CONNECTIONS = 4


class StateTooLarge(Invalid):
    """A node returned more than a checkpoint may hold."""

    code = "state_too_large"


class CheckpointSink(Protocol):
    """Takes the rows of one run's savers; every method is one fenced write."""

    def write_pending(
        self, task_id: str, writes: Sequence[tuple[str, Any]], rows: Sequence[Row]
    ) -> Coroutine[Any, Any, None]:
        """A task has ended: `writes` is what it returned (or its error), `rows` are the library's."""
        ...

    def write_checkpoint(self, checkpoint_id: str, rows: Sequence[Row]) -> Coroutine[Any, Any, None]: ...


class RunSaver(BaseCheckpointSaver[str]):
    """The saver of one run."""

    fresh_thread: str | None
    is_at_end: bool
    """The graph does not go on: its newest checkpoint is the one that was put here last, and the fence of the run's last write tells if it is
    not."""


class SaverSource(Protocol):
    """Makes the saver of one run; owns the connections that they all read through."""

    def saver(self, sink: CheckpointSink, *, serde: JsonPlusSerializer, fresh_thread: str | None = None) -> "RunSaver":
        """`fresh_thread`: nobody has written to it yet but this saver, so it need not be read before that."""
        ...


@asynccontextmanager
async def open_savers(database_url: str, *, max_state_bytes: int = MAX_STATE_BYTES) -> AsyncIterator[SaverSource]:
    """Read connections for all savers of a process."""
    if dialect_of(database_url) == "postgresql":
        pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
            plain_url(database_url),
            min_size=0,
            max_size=READ_CONNECTIONS,
            open=False,
            configure=_configure,
            check=AsyncConnectionPool.check_connection,
            kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row, **CONNECT_ARGS},
        )
        async with pool:
            yield PostgresSavers(pool, max_state_bytes)
        return
    async with aiosqlite.connect(plain_url(database_url)) as connection:
        await connection.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        yield SqliteSavers(connection, max_state_bytes)


async def _configure(connection: psycopg.AsyncConnection[Any]) -> None:
    await limit_session(connection)


class PostgresSavers:
    def __init__(self, pool: AsyncConnectionPool[Any], max_state_bytes: int) -> None:
        self._pool = pool
        self._max_state_bytes = max_state_bytes

    def saver(
        self, sink: CheckpointSink, *, serde: JsonPlusSerializer, fresh_thread: str | None = None
    ) -> "FencedPostgresSaver":
        saver = FencedPostgresSaver(self._pool, sink, serde=serde, max_state_bytes=self._max_state_bytes)
        saver.fresh_thread = fresh_thread
        return saver


class SqliteSavers:
    def __init__(self, connection: aiosqlite.Connection, max_state_bytes: int) -> None:
        self._connection = connection
        self._max_state_bytes = max_state_bytes

    def saver(
        self, sink: CheckpointSink, *, serde: JsonPlusSerializer, fresh_thread: str | None = None
    ) -> "FencedSqliteSaver":
        saver = FencedSqliteSaver(self._connection, sink, serde=serde, max_state_bytes=self._max_state_bytes)
        saver.fresh_thread = fresh_thread
        return saver


class FencedPostgresSaver(AsyncPostgresSaver, RunSaver):
    """One per run: the stock saver makes all its users queue behind one lock."""

    fresh_thread: str | None = None
    is_at_end = False

    def __init__(
        self,
        pool: AsyncConnectionPool[Any],
        sink: CheckpointSink,
        *,
        serde: JsonPlusSerializer,
        max_state_bytes: int = MAX_STATE_BYTES,
    ) -> None:
        super().__init__(pool, serde=serde)
        self._sink = sink
        self._max_state_bytes = max_state_bytes
        self._sizes = _ChannelSizes(serde)
        self._last = _LastCheckpoint()

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Waits out an outage, as the writes do."""
        if _place(config)[0] == self.fresh_thread:
            return None
        if self.is_at_end and self._last.answers(config):
            return self._last.found
        return await at_home(self.loop, outlast_outage(partial(super().aget_tuple, config), is_away=_is_away))

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        thread_id, namespace, parent_id = _place(config)
        inline, blobs = _split_values(checkpoint)
        versions: ChannelVersions = {
            channel: str(version) for channel, version in new_versions.items() if channel in blobs
        }
        dumped = [BlobRow(*values) for values in self._dump_blobs(thread_id, namespace, blobs, versions)]
        texts = sum(len(value.encode(errors="surrogatepass")) for value in inline.values() if isinstance(value, str))
        size = self._sizes.add_up(namespace, blobs, checkpoint["channel_versions"], dumped) + texts
        _require_size("the graph's state has", size, self._max_state_bytes)
        body = {**checkpoint, "channel_values": inline}
        described = get_serializable_checkpoint_metadata(config, metadata)
        row = CheckpointRow(thread_id, namespace, checkpoint["id"], parent_id, None, body, described)
        await at_home(self.loop, self._sink.write_checkpoint(checkpoint["id"], [*dumped, row]))
        self.fresh_thread = None
        return self._last.put(config, checkpoint, described)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        rows = _pending_rows(self.serde, config, writes, task_id, task_path, max_bytes=self._max_state_bytes)
        await at_home(self.loop, self._sink.write_pending(task_id, writes, rows))
        self.fresh_thread = None
        self._last.forget(config)


class FencedSqliteSaver(AsyncSqliteSaver, RunSaver):
    """Reads on a connection that all runs of the process share; writes go through the process's one writer."""

    fresh_thread: str | None = None
    is_at_end = False

    def __init__(
        self,
        connection: aiosqlite.Connection,
        sink: CheckpointSink,
        *,
        serde: JsonPlusSerializer,
        max_state_bytes: int = MAX_STATE_BYTES,
    ) -> None:
        super().__init__(connection, serde=serde)
        self._sink = sink
        self._max_state_bytes = max_state_bytes
        self._last = _LastCheckpoint()
        self.is_setup = True

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        if _place(config)[0] == self.fresh_thread:
            return None
        if self.is_at_end and self._last.answers(config):
            return self._last.found
        return await at_home(self.loop, super().aget_tuple(config))

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        thread_id, namespace, parent_id = _place(config)
        kind, body = self.serde.dumps_typed(checkpoint)
        _require_size("the graph's state has", len(body), self._max_state_bytes)
        described = get_checkpoint_metadata(config, metadata)
        row = CheckpointRow(thread_id, namespace, checkpoint["id"], parent_id, kind, body, orjson.dumps(described))
        await at_home(self.loop, self._sink.write_checkpoint(checkpoint["id"], [row]))
        self.fresh_thread = None
        return self._last.put(config, checkpoint, described)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        rows = _pending_rows(self.serde, config, writes, task_id, task_path, max_bytes=self._max_state_bytes)
        await at_home(self.loop, self._sink.write_pending(task_id, writes, rows))
        self.fresh_thread = None
        self._last.forget(config)


class _LastCheckpoint:
    """The graph's own checkpoint that a saver has put last, as long as it is all that stands behind it: the look whether the run is at its end
    needs no database. Those of subgraphs are read, because a subgraph may go on from one and change it."""

    def __init__(self) -> None:
        self.found: CheckpointTuple | None = None

    def put(self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata) -> RunnableConfig:
        """Where it is now."""
        thread_id, namespace, parent_id = _place(config)
        at = _config_of(thread_id, namespace, checkpoint["id"])
        if not namespace:
            before = _config_of(thread_id, namespace, parent_id) if parent_id else None
            self.found = CheckpointTuple(at, checkpoint, metadata, before, [])
        return at

    def forget(self, config: RunnableConfig) -> None:
        """Something was written; perhaps it belongs to this one."""
        if self.found is not None and _place(config) == _place(self.found.config):
            self.found = None

    def answers(self, config: RunnableConfig) -> bool:
        """Somebody asks for the newest checkpoint of its thread."""
        asked = _place(config)
        return self.found is not None and asked == (_place(self.found.config)[0], "", None)


def _is_away(error: BaseException) -> bool:
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and not isinstance(error, PoolClosed)


def _place(config: RunnableConfig) -> tuple[str, str, str | None]:
    configurable = config["configurable"]
    return str(configurable["thread_id"]), configurable.get("checkpoint_ns", ""), configurable.get("checkpoint_id")


def _config_of(thread_id: str, namespace: str, checkpoint_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": namespace, "checkpoint_id": checkpoint_id}}


def _split_values(checkpoint: Checkpoint) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values that stand inside the checkpoint's JSON, and those that become blobs, as the stock saver tells them apart."""
    inline: dict[str, Any] = {}
    blobs: dict[str, Any] = {}
    for channel, value in checkpoint["channel_values"].items():
        if isinstance(value, _DeltaSnapshot):
            blobs[channel], inline[channel] = value, True
        elif value is None or isinstance(value, str | int | float | bool):
            inline[channel] = value
        else:
            blobs[channel] = value
    return inline, blobs


def _pending_rows(
    serde: Any,
    config: RunnableConfig,
    writes: Sequence[tuple[str, Any]],
    task_id: str,
    task_path: str,
    *,
    max_bytes: int,
) -> list[Row]:
    configurable = config["configurable"]
    kind = SpecialWriteRow if all(channel in WRITES_IDX_MAP for channel, _ in writes) else PendingRow
    rows: list[Row] = []
    size = 0
    for index, (channel, value) in enumerate(writes):
        type_, body = serde.dumps_typed(value)
        size += len(body)
        rows.append(
            kind(
                thread_id=str(configurable["thread_id"]),
                checkpoint_ns=str(configurable.get("checkpoint_ns", "")),
                checkpoint_id=str(configurable["checkpoint_id"]),
                task_id=task_id,
                task_path=task_path,
                idx=WRITES_IDX_MAP.get(channel, index),
                channel=channel,
                type=type_,
                blob=body,
            )
        )
    _require_size("a node returned", size, max_bytes)
    return rows


class _ChannelSizes:
    """Of one run's state. PostgreSQL is sent only what changed: the rest has the size that it had."""

    def __init__(self, serde: JsonPlusSerializer) -> None:
        self._serde = serde
        self._known: dict[tuple[str, str], tuple[str, int]] = {}
        """By namespace and channel: version and size."""

    def add_up(
        self, namespace: str, values: Mapping[str, Any], versions: Mapping[str, Any], dumped: Iterable[BlobRow]
    ) -> int:
        for row in dumped:
            self._known[namespace, row.channel] = str(row.version), len(row.blob or b"")
        return sum(self._size(namespace, name, str(versions.get(name)), value) for name, value in values.items())

    def _size(self, namespace: str, channel: str, version: str, value: Any) -> int:
        known = self._known.get((namespace, channel))
        if known is None or known[0] != version:
            known = version, len(self._serde.dumps_typed(value)[1])
            self._known[namespace, channel] = known
        return known[1]


def _require_size(what: str, size_bytes: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        raise StateTooLarge(
            f"{what} {size_bytes:,} bytes; a checkpoint holds {max_bytes:,}",
            hint="keep large values as artifacts and their paths in the state",
        )
