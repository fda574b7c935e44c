"""What each node of a graph is made of, read from the source and the compiled graph."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

from shadowgraph.engine.loading.sources import Sources
from shadowgraph.engine.loading.uses import NodeUses, own_tools, uses_of
from shadowgraph.engine.projects import load_project
from tests.support.projects import process_as_before, write_project

GRAPH = """
    from langgraph.graph import END, START, StateGraph
    from state import State
    import nodes
    from nodes import second

    builder = StateGraph(State)
    builder.add_node("first", nodes.first)
    builder.add_node("second", second)
    builder.add_edge(START, "first")
    builder.add_edge("first", "second")
    builder.add_edge("second", END)
    graph = builder.compile()
"""
STATE = """
    from typing_extensions import TypedDict
    class State(TypedDict):
        text: str
"""


@pytest.fixture(autouse=True)
def _process_as_before(tmp_path: Path) -> Iterator[None]:
    with process_as_before(tmp_path):
        yield


def read(tmp_path: Path, files: Mapping[str, str]) -> dict[str, NodeUses]:
    """Of a project with these files beside `graph.py` and `state.py`."""
    written = {"graph.py": GRAPH, "state.py": STATE, **files}
    directory = write_project(tmp_path / "mine", written, graphs={"agent": "./graph.py:graph"})
    project = load_project(directory)
    texts = {path: path.read_text() for path in directory.rglob("*.py")}
    return dict(uses_of(project.workflows["agent"].graph, Sources(project.roots, texts)))


def files(uses: NodeUses) -> set[str] | None:
    return None if uses.files is None else {path.name for path in uses.files}


def sources(tmp_path: Path, texts: Mapping[str, str]) -> Sources:
    root = tmp_path.resolve()
    return Sources([root], {root / path: dedent(text) for path, text in texts.items()})


def closure(tmp_path: Path, seed: str, texts: Mapping[str, str]) -> set[str] | None:
    root = tmp_path.resolve()
    found = sources(tmp_path, texts).closure([root / seed])
    return None if found is None else {path.relative_to(root).as_posix() for path in found}


# --- files ----------------------------------------------------------------------------------------------------------------------


def test_a_file_needs_what_it_imports_in_any_way_and_what_that_needs(tmp_path: Path) -> None:
    texts = {
        "a.py": "import b\nfrom pkg import c\nfrom pkg.d import x as y\nimport os, json\n",
        "b.py": "def f():\n    from pkg.sub import e\n",
        "pkg/__init__.py": "",
        "pkg/c.py": "from .d import x\nfrom . import f\n",
        "pkg/d.py": "x = 1\n",
        "pkg/f.py": "",
        "pkg/sub/__init__.py": "from ..g import *\n",
        "pkg/sub/e.py": "import importlib\nimportlib.import_module('late')\n",
        "pkg/g.py": "",
        "late.py": "",
        "unrelated.py": "",
    }

    assert closure(tmp_path, "a.py", texts) == set(texts) - {"unrelated.py"}


def test_a_folder_named_src_is_looked_into(tmp_path: Path) -> None:
    texts = {"src/pkg/__init__.py": "", "src/pkg/a.py": "from .b import x\n", "src/pkg/b.py": "x = 1\n", "g.py": ""}

    assert closure(tmp_path, "g.py", {**texts, "g.py": "import pkg.a\n"}) == {*texts}


@pytest.mark.parametrize(
    "code",
    ["__import__(name)", "importlib.import_module(name)", "exec(text)", "eval(text)", "runpy.run_path(p)", "def"],
)
def test_what_is_imported_by_a_name_that_only_shows_at_run_time_cannot_be_told(tmp_path: Path, code: str) -> None:
    assert closure(tmp_path, "a.py", {"a.py": "import b\n", "b.py": f"{code}\n"}) is None


def test_methods_that_are_called_like_built_in_functions_say_nothing(tmp_path: Path) -> None:
    assert closure(tmp_path, "a.py", {"a.py": "model.eval()\ncursor.exec('x')\n"}) == {"a.py"}


# --- nodes ----------------------------------------------------------------------------------------------------------------------


def test_nodes_use_their_own_module_and_its_imports_and_the_state(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "nodes.py": """
                from second import second
                import helper
                def first(state): return {"text": helper.shout(state["text"])}
            """,
            "second.py": "def second(state): return {'text': state['text']}\n",
            "helper.py": "def shout(text): return text.upper()\n",
            "script.py": "print('nobody imports me')\n",
        },
    )

    assert files(found["first"]) == {"nodes.py", "second.py", "helper.py", "state.py"}
    assert files(found["second"]) == {"second.py", "state.py"}


MADE = {
    "closure": "def make():\n    word = 'x'\n    def node(state): return {'text': word}\n    return node\nfirst = make()",
    "instance": "class Node:\n    def __call__(self, state): return {'text': ''}\nfirst = Node()",
    "partial": "import functools\ndef node(state, word): return {'text': word}\nfirst = functools.partial(node, word='x')",
    "library": "from langchain_core.runnables import RunnableLambda as R\nfirst = R(lambda state: state) | R(lambda state: state)",
    "dynamic": "def first(state): return {'text': eval('1')}",
}


@pytest.mark.parametrize("source", MADE.values(), ids=MADE.keys())
def test_of_a_node_that_was_made_elsewhere_nothing_is_told(tmp_path: Path, source: str) -> None:
    found = read(
        tmp_path, {"nodes.py": f"{source}\nfrom second import second\n", "second.py": "def second(s): return s\n"}
    )

    assert found["first"].files is None
    assert files(found["second"]) == {"second.py", "state.py"}


def test_a_node_uses_what_decides_where_to_go_from_it(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "graph.py": """
                from langgraph.graph import END, START, StateGraph
                from state import State
                from nodes import first, second
                from choice import choose
                builder = StateGraph(State)
                builder.add_node(first)
                builder.add_node(second)
                builder.add_edge(START, "first")
                builder.add_conditional_edges("first", choose, ["second", END])
                graph = builder.compile()
            """,
            "nodes.py": "def first(state): return state\ndef second(state): return state\n",
            "choice.py": "def choose(state): return 'second'\n",
        },
    )

    assert files(found["first"]) == {"nodes.py", "choice.py", "state.py"}
    assert files(found["second"]) == {"nodes.py", "state.py"}


def test_what_decides_where_a_run_begins_and_reducers_belong_to_every_node(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "graph.py": """
                from langgraph.graph import END, START, StateGraph
                from state import State
                from nodes import first, second
                from choice import choose
                builder = StateGraph(State)
                builder.add_node(first)
                builder.add_node(second)
                builder.add_conditional_edges(START, choose, ["first", "second"])
                graph = builder.compile()
            """,
            "state.py": """
                from typing import Annotated
                from typing_extensions import TypedDict
                from reducers import add
                class State(TypedDict):
                    text: Annotated[str, add]
            """,
            "reducers.py": "def add(a, b): return a + b\n",
            "nodes.py": "def first(state): return state\ndef second(state): return state\n",
            "choice.py": "def choose(state): return 'second'\n",
        },
    )

    assert files(found["first"]) == files(found["second"]) == {"nodes.py", "choice.py", "state.py", "reducers.py"}


# --- words ----------------------------------------------------------------------------------------------------------------------


def words(tmp_path: Path, nodes: str, **more: str) -> tuple[set[str] | None, set[str] | None]:
    others = {f"{name}.py": text for name, text in more.items()}
    found = read(tmp_path, {"nodes.py": nodes, **others})
    first, second = (None if uses.words is None else set(uses.words) for uses in (found["first"], found["second"]))
    return first, second


def test_words_are_those_of_the_functions_that_a_node_reaches(tmp_path: Path) -> None:
    first, second = words(
        tmp_path,
        """
        import talk
        from talk import ask as enquire
        DEFAULT = "fallback"
        def first(state): return talk.ask("planner", DEFAULT)
        def second(state): return _inner(state)
        def _inner(state): return enquire("writer", None)
        """,
        talk="""
        from shadowgraph import prompt
        def ask(name, other): return prompt(name or "nobody")
        def unused(): return prompt("unused")
        """,
    )

    assert first == {"planner", "fallback", "nobody"}
    assert second == {"writer", "nobody"}


def test_classes_stars_and_packages_are_followed(tmp_path: Path) -> None:
    first, second = words(
        tmp_path,
        """
        import shadowgraph as sg
        from more import *
        import pkg.deep
        def first(state): return sg.prompt(Names.one)
        def second(state): return pkg.deep.ask()
        """,
        **{
            "more": "class Names:\n    one = 'number-one'\n",
            "pkg/__init__": "",
            "pkg/deep": "from shadowgraph import chat_model\ndef ask(): return chat_model('deep/agent')\n",
        },
    )

    assert first == {"number-one"}
    assert second == {"deep/agent"}


@pytest.mark.parametrize(
    "code",
    [
        "prompt(f'{state}_task')",
        "prompt('a' + state['text'])",
        "prompt(name=state['text'].lower())",
        "sg.chat_model(str(state))",
        "tool('%s' % state)",
    ],
)
def test_a_name_that_is_put_together_cannot_be_told(tmp_path: Path, code: str) -> None:
    first, second = words(
        tmp_path,
        f"""
        import shadowgraph as sg
        from shadowgraph import prompt, tool
        def first(state): return {code}
        def second(state): return prompt("second")
        """,
    )

    assert (first, second) == (None, {"second"})


def test_a_local_name_that_is_put_together_cannot_be_told(tmp_path: Path) -> None:
    first, second = words(
        tmp_path,
        """
        from shadowgraph import prompt
        def first(state):
            name = f"{state}_task"
            return prompt(name)
        def second(state):
            name = "short" if state else "long"
            for other in ("a1", "b2"):
                prompt(other)
            return prompt(name)
        """,
    )

    assert (first, second) == (None, {"short", "long", "a1", "b2"})


# --- tools ----------------------------------------------------------------------------------------------------------------------


def test_tools_are_found_with_what_their_authors_declared(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "nodes.py": """
                from langchain_core.tools import tool as plain
                from shadowgraph import tool
                @tool(effect="irreversible", idempotent=True)
                def send(text: str) -> str:
                    "Sends it."
                    return text
                @plain
                def look(word: str, times: int = 1) -> str:
                    "Looks."
                    return word
                def first(state): return {"text": send.invoke({"text": ""})}
                def second(state): return {"text": look.invoke({"word": ""})}
            """
        },
    )
    tools = own_tools(found)

    assert {node: set(uses.tools) for node, uses in found.items()} == {"first": {"send"}, "second": {"look"}}
    assert (tools["send"].effect, tools["send"].idempotent, tools["send"].description) == (
        "irreversible",
        True,
        "Sends it.",
    )
    assert (tools["look"].effect, tools["look"].idempotent) == ("write", False)
    assert set(tools["look"].parameters["properties"]) == {"word", "times"}
