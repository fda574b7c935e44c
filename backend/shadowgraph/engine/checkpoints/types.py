"""Which classes a checkpoint of a graph may hold: reading one back makes objects, so nothing else is let in."""

from typing import Any

from langgraph._internal._serde import collect_allowlist_from_schemas
from langgraph.graph.state import CompiledStateGraph
from langgraph.pregel import Pregel


def state_types(graph: Pregel[Any, Any, Any, Any]) -> set[tuple[str, ...]]:
    """(module, name) of every model, dataclass and enum in the states of the graph and its subgraphs.

    The library collects the same for itself, but only when LANGGRAPH_STRICT_MSGPACK was set before its import, for all of a process.
    """
    found: set[tuple[str, ...]] = set()
    for part in (graph, *(subgraph for _, subgraph in graph.get_subgraphs(recurse=True))):
        if isinstance(part, Pregel):
            schemas = list(part.builder.schemas) if isinstance(part, CompiledStateGraph) else None
            found |= collect_allowlist_from_schemas(schemas=schemas, channels=part.channels)
    return found
