"""What each node of a graph is made of, as far as it can be told: its files, the names in its code, its tools."""

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType
from typing import Any

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from langgraph.channels import BinaryOperatorAggregate
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel

from shadowgraph.core.calls import DeclaredTool, ToolDescription
from shadowgraph.engine.loading.reach import walk
from shadowgraph.engine.loading.sources import Sources
from shadowgraph.engine.loading.words import WordReader

Graph = Pregel[Any, Any, Any, Any]
START = "__start__"


@dataclass(frozen=True, slots=True)
class NodeUses:
    """None: it cannot be told."""

    files: frozenset[Path] | None = None
    words: frozenset[str] | None = None
    tools: Mapping[str, BaseTool] = field(default_factory=dict)
    """That stand in its code or were given to it, by name."""


def uses_of(graph: Graph, sources: Sources) -> Mapping[str, NodeUses]:
    """By node."""
    shared, reader = sources.closure(_shared_files(graph, sources)), WordReader(sources)
    return {node: _uses(graph, node, sources, shared, reader) for node in nodes_of(graph)}


def own_tools(uses: Mapping[str, NodeUses]) -> Mapping[str, ToolDescription]:
    """All tools of the nodes but the registered ones, by name."""
    found = {name: tool for used in uses.values() for name, tool in used.tools.items()}
    return {name: describe(tool) for name, tool in found.items() if not _is_registered(tool)}


def nodes_of(graph: Graph) -> list[str]:
    return [name for name in graph.nodes if not name.startswith("__")]


def _is_registered(tool: BaseTool) -> bool:
    return isinstance(tool, DeclaredTool) and tool.facts is None


def describe(tool: BaseTool) -> ToolDescription:
    """One that declares nothing may write."""
    if isinstance(tool, DeclaredTool) and tool.facts is not None:
        return tool.facts
    try:
        schema = convert_to_openai_tool(tool)["function"]
    except Exception:  # noqa: BLE001  an author's tool may take what no schema can say; then its name and words count
        schema = {}
    return ToolDescription(tool.name, schema.get("description", tool.description), schema.get("parameters", {}))


def _uses(graph: Graph, node: str, sources: Sources, shared: frozenset[Path] | None, reader: WordReader) -> NodeUses:
    tools = _tools(graph, node, sources)
    functions = [_plain_function(part, sources) for part in _parts(graph, node)]
    plain = [function for function in functions if function is not None]
    if not isinstance(graph, CompiledStateGraph) or shared is None or len(plain) < len(functions):
        return NodeUses(tools=tools)
    own = sources.closure(_file_of(function) for function in plain)
    return NodeUses(None if own is None else own | shared, reader.words_of(plain), tools)


def _parts(graph: Graph, node: str) -> list[Any]:
    """The node itself, and what decides where to go from it."""
    branches = graph.builder.branches.get(node, {}) if isinstance(graph, CompiledStateGraph) else {}
    return [graph.nodes[node].bound, *(branch.path for branch in branches.values())]


def _tools(graph: Graph, node: str, sources: Sources) -> dict[str, BaseTool]:
    found: dict[str, BaseTool] = {}

    def note(seen: Any) -> bool:
        if isinstance(seen, BaseTool):
            found.setdefault(seen.name, seen)
        return False

    walk(_parts(graph, node), sources.roots, note)
    return found


def _plain_function(part: Any, sources: Sources) -> FunctionType | None:
    """A function of the project as it is written: nothing that was made or filled in elsewhere."""
    for found in (getattr(part, "func", None), getattr(part, "afunc", None)):
        if isinstance(found, FunctionType) and _file_of(found) in sources.texts:
            return None if "<locals>" in found.__qualname__ or found.__closure__ else found
    return None


def _shared_files(graph: Graph, sources: Sources) -> set[Path]:
    """Of what every node depends on: the state and its reducers, and what decides where a run begins."""
    homes = map(_home_of, _shared_parts(graph))
    return {path for path in homes if path is not None and path in sources.texts}


def _shared_parts(graph: Graph) -> Iterator[Any]:
    yield from (channel.operator for channel in graph.channels.values() if isinstance(channel, BinaryOperatorAggregate))
    if isinstance(graph, CompiledStateGraph):
        builder = graph.builder
        yield from builder.schemas
        yield from (builder.state_schema, builder.input_schema, builder.output_schema, builder.context_schema)
        for branch in builder.branches.get(START, {}).values():
            yield from (getattr(branch.path, "func", None), getattr(branch.path, "afunc", None))


def _home_of(part: Any) -> Path | None:
    if isinstance(part, FunctionType):
        return _file_of(part)
    module = sys.modules.get(getattr(part, "__module__", None) or "")
    file = getattr(module, "__file__", None)
    return Path(file) if file else None


def _file_of(function: FunctionType) -> Path:
    return Path(function.__code__.co_filename)
