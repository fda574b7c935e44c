"""A run that begins with another run's state: a fork of a checkpoint, or the next turn of a conversation."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.channels import BinaryOperatorAggregate
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.errors import InvalidUpdateError
from langgraph.pregel import Pregel
from langgraph.types import Overwrite
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.errors import Invalid
from shadowgraph.runs.payloads import load_json
from shadowgraph.runs.run import Run

SEED_MARK = "shadowgraph_seed"
"""In the metadata of a copied checkpoint: says for which purpose it was copied."""

Graph = Pregel[Any, Any, Any, Any]


class InvalidSeed(Invalid):
    """The checkpoint to begin with is gone, or the edited state does not fit the graph."""

    code = "invalid_seed"


@dataclass(frozen=True, slots=True)
class Seed:
    checkpoint_thread: str
    checkpoint_id: str | None
    """None: the thread's last one."""
    state: Mapping[str, Any] | None
    """A fork's edited channels."""
    is_turn: bool
    """True: the next turn of a conversation, whose own input follows; False: a fork, which goes on by itself."""


def is_fresh_turn(found: CheckpointTuple) -> bool:
    """The state of the last turn is there, the input of this one is not yet."""
    return found.metadata.get(SEED_MARK) == "turn"


def is_unedited_fork(found: CheckpointTuple) -> bool:
    """The checkpoint was copied, and the worker died before it had edited the state."""
    return found.metadata.get(SEED_MARK) == "fork to edit"


async def load_fork(connection: AsyncConnection, run: Run) -> Seed:
    """What `runs.seed` of a fork says."""
    seed = run.seed or {}
    ref = seed.get("state_ref")
    state = await load_json(connection, str(ref)) if ref else None
    return Seed(str(seed["checkpoint_thread"]), str(seed["checkpoint_id"]), state, is_turn=False)


async def plant(
    graph: Graph, saver: BaseCheckpointSaver[str], config: RunnableConfig, seed: Seed
) -> CheckpointTuple | None:
    """Copies the checkpoint to the run's own thread and applies the edits; what the run then finds there. Safe to repeat.

    Errors: `InvalidSeed`.
    """
    source = await saver.aget_tuple(_source_config(seed))
    if source is None:
        if seed.is_turn:
            return None
        raise InvalidSeed(f"there is no checkpoint {seed.checkpoint_id} to fork", checkpoint_id=seed.checkpoint_id)
    own: RunnableConfig = {"configurable": {**config["configurable"], "checkpoint_ns": ""}}
    marked = {**source.metadata, SEED_MARK: _mark(seed)}
    await saver.aput(own, source.checkpoint, marked, source.checkpoint["channel_versions"])  # type: ignore[arg-type]
    if seed.state is not None:
        await _edit(graph, config, seed.state)
    return await saver.aget_tuple(config)


def _mark(seed: Seed) -> str:
    if seed.is_turn:
        return "turn"
    return "fork" if seed.state is None else "fork to edit"


def _source_config(seed: Seed) -> RunnableConfig:
    configurable: dict[str, Any] = {"thread_id": seed.checkpoint_thread, "checkpoint_ns": ""}
    if seed.checkpoint_id:
        configurable["checkpoint_id"] = seed.checkpoint_id
    return {"configurable": configurable}


async def _edit(graph: Graph, config: RunnableConfig, state: Mapping[str, Any]) -> None:
    """The edited values take the place of what stands there, also where a reducer would have added them."""
    unknown = sorted(set(state) - set(graph.channels))
    if unknown:
        raise InvalidSeed(f"the graph's state has no {', '.join(unknown)}", unknown=unknown)
    values = {name: _replacing(graph, name, value) for name, value in state.items()}
    try:
        await graph.aupdate_state(config, values)
    except InvalidUpdateError as error:
        raise InvalidSeed(f"the state of this checkpoint cannot be edited: {error}") from error


def _replacing(graph: Graph, name: str, value: Any) -> Any:
    return Overwrite(value) if isinstance(graph.channels[name], BinaryOperatorAggregate) else value
