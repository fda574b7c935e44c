"""Reads the place of a node's code from the metadata that LangGraph gives to every task. Knows the metadata's shape, not the library."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shadowgraph.core.calls import Place

PULL = "__pregel_pull"
"""LangGraph's word for a task that an edge leads to."""

RUN_KEY = "__shadowgraph_run"
"""In the `configurable` of a run's graph and of the graphs that its nodes nest in it: the run's id. A graph that a node runs on a thread id of its
own, or in a bare thread, does not inherit it."""


@dataclass(frozen=True, slots=True)
class Task:
    """One task of one superstep."""

    id: str
    place: Place


def find_task(metadata: Mapping[str, Any], *, attempt: int = 1) -> Task | None:
    """None when the metadata is not of a graph's task.

    `langgraph_checkpoint_ns` ends with the task's own `node:task id`; what stands before it are the enclosing subgraphs, with their task
    ids: superstep numbers restart in a subgraph, so one that a loop visits twice would collide without them.
    """
    node, superstep = metadata.get("langgraph_node"), metadata.get("langgraph_step")
    if node is None or superstep is None:
        return None
    parents, _, own = str(metadata.get("langgraph_checkpoint_ns", "")).rpartition("|")
    return Task(own.rpartition(":")[2], Place(parents, str(node), int(superstep), _path(metadata), attempt))


def _path(metadata: Mapping[str, Any]) -> str:
    """Empty for a node that an edge leads to: there is one task of it in a superstep. A `Send` adds its number."""
    kind, *rest = metadata.get("langgraph_path") or (PULL,)
    return "" if kind == PULL else ".".join(_flatten(rest))


def _flatten(path: Any) -> Iterator[str]:
    for part in path:
        if isinstance(part, tuple | list):
            yield from _flatten(part)
        elif not isinstance(part, bool):
            yield str(part)
