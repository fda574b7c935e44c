"""`shadowgraph new`: the project that it writes is whole."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from shadowgraph.cli.new import workflow_name
from tests.integration.cli.conftest import Terminal

FILES = {
    ".gitignore",
    "README.md",
    "agent.py",
    "langgraph.json",
    "prompts/planner.md",
    "prompts/writer.md",
    "shadowgraph.toml",
    "test_agent.py",
}


def test_a_project_is_written_and_what_to_do_next_is_said(terminal: Terminal) -> None:
    ended = terminal.run("new", "my briefing")

    assert ended.code == 0
    assert ended.out == f"made my briefing: {', '.join(sorted(FILES))}\n"
    assert "shadowgraph run --workflow my-briefing --input -" in ended.err
    written = {path.relative_to("my briefing").as_posix() for path in Path("my briefing").rglob("*") if path.is_file()}
    assert written == FILES
    assert not any("my_project" in (Path("my briefing") / name).read_text() for name in FILES)


def test_the_project_passes_the_check_and_its_own_test(terminal: Terminal) -> None:
    terminal.run("new", "briefing", "--quiet")

    checked = json.loads(terminal.run("projects", "check", "briefing", "--json").out)
    tested = subprocess.run(
        [sys.executable, "-m", "unittest"], cwd="briefing", capture_output=True, text=True, timeout=60
    )

    [workflow] = checked["workflows"]
    assert (workflow["name"], workflow["timeout_s"]) == ("briefing", 600)
    assert [(node["name"], node["level"]) for node in workflow["nodes"]] == [
        ("plan", "L2"),
        ("write", "L2"),
        ("measure", "L2"),
    ]
    assert checked["notes"] == []
    assert tested.returncode == 0, tested.stderr
    assert "Ran 2 tests" in tested.stderr


@pytest.mark.parametrize("in_the_way", ["folder", "file"])
def test_nothing_is_written_where_something_is(terminal: Terminal, in_the_way: str) -> None:
    place = terminal.home / "mine"
    kept = place / "notes.txt" if in_the_way == "folder" else place
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("kept")

    ended = terminal.run("new", "mine", "--json")

    assert (ended.code, ended.out, kept.read_text()) == (6, "", "kept")
    assert json.loads(ended.err)["code"] == "folder_not_usable"
    assert not (place / "agent.py").exists()


@pytest.mark.parametrize(
    ("folder", "name"), [("briefing", "briefing"), ("my graph!", "my-graph"), ("a_b-2", "a_b-2"), ("…", "agent")]
)
def test_the_workflow_is_named_after_the_folder(folder: str, name: str) -> None:
    assert workflow_name(folder) == name
