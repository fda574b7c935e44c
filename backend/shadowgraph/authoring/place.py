"""Where in the graph the calling code stands, and the key that a call gets from that."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config
from langgraph.runtime import ExecutionInfo, get_runtime

from shadowgraph.core.calls import CallId, Place, RunPorts
from shadowgraph.core.places import RUN_KEY, find_task

_NOWHERE = Place(namespace="", node="", superstep=0, path="")
"""Stands for all code that is outside every graph."""

_lane: ContextVar[str] = ContextVar("shadowgraph_lane", default="")


@contextmanager
def lane(name: str) -> Iterator[None]:
    """Calls inside the block are counted apart from the rest of their step.

    The index of a call is its place in issue order, which only means something within one line of execution. What runs side by side in
    one step (tool calls of one answer, models with an explicit key) has a lane of its own each; lanes nest.
    """
    token = _lane.set(f"{_lane.get()}~{name}")
    try:
        yield
    finally:
        _lane.reset(token)


def find_place() -> Place | None:
    """Works in async and sync nodes, in subgraphs and in what a node calls; None outside a graph and in a bare thread."""
    config = _find_config()
    if config is None:
        return None
    info = find_execution_info()
    task = find_task(config.get("metadata") or {}, attempt=info.node_attempt if info else 1)
    return task.place if task else None


def is_in_graph_of(ports: RunPorts) -> bool:
    """Whether the calling code is in a node of the run's own graph, however deep: only there a question stops the run.

    Another graph would keep it to itself: one that a node runs on a thread id of its own, or in a bare thread, or outside any run.
    """
    config = _find_config()
    return config is not None and (config.get("configurable") or {}).get(RUN_KEY) == ports.run_id


def find_execution_info() -> ExecutionInfo | None:
    """None outside a graph."""
    config = _find_config()
    if config is None or "configurable" not in config:
        return None
    # Typed as always there, but None in a runnable that no graph runs.
    return getattr(get_runtime(), "execution_info", None)


def _find_config() -> RunnableConfig | None:
    try:
        return get_config()
    except RuntimeError:
        return None


def next_call_id(ports: RunPorts, request_hash: str) -> CallId:
    """Names the call that is issued now. Calls without a place and without a lane get a key that never comes again: they cannot be replayed."""
    place = find_place()
    if place is None and not _lane.get():
        return CallId(f"{ports.generation}/-/{secrets.token_hex(8)}", request_hash, is_replayable=False)
    counted = _with_lane(place or _NOWHERE)
    return CallId(f"{ports.generation}/{counted.step_key}/{ports.next_index(counted)}", request_hash, place)


def _with_lane(place: Place) -> Place:
    return replace(place, path=place.path + _lane.get())
