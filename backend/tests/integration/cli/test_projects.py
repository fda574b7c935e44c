"""`projects list` over HTTP, and `projects check` on folders as users have them."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.conftest import Terminal
from tests.support.fake_api import FakeApi
from tests.support.projects import GRAPH, write_project

BROKEN = {
    "project": "broken",
    "message": "workflow 'agent': ./agent.py cannot be imported: ModuleNotFoundError: No module named 'nothing'",
    "hint": "pip install nothing",
    "errors": [{"pointer": "agent.py:2", "detail": "import nothing"}],
    "at": "2026-01-01T12:00:00Z",
}


def workflow(name: str, **changes: Any) -> dict[str, Any]:
    return {"name": name, "project": "mine", "level": "L1", "workers": 2, "description": "Shouts.\nMore.", **changes}


@pytest.fixture
def page(api: FakeApi) -> dict[str, Any]:
    page = {
        "items": [workflow("agent"), workflow("plain", level=None, workers=0)],
        "broken_projects": [BROKEN],
        "next_cursor": None,
    }
    api.scripted["GET", "/workflows"] = page
    return page


def test_what_workers_serve_is_listed_with_what_they_could_not_load(terminal: Terminal, page: dict[str, Any]) -> None:
    ended = terminal.run("projects", "list")

    assert ended.code == 0
    assert [line.split() for line in ended.out.splitlines()] == [
        ["project", "workflow", "level", "workers", "description"],
        ["mine", "agent", "L1", "2", "Shouts."],
        ["mine", "plain", "-", "0", "Shouts."],
        [],
        ["project", "broken", "cannot", "be", "loaded"],
        str(BROKEN["message"]).split(),
        ["agent.py:2:", "import", "nothing"],
        ["fix:", "pip", "install", "nothing"],
    ]


def test_the_list_as_json_is_the_servers(terminal: Terminal, page: dict[str, Any]) -> None:
    whole = terminal.run("projects", "list", "--json")
    chosen = terminal.run("projects", "list", "--fields", "name,level")

    assert json.loads(whole.out) == page
    assert chosen.out.splitlines() == ["agent\tL1", "plain\t"]


def test_a_project_is_checked_in_a_process_of_its_own(terminal: Terminal, tmp_path: Path) -> None:
    source = GRAPH.replace(".compile()", ".compile(checkpointer=InMemorySaver())")
    source = f"from langgraph.checkpoint.memory import InMemorySaver\nprint('importing')\n{source}"
    directory = write_project(tmp_path / "mine", {"agent.py": source}, auth={})

    told = terminal.run("projects", "check", str(directory))
    as_json = terminal.run("projects", "check", str(directory), "--json")

    found = json.loads(as_json.out)
    assert (told.code, as_json.code, as_json.err) == (0, 0, "")
    assert "importing" not in told.out
    assert found["workflows"] == [
        {
            "name": "agent",
            "description": "",
            "level": None,
            "timeout_s": None,
            "input": [{"key": "text", "required": False}],
            "nodes": [{"name": "shout", "level": None, "advice": []}],
        }
    ]
    assert [note["about"] for note in found["notes"]] == ["auth", "workflow agent: checkpointer"]
    for said in ("workflow  agent", "input     text", "shout", "auth: not applied", "InMemorySaver is replaced"):
        assert said in told.out


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1\nimport no_such_module", "No module named 'no_such_module'"),
        ("import os\nos._exit(7)", "the project's code ended its process: exit code 7"),
    ],
)
def test_a_broken_project_is_refused_with_its_lines(terminal: Terminal, tmp_path: Path, source: str, said: str) -> None:
    directory = write_project(tmp_path / "mine", {"agent.py": source})

    ended = terminal.run("projects", "check", str(directory))

    assert (ended.code, ended.out) == (2, "")
    assert said in ended.err
    assert ("agent.py:2: import no_such_module" in ended.err) == ("no_such_module" in said)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x = 1\nimport threading; threading.Event().wait()", "agent.py:2: import threading; threading.Event().wait()"),
        ("import ctypes\nctypes.PyDLL(None).sleep(600)", "holds the interpreter all the time"),
    ],
    ids=["python waits", "C code waits"],
)
def test_an_import_without_an_end_is_given_up(terminal: Terminal, tmp_path: Path, source: str, said: str) -> None:
    directory = write_project(tmp_path / "mine", {"agent.py": source})

    ended = terminal.run("projects", "check", str(directory), "--timeout", "0.5")

    assert (ended.code, ended.out) == (2, "")
    assert "error: its code has not been imported after 0.5 s" in ended.err
    assert said in ended.err


def test_threads_that_a_project_starts_do_not_keep_the_check_waiting(terminal: Terminal, tmp_path: Path) -> None:
    source = f"import threading\nthreading.Thread(target=threading.Event().wait).start()\n{GRAPH}"
    directory = write_project(tmp_path / "mine", {"agent.py": source})

    assert terminal.run("projects", "check", str(directory)).code == 0


def test_a_broken_project_is_a_problem_document_in_json(terminal: Terminal, tmp_path: Path) -> None:
    ended = terminal.run("projects", "check", str(tmp_path), "--json")

    problem = json.loads(ended.err)
    assert (ended.code, ended.out, problem["code"]) == (2, "", "bad_project")
    assert "langgraph.json cannot be read" in problem["detail"]
