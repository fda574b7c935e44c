"""Snapshots without a project behind them: two nodes, a prompt for each, a helper that both import."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shadowgraph.core.agent_settings import AgentSettings
from shadowgraph.versioning.building import Description, build_snapshot
from shadowgraph.versioning.manifest import Edge, Graph, Tool, Uses
from shadowgraph.versioning.rendering import GraphFile
from shadowgraph.versioning.snapshot import Snapshot, seal

FILES = {
    "graph.py": "from nodes import plan, write\n",
    "nodes.py": "import helper\n",
    "helper.py": "X = 1\n",
    "prompts/plan.md": "You plan ${task}.\n",
    "prompts/write.md": "You write.\n",
    "README.md": "What it is.\n",
    "requirements.txt": "langgraph\n",
}
USES = {
    "plan": Uses(files=("helper.py", "nodes.py"), words=("plan",), tools=()),
    "write": Uses(files=("nodes.py",), words=("search", "write"), tools=()),
}
SEARCH = Tool("Searches.", {"type": "object", "properties": {}}, "read", True, "registered")
DRAW = Tool("Draws.", {"type": "object", "properties": {}}, "write", False, "registered")
GRAPH = Graph(
    nodes=("__end__", "__start__", "plan", "write"),
    edges=(Edge("__start__", "plan", False), Edge("plan", "write", False), Edge("write", "__end__", False)),
    input_schema={"type": "object"},
    output_schema={"type": "object"},
)


def make_snapshot(
    changes: Mapping[str, str | None] | None = None,
    *,
    agents: Mapping[str, AgentSettings] | None = None,
    workflow: str = "agent",
    **fields: Any,
) -> Snapshot:
    """`changes`: texts instead of those in `FILES`; None leaves the file out. `fields`: of the description."""
    texts = {**FILES, **(changes or {})}
    described: dict[str, Any] = {
        "graph_file": GraphFile(workflow, "./graph.py:graph", (".",)),
        "graph": GRAPH,
        "uses": USES,
        "tools": {"search": SEARCH, "draw": DRAW},
        "agents": agents or {},
        **fields,
    }
    return build_snapshot(
        Description(**described), {path: text.encode() for path, text in texts.items() if text is not None}
    )


def edited(snapshot: Snapshot, changes: Mapping[str, str]) -> Snapshot:
    """The same with other texts, as if the project had been deployed with them."""
    bodies = {**snapshot.bodies, **{path: text.encode() for path, text in changes.items()}}
    return seal(replace(snapshot.manifest, files={}, prompts={}, nodes={}, facets={}), bodies)
