"""What authors of graphs import: `from shadowgraph import chat_model, tool, middleware, prompt, artifact, now, rand`.

The names are loaded on first use: `import shadowgraph` costs nothing, and a process without graphs never loads a graph library.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

# Checkpoint bytes are code: only known types may come out of them. The graph library reads this when it is imported.
os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")

if TYPE_CHECKING:
    from shadowgraph.authoring.artifact import artifact
    from shadowgraph.authoring.chat_model import chat_model
    from shadowgraph.authoring.determinism import now, rand
    from shadowgraph.authoring.middleware import middleware as middleware
    from shadowgraph.authoring.prompt import prompt
    from shadowgraph.authoring.tool import tool

__all__ = ["artifact", "chat_model", "now", "prompt", "rand", "tool"]

"""Without `middleware`: it needs `langchain`, which only projects with `create_agent` have."""

_HOMES = {
    "artifact": "shadowgraph.authoring.artifact",
    "chat_model": "shadowgraph.authoring.chat_model",
    "middleware": "shadowgraph.authoring.middleware",
    "now": "shadowgraph.authoring.determinism",
    "prompt": "shadowgraph.authoring.prompt",
    "rand": "shadowgraph.authoring.determinism",
    "tool": "shadowgraph.authoring.tool",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'shadowgraph' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
