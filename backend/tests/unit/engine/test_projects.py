"""The door for graphs of one's own: what `langgraph.json` and `shadowgraph.toml` may say, and what a mistake in a project looks like."""

import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from textwrap import dedent
from types import SimpleNamespace
from typing import Any

import pytest

from shadowgraph.core.agent_settings import AgentSettings
from shadowgraph.engine.loading.options import name_of_project
from shadowgraph.engine.projects import BadProject, load_project, load_project_within
from tests.support.projects import GRAPH, process_as_before, write_project

TWICE = '{"graphs": {"agent": "./agent.py:graph", "agent": "./agent.py:builder"}}'


@pytest.fixture(autouse=True)
def _process_as_before(tmp_path: Path) -> Iterator[None]:
    with process_as_before(tmp_path):
        yield


def refused(directory: Path) -> BadProject:
    with pytest.raises(BadProject) as found:
        load_project(directory)
    return found.value


# --- what a graph may be --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        "./agent.py:graph",
        "agent.py:graph",
        "agent:graph",
        "./agent.py:builder",
        "./made.py:make",
        "./made.py:make_async",
        "./made.py:make_with_config",
        "./made.py:make_with_optional_config",
        {"path": "./agent.py:graph", "description": "Shouts."},
    ],
    ids=str,
)
async def test_whatever_langgraph_takes_is_a_graph(tmp_path: Path, target: Any) -> None:
    made = """
        from agent import builder

        def make():
            return builder

        async def make_async():
            return builder.compile()

        def make_with_config(config):
            assert config["configurable"] == {}
            return builder

        def make_with_optional_config(config=None):
            assert config["configurable"] == {}
            return builder
        """
    directory = write_project(tmp_path / "mine", {"agent.py": GRAPH, "made.py": made}, graphs={"agent": target})

    workflow = load_project(directory).workflows["agent"]

    assert await workflow.graph.ainvoke({"text": "hello"}) == {"text": "HELLO"}
    assert workflow.description == ("Shouts." if isinstance(target, dict) else "")


def test_local_dependencies_are_on_the_module_path(tmp_path: Path) -> None:
    files = {"agent.py": f"import packaged\nimport shared\n{GRAPH}", "src/packaged.py": "", "../common/shared.py": ""}
    directory = write_project(tmp_path / "mine", files, dependencies=[".", "../common"])

    assert set(load_project(directory).workflows) == {"agent"}


def test_a_file_outside_the_project_is_part_of_its_digest_when_it_depends_on_it(tmp_path: Path) -> None:
    directory = write_project(
        tmp_path / "mine", {"agent.py": GRAPH, "../common/shared.py": ""}, dependencies=["../common"]
    )

    before = load_project(directory).code_digest
    (tmp_path / "common" / "shared.py").write_text("CHANGED = True")

    assert load_project(directory).code_digest != before


def test_a_virtual_environment_in_the_folder_is_not_part_of_the_project(tmp_path: Path) -> None:
    directory = write_project(tmp_path / "mine")
    before = load_project(directory).code_digest
    write_project(directory / "env", {"pyvenv.cfg": "", "lib/module.py": ""})

    assert load_project(directory).code_digest == before


def test_the_modules_of_a_project_have_the_same_names_wherever_it_lies(tmp_path: Path) -> None:
    """Checkpoints name the module of each class that they hold, and are read on other machines."""
    source = GRAPH.replace("class State(TypedDict)", "from dataclasses import dataclass\n@dataclass\nclass State")
    directory = write_project(tmp_path / "mine", {"src/agent.py": source}, graphs={"agent": "./src/agent.py:graph"})

    workflow = load_project(directory).workflows["agent"]

    assert ("mine__src__agent", "State") in workflow.state_types


def test_a_named_project_is_the_same_in_every_folder(tmp_path: Path) -> None:
    """As a deployment has it that gives each release a folder."""
    source = GRAPH.replace("class State(TypedDict)", "from dataclasses import dataclass\n@dataclass\nclass State")
    files = {"agent.py": source, "shadowgraph.toml": 'name = "trip"\n'}
    folders = [write_project(tmp_path / release, files) for release in ("41", "42")]

    projects = [load_project(folder) for folder in folders]

    assert [name_of_project(folder) for folder in folders] == ["trip", "trip"]
    assert [project.name for project in projects] == ["trip", "trip"]
    assert ("trip__agent", "State") in projects[0].workflows["agent"].state_types


@pytest.mark.parametrize("options", [None, "", 'name = "tr ip"', "name = 3", "name = ["])
def test_without_a_name_that_fits_a_project_is_called_as_its_folder(tmp_path: Path, options: str | None) -> None:
    files = {} if options is None else {"shadowgraph.toml": options}

    assert name_of_project(write_project(tmp_path / "mine", files)) == "mine"


def test_two_projects_of_one_name_do_not_get_each_others_code(tmp_path: Path) -> None:
    first = write_project(tmp_path / "one" / "mine")
    second = write_project(tmp_path / "two" / "mine", {"agent.py": f'"""The second."""\n{GRAPH}'})

    descriptions = [load_project(folder).workflows["agent"].description for folder in (first, second)]

    assert descriptions == ["", "The second."]


# --- what it finds around it ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env", [{"FLAVOUR": "sweet", "TOKEN_OF_PROCESS": "no", "SIZE": 3}, "settings.env"], ids=str)
def test_variables_are_set_and_never_override(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, env: Any) -> None:
    monkeypatch.setenv("TOKEN_OF_PROCESS", "yes")
    source = f"import os\nFOUND = [os.environ[name] for name in ('FLAVOUR', 'TOKEN_OF_PROCESS', 'SIZE')]\n{GRAPH}"
    files = {"agent.py": source, "settings.env": "FLAVOUR=sweet\nTOKEN_OF_PROCESS=no\nSIZE=3\n"}
    directory = write_project(tmp_path / "mine", files, env=env)

    load_project(directory)

    assert sys.modules["mine__agent"].FOUND == ["sweet", "yes", "3"]  # set before the code was imported


def test_keys_without_effect_are_named(tmp_path: Path) -> None:
    ignored: dict[str, Any] = {"auth": {"path": "./auth.py:auth"}, "http": {}, "python_version": "3.99", "wishes": 1}
    unnoticed: dict[str, Any] = {"$schema": "https://langgra.ph/schema.json"}
    directory = write_project(tmp_path / "mine", **ignored, **unnoticed)

    assert load_project(directory).notes.keys() == {*ignored}


def test_what_is_replaced_is_said(tmp_path: Path) -> None:
    source = GRAPH.replace(".compile()", ".compile(checkpointer=InMemorySaver(), interrupt_before=['shout'])")
    directory = write_project(
        tmp_path / "mine", {"agent.py": f"from langgraph.checkpoint.memory import InMemorySaver\n{source}"}
    )

    notes = load_project(directory).notes

    assert notes.keys() == {"workflow agent: checkpointer", "workflow agent: breakpoints"}
    assert "InMemorySaver is replaced" in notes["workflow agent: checkpointer"]


def test_a_package_that_is_missing_is_named_with_its_command(tmp_path: Path) -> None:
    directory = write_project(
        tmp_path / "mine", dependencies=[".", "pydantic", "git+https://host/x.git", "no-such-package>=2"]
    )

    note = load_project(directory).notes["dependencies"]

    assert note.startswith("not installed here: no-such-package>=2; install: ")
    assert note.endswith(" 'no-such-package>=2'")


# --- mistakes -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "said", "line"),
    [
        ("x = 1\nimport no_such_module\n", "ModuleNotFoundError: No module named 'no_such_module'", "agent.py:2"),
        ("def broken(:\n", "SyntaxError", "agent.py:1"),
        (
            "def key():\n    raise RuntimeError('OPENAI_API_KEY is not set')\nkey()",
            "RuntimeError: OPENAI_",
            "agent.py:2",
        ),
        ("import sys\nsys.exit('bye')", "SystemExit: bye", "agent.py:2"),
        (
            GRAPH.replace('"shout", END', '"shot", END'),
            "ValueError: Found edge starting at unknown node",
            "agent.py:15",
        ),
    ],
    ids=["missing module", "syntax", "missing key", "exit", "does not compile"],
)
def test_an_error_of_the_authors_code_shows_their_own_lines(tmp_path: Path, source: str, said: str, line: str) -> None:
    error = refused(write_project(tmp_path / "mine", {"agent.py": source}))
    pointers = [item["pointer"] for item in error.facts["errors"]]  # type: ignore[attr-defined]

    assert said in error.message
    assert error.message.startswith("workflow 'agent': ./agent.py cannot be imported: ")
    assert pointers[-1] == line
    assert all(pointer.startswith("agent.py:") for pointer in pointers)


def test_the_line_itself_is_shown_without_its_secrets(tmp_path: Path) -> None:
    source = "def ask(api_key): raise ValueError(api_key)\nask(api_key='sk-1234567890abcdefghij')"

    error = refused(write_project(tmp_path / "mine", {"agent.py": source}))

    assert "sk-1234567890" not in f"{error.message} {error.facts}"
    assert "ask(api_key=" in str(error.facts)


def test_a_secret_of_its_variables_is_never_shown(tmp_path: Path) -> None:
    source = "import os\nraise ValueError(f\"{os.environ['MY_TOKEN']} for {os.environ['PLACE']}\")"
    directory = write_project(tmp_path / "mine", {"agent.py": source}, env={"MY_TOKEN": "quiet-1", "PLACE": "here"})

    assert refused(directory).message.endswith("ValueError: *** for here")


@pytest.mark.parametrize(
    ("dependencies", "files", "command"),
    [
        ([".", "no_such_module==1.2"], {}, "install no_such_module==1.2"),
        (["."], {"requirements.txt": ""}, "requirements.txt"),
        (["."], {"pyproject.toml": ""}, "install -e "),
        (["."], {}, " no-such-module"),
    ],
    ids=["named", "requirements", "package", "guessed"],
)
def test_a_missing_module_comes_with_the_command_that_installs_it(
    tmp_path: Path, dependencies: list[str], files: dict[str, str], command: str
) -> None:
    files = {"agent.py": "import no_such_module.part", **files}

    error = refused(write_project(tmp_path / "mine", files, dependencies=dependencies))

    assert error.hint is not None
    assert command in error.hint.replace("'", "")


@pytest.mark.parametrize("source", ["import os\nos.environ['SERVICE_KEY']", "raise ValueError('set SERVICE_KEY')"])
def test_a_missing_key_is_named(tmp_path: Path, source: str) -> None:
    assert "set SERVICE_KEY" in str(refused(write_project(tmp_path / "mine", {"agent.py": source})).hint)


def test_a_builder_that_does_not_compile_is_refused(tmp_path: Path) -> None:
    source = GRAPH.replace("graph = builder.compile()", "").replace('START, "shout"', 'START, "shot"')

    error = refused(write_project(tmp_path / "mine", {"agent.py": source}, graphs={"agent": "./agent.py:builder"}))

    assert "workflow 'agent' does not compile: ValueError" in error.message


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("./agent.py:grph", "./agent.py has no 'grph'"),
        ("./agent.py:State", "is the class State, not a graph"),
        ("./agent.py:START", "is a str, not a graph"),
        ("./agent.py:opened", "a factory that is a context manager is not served"),
        ("./agent.py:greet", "its factory needs (name, greeting)"),
        ("./nothing.py:graph", "there is no file './nothing.py'"),
        ("nothing_here:graph", "No module named 'nothing_here'"),
        ("../agent.py:graph", "'../agent.py' is outside the project"),
        ("./agent.ts:graph", "'./agent.ts' is not a Python file"),
        ("agent", "'agent' is neither ./file.py:variable nor package.module:variable"),
    ],
)
def test_what_is_no_graph_is_refused(tmp_path: Path, target: str, said: str) -> None:
    source = f"{GRAPH}\ndef greet(name, greeting): ...\n" + dedent(
        """
        from contextlib import asynccontextmanager

        @asynccontextmanager
        async def opened():
            yield graph
        """
    )
    files = {"agent.py": source, "agent.ts": ""}

    error = refused(write_project(tmp_path / "mine", files, graphs={"agent": target}))

    assert said in error.message or said in str(error.hint), (error.message, error.hint)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TWICE, "has the name 'agent' twice"),
        ("{", "is not JSON"),
        ("{}", 'has no "graphs"'),
        ('{"graphs": {"agent": 3}}', "graphs.agent"),
        ('{"graphs": {"agent": "./agent.py:graph"}, "dependencies": ["./no_folder"]}', "no folder './no_folder'"),
        ('{"graphs": {"agent": "./agent.py:graph"}, "env": {"KEY": ["secret"]}}', "env"),
    ],
)
def test_a_mistake_in_langgraph_json_is_named(tmp_path: Path, text: str, said: str) -> None:
    directory = write_project(tmp_path / "mine")
    (directory / "langgraph.json").write_text(text)

    error = refused(directory)

    assert said in error.message
    assert "secret" not in f"{error.message} {error.facts}"


def test_a_project_without_its_file_of_variables_loads_and_says_from_what_to_make_it(tmp_path: Path) -> None:
    directory = write_project(tmp_path / "mine", {"agent.py": GRAPH, ".env.example": ""}, env=".env")

    loaded = load_project(directory)

    assert loaded.notes["env"] == "there is no file '.env'; make it: cp .env.example .env"


def test_code_that_does_not_come_to_its_end_is_shown_where_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = threading.Event()
    monkeypatch.setitem(sys.modules, "outside", SimpleNamespace(wait=opened.wait))
    source = "import outside\ndef connect():\n    outside.wait()\nconnect()\n"
    directory = write_project(tmp_path / "mine", {"agent.py": source})

    with pytest.raises(BadProject, match=r"not been imported after 0\.2 s") as found:
        load_project_within(0.2, directory)
    opened.set()

    assert found.value.facts["errors"] == [
        {"pointer": "agent.py:4", "detail": "connect()"},
        {"pointer": "agent.py:3", "detail": "outside.wait()"},
    ]
    assert "PROJECT_LOAD_SECONDS" in str(found.value.hint)


def test_with_a_limit_a_project_loads_as_without(tmp_path: Path) -> None:
    broken = write_project(tmp_path / "broken", {"agent.py": "raise ValueError('odd')"})

    assert set(load_project_within(60, write_project(tmp_path / "mine")).workflows) == {"agent"}
    with pytest.raises(BadProject, match="ValueError: odd"):
        load_project_within(60, broken)


# --- shadowgraph.toml -----------------------------------------------------------------------------------------------------------


def with_options(tmp_path: Path, text: str) -> Path:
    return write_project(tmp_path / "mine", {"agent.py": GRAPH, "prompts/coder.md": "", "shadowgraph.toml": text})


def test_options_reach_the_workflow_and_the_agents(tmp_path: Path) -> None:
    text = """
        [agents.coder]
        model = "groq:openai/gpt-oss-120b"
        temperature = 0.2
        max_tokens = 100
        prompt = "prompts/coder.md"
        tools = ["web_search"]

        [workflow.agent]
        description = "Shouts."
        timeout_s = 30
        default_budget_usd = 1.1
        scorer = "./score.py:score"
        """

    project = load_project(with_options(tmp_path, text))

    workflow = project.workflows["agent"]
    coder = AgentSettings("groq:openai/gpt-oss-120b", 0.2, 100, "prompts/coder.md", ("web_search",))
    assert project.agents == {"coder": coder}
    assert (workflow.description, workflow.timeout_seconds) == ("Shouts.", 30)
    assert workflow.default_budget_usd == Decimal("1.1"), "as it is written, not the binary number next to it"
    assert {about: what.split(":")[0] for about, what in project.notes.items()} == {
        "workflow.agent.scorer": "not served yet",
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("agents = [", "is not TOML"),
        ("name = 'tr ip'", "name: String should match pattern"),
        ("[agent.coder]\nmodel = 'default'", "agent: Extra inputs are not permitted"),
        ("[agents.coder]\nmodle = 'default'", "agents.coder.modle: Extra inputs are not permitted"),
        ("[agents.coder]\ntemperature = 'hot'", "agents.coder.temperature"),
        ("[agents.coder]\nmodel = 'gpt-4o'", "agents.coder.model"),
        ("[agents.coder]\nprompt = 'prompts/no.md'", "there is no file 'prompts/no.md'"),
        ("[agents.coder]\nprompt = '../no.md'", "agents.coder.prompt"),
        ("[workflow.agnt]\ntimeout_s = 3", "there is no workflow 'agnt'"),
        ("[workflow.agent]\ntimeout_s = 0", "workflow.agent.timeout_s"),
    ],
)
def test_a_mistake_in_the_options_is_named(tmp_path: Path, text: str, said: str) -> None:
    assert said in refused(with_options(tmp_path, text)).message
