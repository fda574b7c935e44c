"""What a claim finds when it opens its thread: nothing, a checkpoint to go on from, or one that this graph cannot go on from."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.serde.types import TASKS
from langgraph.pregel import Pregel
from langgraph.types import Send
from sqlalchemy import distinct, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.errors import Unavailable
from shadowgraph.engine.recorder import StepId
from shadowgraph.models.steps import steps

BRANCH_CHANNEL = "branch:to:"
"""LangGraph writes this channel to say which node comes next."""
JOIN_CHANNEL = "join:"
"""`join:a+b:c` gathers the names of a and b, which c waits for."""


class Unloadable(Unavailable):
    """The run cannot go on here as it is: its snapshot cannot be had, or its checkpoint waits for a node that the loaded graph does not
    have. LangGraph would end such a run at once, with a partial result."""

    code = "unloadable"


class PinnedRevoked(Unloadable):
    """The run's version was revoked: no worker goes on with it."""

    code = "version_revoked"


def require_known_nodes(found: CheckpointTuple, graph: Pregel[Any, Any, Any, Any]) -> None:
    """Errors: `Unloadable`."""
    unknown = sorted(set(pending_nodes(found)) - set(graph.nodes))
    if unknown:
        raise Unloadable(
            f"the checkpoint waits for {', '.join(unknown)}, which this graph does not have", nodes=unknown
        )


def pending_nodes(found: CheckpointTuple) -> Iterable[str]:
    """The nodes that the checkpoint says come next."""
    for channel, value in found.checkpoint["channel_values"].items():
        if channel.startswith(BRANCH_CHANNEL):
            yield channel.removeprefix(BRANCH_CHANNEL)
        elif channel.startswith(JOIN_CHANNEL) and _has_gathered(value):
            yield channel.rpartition(":")[2]
        elif channel == TASKS and isinstance(value, list | tuple):
            yield from (send.node for send in value if isinstance(send, Send))


def _has_gathered(value: Any) -> bool:
    """A join that runs at the graph's end carries a second item: whether that end has come."""
    return bool(value[0] if isinstance(value, tuple) else value)


@dataclass(frozen=True, slots=True)
class Past:
    """What earlier claims of the run left behind."""

    attempts: Counter[StepId]
    supersteps_done: int


async def load_past(connection: AsyncConnection, run_id: str) -> Past:
    return Past(await load_attempts(connection, run_id), await count_supersteps(connection, run_id))


async def load_attempts(connection: AsyncConnection, run_id: str) -> Counter[StepId]:
    """How often each step of the run was tried so far."""
    c = steps.c
    statement = (
        select(c.superstep, c.node, c.path, func.max(c.attempt).label("attempts"))
        .where(c.run_id == run_id)
        .group_by(c.superstep, c.node, c.path)
    )
    rows = await connection.execute(statement)
    return Counter({(row.superstep, row.node, row.path): row.attempts for row in rows})


async def count_supersteps(connection: AsyncConnection, run_id: str) -> int:
    """Of the root graph, over all claims: the library's own limit starts afresh with every resume."""
    c = steps.c
    root = ~c.path.contains(":")  # in a subgraph the path begins with `node:task id` of what encloses it
    return await connection.scalar(select(func.count(distinct(c.superstep))).where(c.run_id == run_id, root)) or 0
