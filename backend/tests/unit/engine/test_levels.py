"""What `projects check` sees in the code of a graph's nodes."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from shadowgraph.engine.loading.levels import NodeLevel, least, levels_of
from shadowgraph.engine.projects import load_project
from tests.support.projects import process_as_before, write_project

HEAD = """
import functools
import shadowgraph
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.tools import tool
from langgraph.graph import END, START, StateGraph
from shadowgraph import chat_model, prompt
from typing_extensions import TypedDict

class State(TypedDict):
    text: str

model = FakeListChatModel(responses=["x"])

@tool
def plain(text: str) -> str:
    "A tool."
    return text

@shadowgraph.tool(effect="read")
def journaled(text: str) -> str:
    "A tool."
    return text

"""
TAIL = """
builder = StateGraph(State)
builder.add_node("node", node)
builder.add_edge(START, "node")
builder.add_edge("node", END)
graph = builder.compile()
"""
AGENT = """
from langchain.agents import create_agent

def agent(model, tools, middleware=()):
    return create_agent(model, tools, middleware=middleware)

"""


def load_node(directory: Path, source: str) -> Mapping[str, NodeLevel]:
    project = load_project(write_project(directory / "mine", {"agent.py": HEAD + source + TAIL}))
    return levels_of(project.workflows["agent"].graph, project.roots)


@pytest.fixture(autouse=True)
def _process_as_before(tmp_path: Path) -> Iterator[None]:
    with process_as_before(tmp_path):
        yield


@pytest.mark.parametrize(
    ("source", "level", "advice"),
    [
        ("def node(state): return {}", None, ""),
        ("def node(state): return model.invoke(state['text'])", "L0", "instead of FakeListChatModel"),
        ("def node(state): return FakeListChatModel(responses=[]).invoke('')", "L0", "instead of FakeListChatModel"),
        ("def node(state): return plain.invoke(state)", "L0", "decorate the tools plain with"),
        ("def node(state): return [chat_model().invoke(''), plain.invoke(state)]", "L0", "decorate the tools plain"),
        ("def node(state): return journaled.invoke(state)", "L2", ""),
        ("def node(state): return chat_model('node').invoke('')", "L1", "shadowgraph.prompt('node')"),
        ("def node(state): return shadowgraph.chat_model().invoke('')", "L1", "prompts/node.md"),
        ("def node(state): return chat_model().invoke(prompt('node').text)", "L2", ""),
        ("def node(state):\n    from shadowgraph import chat_model as ask\n    return ask().invoke('')", "L1", ""),
        ("def ask(): return model\ndef node(state): return ask().invoke('')", "L0", "FakeListChatModel"),
        ("def node(state): return [model for _ in 'x'][0].invoke('')", "L0", "FakeListChatModel"),
        ("def ask(model, state): return model\nnode = functools.partial(ask, model)", "L0", "FakeListChatModel"),
        (
            "class Node:\n    def __init__(self): self.model = model\n    def __call__(self, state): return {}\nnode = Node()",
            "L0",
            "FakeListChatModel",
        ),
        (
            "class Proxy:\n    @property\n    def __class__(self): raise RuntimeError('outside of a request')\n"
            "proxy = Proxy()\ndef node(state): return [proxy, model.invoke('')]",
            "L0",
            "FakeListChatModel",
        ),
        (f"{AGENT}node = agent(model, [plain])", "L0", "middleware=[shadowgraph.middleware()]"),
        (f"{AGENT}node = agent(model, [plain], [shadowgraph.middleware()])", "L1", "prompts/node.md"),
        (f"{AGENT}node = agent(chat_model(), [journaled])", "L1", "prompts/node.md"),
    ],
)
def test_the_level_of_a_node_and_what_it_lacks(tmp_path: Path, source: str, level: str | None, advice: str) -> None:
    found = load_node(tmp_path, source)["node"]

    assert found.level == level
    assert advice in "; ".join(found.advice)
    assert bool(found.advice) == (level in ("L0", "L1"))


def test_a_graph_is_at_the_level_of_its_weakest_node() -> None:
    assert least({"a": NodeLevel("L2"), "b": NodeLevel("L1"), "c": NodeLevel()}) == "L1"
    assert least({"a": NodeLevel()}) is None
