"""Projects as users bring them, written for one test."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from textwrap import dedent
from types import ModuleType
from typing import Any

BACKEND = Path(__file__).parents[2]

GRAPH = """
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

class State(TypedDict):
    text: str

def shout(state: State) -> State:
    return {"text": state["text"].upper()}

builder = StateGraph(State)
builder.add_node(shout)
builder.add_edge(START, "shout")
builder.add_edge("shout", END)
graph = builder.compile()
"""
"""One node that puts a text in capitals."""


def write_project(
    directory: Path, files: Mapping[str, str] | None = None, *, graphs: Mapping[str, Any] | None = None, **config: Any
) -> Path:
    """`files`: by path; without any, `agent.py` is `GRAPH`. `graphs`: as in `langgraph.json`."""
    for path, text in (files if files is not None else {"agent.py": GRAPH}).items():
        (directory / path).parent.mkdir(parents=True, exist_ok=True)
        (directory / path).write_text(dedent(text))
    directory.mkdir(parents=True, exist_ok=True)
    written = {"graphs": graphs or {"agent": "./agent.py:graph"}, "dependencies": ["."], **config}
    (directory / "langgraph.json").write_text(json.dumps(written))
    return directory


@contextmanager
def process_as_before(directory: Path) -> Iterator[None]:
    """Loading a project changes the module path, the variables and the modules of its process, and here that is the tests' own."""
    path, variables, others = sys.path[:], dict(os.environ), _modules_of_projects()
    # A project that an earlier test loaded may have modules of the same names, and its folder is searched before a new one.
    sys.path[:] = [folder for folder in path if not _is_in_this_repository(folder)]
    for name in others:
        del sys.modules[name]
    modules = set(sys.modules)
    try:
        yield
    finally:
        sys.path[:] = path
        os.environ.clear()
        os.environ.update(variables)
        for name in sys.modules.keys() - modules:
            if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(directory)):
                del sys.modules[name]
        sys.modules.update(others)


def _modules_of_projects() -> dict[str, ModuleType]:
    """Those that were imported by their bare names from a project's folder in this repository."""
    return {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] not in ("shadowgraph", "tests", "__main__")
        and _is_in_this_repository(getattr(module, "__file__", None) or "")
    }


def _is_in_this_repository(path: str) -> bool:
    return path.startswith(f"{BACKEND}/")
