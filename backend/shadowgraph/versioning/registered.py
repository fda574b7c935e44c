"""The tools that are registered in this installation, as a manifest says them."""

from typing import Literal

from shadowgraph.core.calls import ToolDescription
from shadowgraph.tools.definitions import build_registry
from shadowgraph.versioning.manifest import Tool, freeze


def registered_tools() -> dict[str, Tool]:
    registry = build_registry()
    return {name: tool_of(registry.require(name).description, "registered") for name in registry.names()}


def tool_of(description: ToolDescription, origin: Literal["registered", "own"]) -> Tool:
    return Tool(
        freeze(description.description),
        freeze(description.parameters),
        description.effect,
        description.idempotent,
        origin,
    )
