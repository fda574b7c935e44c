"""Checkpoints of a run for people: what the state was after each superstep. Reads only; needs the graph library."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from shadowgraph.core.errors import Unavailable
from shadowgraph.core.json import Json
from shadowgraph.engine.checkpoints.savers import CheckpointSink, SaverSource, open_savers
from shadowgraph.engine.resuming import pending_nodes
from shadowgraph.engine.rows import Row
from shadowgraph.engine.values import to_json

_LIBRARY_CHANNELS = ("__", "branch:")
READ_SECONDS = 10.0
"""The savers wait out an outage, as runs want it; a person is told after so long."""


class CheckpointsUnavailable(Unavailable):
    """The tables of the graph library cannot be read now."""

    code = "database_unavailable"


@dataclass(frozen=True, slots=True)
class CheckpointView:
    checkpoint_id: str
    superstep: int
    """-1 is the input as it arrived."""
    source: str
    """input, loop, update (an edit), fork."""
    created_at: str
    next_nodes: tuple[str, ...]
    """The nodes that run next; empty at the end."""
    state: Mapping[str, Json] | None
    """None in lists."""


class _ReadOnly(CheckpointSink):
    async def write_pending(self, task_id: str, writes: Any, rows: Any) -> None:
        raise TypeError("checkpoints are only read here")

    async def write_checkpoint(self, checkpoint_id: str, rows: "list[Row] | Any") -> None:
        raise TypeError("checkpoints are only read here")


async def list_checkpoints(
    database_url: str, thread_id: str, *, before: str | None = None, limit: int = 500
) -> list[CheckpointView]:
    """Newest first, of the root graph, without their states. `before`: only those older than this checkpoint.

    Errors: `CheckpointsUnavailable`.
    """
    earlier: RunnableConfig | None = {"configurable": {"checkpoint_id": before}} if before else None
    async with _reading(database_url) as savers:
        saver = savers.saver(_ReadOnly(), serde=_serde())
        found = saver.alist(_config(thread_id), before=earlier, limit=limit)
        return [_view(item, with_state=False) async for item in found]


async def find_checkpoint(database_url: str, thread_id: str, checkpoint_id: str | None = None) -> CheckpointView | None:
    """With its state. Without an id: the thread's last one.

    Errors: `CheckpointsUnavailable`.
    """
    config = _config(thread_id)
    if checkpoint_id is not None:
        config["configurable"]["checkpoint_id"] = checkpoint_id
    async with _reading(database_url) as savers:
        found = await savers.saver(_ReadOnly(), serde=_serde()).aget_tuple(config)
    return _view(found, with_state=True) if found else None


def _config(thread_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id, "checkpoint_ns": ""}}


@asynccontextmanager
async def _reading(database_url: str) -> AsyncIterator[SaverSource]:
    try:
        async with asyncio.timeout(READ_SECONDS), open_savers(database_url) as savers:
            yield savers
    except (TimeoutError, psycopg.OperationalError, sqlite3.OperationalError) as error:
        raise CheckpointsUnavailable("the checkpoints cannot be read now") from error


def _serde() -> JsonPlusSerializer:
    return JsonPlusSerializer(allowed_msgpack_modules=None)


def _view(found: CheckpointTuple, *, with_state: bool) -> CheckpointView:
    values = found.checkpoint["channel_values"]
    state = {name: to_json(value) for name, value in values.items() if not name.startswith(_LIBRARY_CHANNELS)}
    return CheckpointView(
        checkpoint_id=found.checkpoint["id"],
        superstep=int(found.metadata.get("step", -1)),
        source=str(found.metadata.get("source", "loop")),
        created_at=found.checkpoint["ts"],
        next_nodes=tuple(pending_nodes(found)),
        state=state if with_state else None,
    )
