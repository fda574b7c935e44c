"""The authoring functions outside any run: how an author tries a graph in a file, a notebook or a unit test."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shadowgraph import artifact, chat_model, prompt, rand, tool
from shadowgraph.core.calls import Place
from shadowgraph.core.paths import UnsafePath
from shadowgraph.engine.loading.errors import BadProject
from shadowgraph.wiring.standalone import Standalone, standalone_ports

GRAPH = '''
from typing import TypedDict
from langgraph.graph import StateGraph, START
from shadowgraph import artifact, chat_model, now, prompt, rand, tool

class State(TypedDict, total=False):
    topic: str
    text: str

@tool(effect="read")
def count_words(text: str) -> int:
    """Counts words."""
    return len(text.split())

def write(state: State) -> State:
    answer = chat_model().invoke(prompt("writer").render(topic=state["topic"]))
    artifact("text.md", answer.text)
    return {"text": answer.text, "topic": f"{count_words.invoke({'text': answer.text})} words"}

builder = StateGraph(State)
builder.add_node("write", write)
builder.add_edge(START, "write")
graph = builder.compile()
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "langgraph.json").write_text('{"graphs": {"writer": "./agent.py:graph"}}')
    (tmp_path / "agent.py").write_text(GRAPH)
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "writer.md").write_text("Write a line about ${topic}.")
    return tmp_path


def _python(project: Path, code: str, *, folder: Path | None = None) -> str:
    environment = {**os.environ, "PYTHONPATH": f"{project}{os.pathsep}{Path.cwd()}", "PYTHONWARNINGS": "error"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=folder or project, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


def test_a_graph_of_an_author_runs_in_plain_python(project: Path) -> None:
    code = "from agent import graph; print(graph.invoke({'topic': 'queues'}))"

    said = _python(project, code)

    assert "queues" in said
    assert "words" in said


def test_the_project_is_found_from_the_code_that_asks_wherever_python_was_started(project: Path) -> None:
    (project / "sub").mkdir()
    code = "from agent import graph; import asyncio; print(asyncio.run(graph.ainvoke({'topic': 'queues'})))"

    assert "queues" in _python(project, code, folder=Path("/"))


def test_no_call_gets_the_key_of_an_earlier_one() -> None:
    ports, place = Standalone(), Place("", "writer", 1, "")

    assert [ports.next_index(place) for _ in range(3)] == [0, 1, 2]


def test_there_is_one_per_process() -> None:
    assert standalone_ports() is standalone_ports()


def test_files_are_kept_for_a_test_to_look_at() -> None:
    artifact("notes/a.txt", "hello")

    assert standalone_ports().artifacts["notes/a.txt"] == b"hello"
    with pytest.raises(UnsafePath):
        artifact("../a.txt", "hello")


async def test_async_code_and_its_threads_both_reach_a_model() -> None:
    inside = await chat_model("a").ainvoke("Write a haiku about queues")
    outside = await asyncio.to_thread(chat_model("a").invoke, "Write a haiku about queues")

    assert inside.text == outside.text
    assert inside.response_metadata["synthetic"] is True


def test_registered_tools_are_there() -> None:
    result = tool("parse_files").invoke({"text": "```python:a.py\nprint()\n```"})

    assert result["files"][0]["path"] == "a.py"


def test_chance_differs_from_use_to_use() -> None:
    assert rand().random() != rand().random()


def test_waiting_for_itself_is_refused() -> None:
    ports = Standalone()

    async def nested() -> Any:
        return ports.run_blocking(asyncio.sleep(0))

    with pytest.raises(RuntimeError, match="async form"):
        ports.run_blocking(nested())


def test_prompts_of_the_calling_code_are_found(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project / "prompts")

    assert prompt("writer").render(topic="x") == "Write a line about x."


def test_what_the_project_says_of_an_agent_holds_outside_a_run(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "shadowgraph.toml").write_text('[agents.poet]\nprompt = "prompts/writer.md"\ntools = ["count"]\n')
    monkeypatch.chdir(project)

    assert prompt("poet").text == "Write a line about ${topic}."
    assert standalone_ports().agents["poet"].tools == ("count",)


def test_without_a_project_nothing_is_said_of_agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    assert standalone_ports().agents == {}


def test_a_bad_setting_of_an_agent_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "shadowgraph.toml").write_text("[agents.poet]\ntemprature = 1\n")
    monkeypatch.chdir(project)

    with pytest.raises(BadProject, match="temprature"):
        chat_model("poet").invoke("hello")
