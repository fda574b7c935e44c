"""A snapshot's tree in the place of its project: the same names, and nothing of the folder that somebody may be editing."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from shadowgraph.engine.loading.errors import BadProject
from shadowgraph.engine.loading.guise import Guise
from shadowgraph.engine.projects import load_project
from shadowgraph.engine.snapshots import take_snapshot
from shadowgraph.versioning.trees import Trees
from shadowgraph.wiring.plan import BUILT_IN_PROJECT
from tests.support.processes import BACKEND
from tests.support.projects import process_as_before, write_project
from tests.support.snapshots import edited

LOAD = """
import sys
from pathlib import Path
from shadowgraph.engine.loading.guise import Guise
from shadowgraph.engine.projects import load_project
tree, home, package = sys.argv[1:]
load_project(Path(tree), Guise("mine", package, Path(home)))
print(*[getattr(module, "__file__", None) for name, module in sys.modules.items() if name.startswith(package)])
"""
CHAIN = """
from langgraph.graph import END, START, StateGraph

builder = StateGraph(dict)
builder.add_node("n", lambda _: {})
builder.add_edge(START, "n")
builder.add_edge("n", END)
graph = builder.compile()
"""


def test_the_built_in_pipeline_is_imported_from_its_tree_under_its_own_name(tmp_path: Path) -> None:
    snapshot = take_snapshot(load_project(BUILT_IN_PROJECT), "pipeline").snapshot
    finalizer = snapshot.bodies["nodes/finalizer.py"].decode() + "\nCHANGED = True\n"
    tree = Trees(tmp_path).ensure(edited(snapshot, {"nodes/finalizer.py": finalizer}))
    assert snapshot.manifest.package == "shadowgraph.agents"

    # In a process of its own: this one has imported the package already.
    command = [sys.executable, "-c", LOAD, str(tree), str(BUILT_IN_PROJECT), snapshot.manifest.package]
    ended = subprocess.run(command, cwd=BACKEND, capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
    assert str(tree / "nodes/finalizer.py") in ended.stdout.split()
    assert str(BUILT_IN_PROJECT) not in ended.stdout


def test_a_module_that_would_come_from_the_edited_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"agent.py": "from graphs_of_mine.one import graph\n", "graphs_of_mine/__init__.py": ""}
    home = write_project(tmp_path / "mine", {**files, "graphs_of_mine/one.py": CHAIN})
    with process_as_before(tmp_path):
        snapshot = take_snapshot(load_project(home), "agent").snapshot
    tree, guise = Trees(tmp_path).ensure(snapshot), Guise("mine", home=home)

    with process_as_before(tmp_path):
        monkeypatch.syspath_prepend(home)
        load_project(tree, guise)
        imported_from = sys.modules["graphs_of_mine.one"].__file__
    with process_as_before(tmp_path):
        monkeypatch.syspath_prepend(home)
        import_module("graphs_of_mine.one")
        with pytest.raises(BadProject, match=r"was imported from .*mine/graphs_of_mine"):
            load_project(tree, guise)

    assert imported_from == str(tree / "graphs_of_mine/one.py")
