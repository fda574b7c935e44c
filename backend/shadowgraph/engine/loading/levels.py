"""How much a graph's nodes gain here, as far as their code shows it: which models and tools they call, and whether through us.

L0: calls are metered at most. L1: every call that is seen goes through the journal. L2: and prompts are files.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel

from shadowgraph.engine.loading.sightings import Sightings, look_at

Graph = Pregel[Any, Any, Any, Any]
Level = Literal["L0", "L1", "L2"]


@dataclass(frozen=True, slots=True)
class NodeLevel:
    level: Level | None = None
    """None: no call of a model or tool was seen."""
    advice: tuple[str, ...] = ()
    """What to change to reach the next level."""


def levels_of(graph: Graph, roots: Sequence[Path]) -> Mapping[str, NodeLevel]:
    """Of each node; the code of a subgraph counts to the node that it stands in. `roots`: the author's folders."""
    names = [name for name in graph.nodes if not name.startswith("__")]
    return {name: judge(name, look_at(_parts_of(graph, name), roots)) for name in names}


def least(levels: Mapping[str, NodeLevel]) -> Level | None:
    """Of the whole graph: its weakest node's."""
    return min((node.level for node in levels.values() if node.level), default=None)


def judge(node: str, seen: Sightings) -> NodeLevel:
    if not seen.calls_something:
        return NodeLevel()
    missing = tuple(_missing(node, seen))
    if missing:
        return NodeLevel("L0", missing)
    if seen.calls_a_model and not seen.prompts:
        return NodeLevel("L1", (f"keep its prompt in prompts/{node}.md and read it with shadowgraph.prompt({node!r})",))
    return NodeLevel("L2")


def _missing(node: str, seen: Sightings) -> Iterator[str]:
    if seen.clients:
        yield f"{_list(seen.clients)} is called directly and not even metered: use shadowgraph.chat_model({node!r})"
    if seen.middleware:
        return
    if seen.foreign_models:
        yield (
            f"use shadowgraph.chat_model({node!r}) instead of {_list(seen.foreign_models)}, "
            "or give create_agent middleware=[shadowgraph.middleware()]"
        )
    if seen.plain_tools:
        yield f'decorate the tools {_list(seen.plain_tools)} with @shadowgraph.tool(effect="read"), or what they do'


def _list(names: set[str]) -> str:
    return ", ".join(sorted(names))


def _parts_of(graph: Graph, name: str) -> list[Any]:
    """The node itself, and what decides where to go from it."""
    branches = graph.builder.branches.get(name, {}) if isinstance(graph, CompiledStateGraph) else {}
    return [graph.nodes[name].bound, *(branch.path for branch in branches.values())]
