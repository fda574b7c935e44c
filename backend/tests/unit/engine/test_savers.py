"""What the savers answer from memory; their conformance is tested against real databases."""

from collections.abc import Sequence
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointMetadata, empty_checkpoint
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from psycopg_pool import AsyncConnectionPool, PoolClosed

from shadowgraph.engine.checkpoints.savers import FencedPostgresSaver
from shadowgraph.engine.rows import Row

NEWEST: RunnableConfig = {"configurable": {"thread_id": "thread", "checkpoint_ns": ""}}
METADATA: CheckpointMetadata = {"source": "loop", "step": 1, "parents": {}}


class Nowhere:
    async def write_pending(self, task_id: str, writes: Sequence[tuple[str, Any]], rows: Sequence[Row]) -> None: ...

    async def write_checkpoint(self, checkpoint_id: str, rows: Sequence[Row]) -> None: ...


async def two_checkpoints() -> tuple[FencedPostgresSaver, RunnableConfig, RunnableConfig]:
    """Of a saver that cannot read."""
    closed: AsyncConnectionPool[Any] = AsyncConnectionPool("", open=False)
    saver = FencedPostgresSaver(closed, Nowhere(), serde=JsonPlusSerializer())
    first = await saver.aput(NEWEST, empty_checkpoint(), METADATA, {})
    return saver, first, await saver.aput(first, empty_checkpoint(), METADATA, {})


async def test_at_its_end_a_graphs_newest_checkpoint_is_the_one_put_last() -> None:
    saver, first, second = await two_checkpoints()
    await saver.aput_writes(first, [("a", 1)], "task")  # a task's writes may be told after the checkpoint behind it
    saver.is_at_end = True

    found = await saver.aget_tuple(NEWEST)

    assert found is not None
    assert (found.config, found.parent_config) == (second, first)


async def test_a_checkpoint_with_writes_behind_it_is_read() -> None:
    saver, _, second = await two_checkpoints()
    saver.is_at_end = True

    await saver.aput_writes(second, [("a", 1)], "task")

    with pytest.raises(PoolClosed):
        await saver.aget_tuple(NEWEST)


async def test_before_its_end_and_for_a_subgraph_a_checkpoint_is_read() -> None:
    saver, _, _ = await two_checkpoints()

    with pytest.raises(PoolClosed):
        await saver.aget_tuple(NEWEST)
    saver.is_at_end = True
    with pytest.raises(PoolClosed):
        await saver.aget_tuple({"configurable": {"thread_id": "thread", "checkpoint_ns": "inner"}})
