"""Snapshots of loaded projects: the built-in pipeline, the one with a branch, a loop and a fan-out, and small ones."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shadowgraph.engine.projects import load_project
from shadowgraph.engine.snapshots import Taken, take_snapshot
from shadowgraph.versioning.archive import read_archive, write_archive
from shadowgraph.versioning.diff import Diff, compare, texts_needed
from shadowgraph.versioning.errors import InvalidSnapshot
from shadowgraph.versioning.files import GRAPHS_FILE
from shadowgraph.versioning.rendering import read_graph_file
from shadowgraph.versioning.snapshot import Snapshot
from tests.support.projects import GRAPH, process_as_before, write_project

BACKEND = Path(__file__).parents[3]
PIPELINE = BACKEND / "shadowgraph" / "agents"
SHAPES = BACKEND / "tests" / "projects" / "shapes"

NODES = """
import json
from pathlib import Path
import shadowgraph
from shadowgraph.engine.projects import load_project
from shadowgraph.engine.snapshots import take_snapshot
project = load_project(Path(shadowgraph.__file__).parent / "agents")
print(json.dumps(dict(take_snapshot(project, "pipeline").snapshot.manifest.nodes)))
"""

TAKE = """
import sys
from pathlib import Path
from shadowgraph.engine.projects import load_project
from shadowgraph.engine.snapshots import take_snapshot
project = load_project(Path(sys.argv[1]))
for name in sys.argv[2:]:
    print(take_snapshot(project, name).snapshot.digest)
"""


@pytest.fixture(autouse=True)
def _process_as_before(tmp_path: Path) -> Iterator[None]:
    with process_as_before(tmp_path):
        yield


def take(directory: Path, workflow: str = "agent") -> Taken:
    return take_snapshot(load_project(directory), workflow)


def take_elsewhere(directory: Path, *workflows: str, **variables: str) -> list[str]:
    """The digests in a process of its own."""
    taken = subprocess.run(
        [sys.executable, "-c", TAKE, str(directory), *workflows],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert taken.returncode == 0, taken.stderr
    return taken.stdout.split()


def diff(before: Snapshot, after: Snapshot) -> Diff:
    bodies = {**before.blobs, **after.blobs}
    needed = texts_needed(before.manifest, after.manifest)
    return compare(before.manifest, after.manifest, {digest: bodies[digest].decode() for digest in needed})


def copy(source: Path, to: Path) -> Path:
    shutil.copytree(source, to, ignore=shutil.ignore_patterns("__pycache__"))
    return to


# --- the pipeline ---------------------------------------------------------------------------------------------------------------


def test_each_agent_of_the_pipeline_uses_its_own_prompts_and_modules() -> None:
    manifest = take(PIPELINE, "pipeline").snapshot.manifest
    prompts = {
        node: sorted({*uses.words} & manifest.prompts.keys()) for node, uses in manifest.uses.items() if uses.words
    }
    modules = {
        node: {path for path in uses.files or () if path.startswith("nodes/")} for node, uses in manifest.uses.items()
    }

    assert prompts == {
        "researcher": ["researcher", "researcher_found", "researcher_task"],
        "planner": ["planner", "planner_task"],
        "executor": ["executor", "executor_task"],
        "coder": ["coder", "coder_no_files", "coder_repair", "coder_task"],
        "finalizer": ["finalizer", "finalizer_task"],
    }
    assert modules == {node: {f"nodes/{node}.py", "nodes/__init__.py"} for node in manifest.uses}
    assert set(manifest.tools) == {"web_search", "run_python", "parse_files"}


def nodes_of_installation(package: Path) -> dict[str, str]:
    """Of the pipeline in a copy of our whole package: its modules import each other by that name."""
    script = f"import sys; sys.path.insert(0, {str(package.parent)!r})\n{NODES}"
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}  # compiled once, not for each edit
    taken = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=100, env=env
    )
    assert taken.returncode == 0, taken.stderr
    return dict(json.loads(taken.stdout))


def test_an_edited_prompt_or_module_of_the_pipeline_changes_exactly_its_agent(tmp_path: Path) -> None:
    package = copy(BACKEND / "shadowgraph", tmp_path / "shadowgraph")
    before = nodes_of_installation(package)

    def changed(path: str) -> list[str]:
        file = package / "agents" / path
        text = file.read_text()
        file.write_text(f"{text}\n# Be brief.\n")
        after = nodes_of_installation(package)
        file.write_text(text)
        return sorted(node for node, digest in after.items() if before[node] != digest)

    assert before == take(PIPELINE, "pipeline").snapshot.manifest.nodes
    assert changed("prompts/coder.md") == ["coder"]
    assert changed("prompts/coder_task.md") == ["coder"]
    assert changed("nodes/planner.py") == ["planner"]
    assert changed("graph.py") == sorted(before)


def test_a_copy_of_the_pipeline_with_other_line_ends_and_times_is_the_same(tmp_path: Path) -> None:
    """A copy is no part of the package `shadowgraph.agents`: what its modules import is the original."""
    copies = [copy(PIPELINE, tmp_path / name) for name in ("one", "two")]
    for path in copies[1].rglob("*.*"):
        if path.is_file():
            path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
            os.utime(path, (0, 0))

    digests = [
        take_elsewhere(copies[0], "pipeline", PYTHONHASHSEED="1", TZ="UTC"),
        take_elsewhere(copies[1], "pipeline", PYTHONHASHSEED="2", TZ="Asia/Tokyo"),
    ]

    assert digests[0] == digests[1]


# --- a branch, a loop, a fan-out ------------------------------------------------------------------------------------------------


def test_the_graph_of_shapes_is_read_with_its_branches() -> None:
    snapshot = take(SHAPES, "shapes").snapshot
    edges = {(edge.source, edge.target): edge.conditional for edge in snapshot.manifest.graph.edges}

    assert set(snapshot.manifest.uses) == {"few", "many", "begin_round", "work", "end_round", "report"}
    assert edges["begin_round", "work"]
    assert edges["end_round", "begin_round"]
    assert not edges["few", "begin_round"]
    assert read_archive(write_archive(snapshot)) == snapshot


def test_a_prompt_for_one_node_of_a_single_file_changes_that_node_alone(tmp_path: Path) -> None:
    project = copy(SHAPES, tmp_path / "shapes")
    (project / "prompts").mkdir()
    for name in ("few", "many", "nobody"):
        (project / "prompts" / f"{name}.md").write_text("Old.\n")
    before = take(project, "shapes").snapshot

    def changed(path: str, text: str) -> set[str]:
        old = (project / path).read_text()
        (project / path).write_text(text)
        nodes = {node.node for node in diff(before, take(project, "shapes").snapshot).nodes}
        (project / path).write_text(old)
        return nodes

    everything = set(before.manifest.uses)
    assert changed("prompts/few.md", "New.\n") == {"few"}
    assert changed("prompts/nobody.md", "New.\n") == everything
    assert changed("graph.py", f"{(project / 'graph.py').read_text()}\n# more\n") == everything


def test_another_process_finds_the_same() -> None:
    here = [take(PIPELINE, "pipeline").snapshot.digest, take(SHAPES, "shapes").snapshot.digest]

    assert [*take_elsewhere(PIPELINE, "pipeline"), *take_elsewhere(SHAPES, "shapes", PYTHONHASHSEED="7")] == here


# --- what a project says beside its code ----------------------------------------------------------------------------------------

OPTIONS = """
name = "mine"
[agents.shout]
temperature = 0.5
[workflow.agent]
description = "Shouts."
timeout_s = {timeout}
"""


def write(directory: Path, files: dict[str, str] | None = None, **config: Any) -> Path:
    return write_project(directory, {"agent.py": GRAPH, **(files or {})}, **config)


def test_live_settings_and_other_workflows_are_no_part_of_it(tmp_path: Path) -> None:
    one = take(write(tmp_path / "one", {"shadowgraph.toml": OPTIONS.format(timeout=5)})).snapshot
    two = take(
        write(
            tmp_path / "two",
            {"shadowgraph.toml": OPTIONS.format(timeout=9) + "[workflow.other]\ndescription = 'x'\n"},
            graphs={"agent": "./agent.py:graph", "other": "./agent.py:builder"},
            node_version="20",
        )
    ).snapshot

    assert one.digest == two.digest
    assert one.manifest.agents["shout"].temperature == "0.5"


def test_of_variables_only_the_names_are_kept(tmp_path: Path) -> None:
    snapshot = take(write(tmp_path / "mine", env={"SHOUT_MODE": "hunter22"})).snapshot

    assert snapshot.manifest.environment == ("SHOUT_MODE",)
    assert b"hunter22" not in write_archive(snapshot)


def test_a_file_of_variables_is_no_part_of_it(tmp_path: Path) -> None:
    project = write(tmp_path / "mine", env=".env")
    before = take(project).snapshot.digest
    (project / ".env").write_text("SHOUT_KEY=hunter22\n")

    assert take(project).snapshot.digest == before


def test_packages_and_the_python_that_it_asks_for_are_written_down(tmp_path: Path) -> None:
    pyproject = '[project]\nname = "x"\nrequires-python = ">=3.11"\ndependencies = ["httpx>=0.28"]\n'
    runtime = take(
        write(tmp_path / "mine", {"pyproject.toml": pyproject}, dependencies=[".", "langgraph"])
    ).snapshot.manifest.runtime

    assert (runtime.requires_python, runtime.requirements) == (">=3.11", ("httpx>=0.28", "langgraph"))


def test_a_broken_pyproject_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(InvalidSnapshot, match=r"pyproject\.toml"):
        take(write(tmp_path / "mine", {"pyproject.toml": "[project\n"}))


def test_a_folder_beside_the_project_moves_into_the_snapshot(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "loud.py").write_text("def loud(text): return text.upper()\n")
    project = write(
        tmp_path / "mine",
        {
            "agent.py": GRAPH.replace('state["text"].upper()', "loud.loud(state['text'])").replace(
                "from typing_ext", "import loud\nfrom typing_ext"
            )
        },
        dependencies=[".", "../shared"],
        graphs={"agent": "./agent.py:graph"},
    )

    snapshot = take(project).snapshot

    assert read_graph_file(snapshot.bodies[GRAPHS_FILE]).dependencies == (".", "./_roots/shared")
    assert "_roots/shared/loud.py" in snapshot.manifest.files
    assert "_roots/shared/loud.py" in (snapshot.manifest.uses["shout"].files or ())


def test_code_that_git_ignores_cannot_be_deployed(tmp_path: Path) -> None:
    project = write(tmp_path / "mine")
    (project / ".gitignore").write_text("agent.py\n")

    with pytest.raises(InvalidSnapshot, match="ignored by git"):
        take(project)


def test_files_that_no_snapshot_holds_are_told(tmp_path: Path) -> None:
    assert list(take(write(tmp_path / "mine", {"logo.svg": "<svg/>"})).left_out) == ["logo.svg"]
