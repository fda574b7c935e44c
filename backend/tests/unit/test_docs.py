"""What the documentation says is true of the code: links, tables, error codes, and the code that it shows."""

import ast
import json
import re
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest

from shadowgraph.agents.state import PipelineState
from shadowgraph.api.error_docs import ERROR_DOCS
from shadowgraph.api.errors import STATUS_OF_KIND
from shadowgraph.cli import exits, lazy
from shadowgraph.cli.app import COMMANDS
from shadowgraph.core.calls import LlmRequest
from shadowgraph.core.errors import ShadowgraphError
from shadowgraph.core.json import Json, JsonObject
from shadowgraph.core.settings import Settings
from shadowgraph.engine.loading.config import UNSERVED_KEYS
from shadowgraph.engine.projects import load_project
from shadowgraph.llm.offline.knobs import NodeKnobs
from shadowgraph.llm.offline.templates.catalog import TEMPLATES
from shadowgraph.models.base import metadata
from shadowgraph.runs.states import TRANSITIONS
from shadowgraph.tools import definitions
from shadowgraph.tools.registry import ToolContext, ToolRegistry
from tests.support.pages import DOCS, ROOT, named_blocks, write_blocks
from tests.support.ports import Answer, TestPorts, ports_in_place

PACKAGE = ROOT / "backend" / "shadowgraph"
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")])

LINK = re.compile(r"!?\[[^\]]*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ (?P<title>.+)$", re.MULTILINE)
FENCE = re.compile(r"^(?P<mark>```+).*?^(?P=mark)$", re.MULTILINE | re.DOTALL)


def read(page: str) -> str:
    return (DOCS / page).read_text()


def section(page: str, heading: str) -> str:
    """The text below a heading, up to the next one of any level."""
    return re.split(r"^#+ ", read(page).split(f"{heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of a table's rows, without its head."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def first_cells(text: str) -> list[str]:
    return [row[0].strip("`") for row in rows(text)]


# --- pages and links ------------------------------------------------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    titles = (match["title"] for match in HEADING.finditer(FENCE.sub("", page.read_text())))
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def broken_links(page: Path) -> Iterator[str]:
    for match in LINK.finditer(FENCE.sub("", page.read_text())):
        path, _, anchor = match["target"].partition("#")
        if "://" in match["target"]:
            continue
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield match["target"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


def test_every_page_is_in_the_index() -> None:
    index = (DOCS / "README.md").read_text()
    pages = {path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md")} - {"README.md"}

    assert {page for page in pages if f"({page})" not in index} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_the_package_that_a_page_names_exist(page: Path) -> None:
    folders = "|".join(path.name for path in PACKAGE.iterdir() if path.is_dir())
    named = set(re.findall(rf"`((?:{folders})/[\w/]+\.(?:py|md|sql))", page.read_text()))
    written = set(re.findall(r"`agents/nodes/reviewer\.py", page.read_text()))  # what the page tells to write

    assert {name for name in named if not (PACKAGE / name).exists()} == {name.strip("`") for name in written}


# --- tables against the code ----------------------------------------------------------------------------------------------------


def test_layers_are_those_of_the_import_contract() -> None:
    config = tomllib.loads((ROOT / "backend" / "pyproject.toml").read_text())
    contract = next(item for item in config["tool"]["importlinter"]["contracts"] if item["id"] == "layers")

    shown = read("ARCHITECTURE.md").split("```layers\n")[1].split("```")[0].split("\n")

    assert [line for line in shown if line] == contract["layers"]


def test_states_lead_where_the_code_lets_them() -> None:
    table = rows(section("ARCHITECTURE.md", "## States"))

    shown = {(row[0].strip("`"), after) for row in table for after in re.findall(r"`(\w+)`", row[1])}

    assert shown == {(str(before), str(after)) for before, after in TRANSITIONS}


def test_tables_are_those_of_the_schema() -> None:
    for path in (PACKAGE / "models").glob("*.py"):
        import_module(f"shadowgraph.models.{path.stem}")

    assert set(first_cells(section("ARCHITECTURE.md", "## Tables"))) == set(metadata.tables)


def test_every_setting_is_described_with_its_default() -> None:
    table = rows(read("CONFIGURATION.md").split("## Outside")[0])
    fields = {name.upper(): field for name, field in Settings.model_fields.items() if name != "home"}

    shown = {row[0].strip("`"): row[1].strip("`") for row in table}

    assert shown == {name: _shown_default(field.default) for name, field in fields.items()}


def _shown_default(default: Any) -> str:
    return default.get_secret_value() if hasattr(default, "get_secret_value") else str(default)


def test_knobs_and_templates_of_the_offline_model_are_listed() -> None:
    page = "OFFLINE_MODEL.md"

    assert first_cells(section(page, "## Knobs")) == list(NodeKnobs.__dataclass_fields__)
    assert first_cells(section(page, "## What it can do")) == [template.name for template in TEMPLATES]


def leaf_commands(command: click.Command, name: str) -> Iterator[tuple[str, click.Command]]:
    found = getattr(command, "commands", None)
    if found is None:
        yield name, command
        return
    for child in found.values():
        yield from leaf_commands(child, f"{name} {child.name}")


def test_every_command_is_listed_with_options_that_it_has() -> None:
    commands = dict(leaf for name in COMMANDS for leaf in leaf_commands(lazy.load_command(name), name))
    table = rows(read("CLI.md"))

    shown = {re.sub(r" [A-Z\[].*", "", row[0].strip("`")): row[1] for row in table}

    assert set(shown) == set(commands)
    for name, text in shown.items():
        options = {option for parameter in commands[name].params for option in parameter.opts}
        assert set(re.findall(r"`(--[\w-]+)", text)) <= options, name


def test_keys_of_langgraph_json_are_those_of_the_loader() -> None:
    table = rows(section("MOVING_HERE.md", "## langgraph.json"))

    shown = {key for row in table for key in re.findall(r"`(\w+)`", row[0])}

    assert shown == {"graphs", "dependencies", "env", "python_version", *UNSERVED_KEYS}


def test_endpoints_that_take_the_place_of_others_exist() -> None:
    table = rows(section("MOVING_HERE.md", "## Endpoints"))
    paths = json.loads((ROOT / "backend" / "openapi.json").read_text())["paths"]
    served = {(method.upper(), path.removeprefix("/api/v1")) for path, methods in paths.items() for method in methods}

    shown = {found for row in table for found in re.findall(r"`(GET|POST|DELETE) (/[\w/{}]+)", row[1])}

    assert len(shown) > 10
    assert shown - served == set()


def test_exit_codes_are_those_of_the_command_line() -> None:
    table = rows(section("ERROR_HANDLING.md", "## Exit codes of the command line"))

    assert [(int(number), meaning.replace("`", "")) for number, meaning in table] == [
        (code.value, meaning) for code, meaning in exits.MEANINGS.items()
    ]


# --- errors ---------------------------------------------------------------------------------------------------------------------


def families() -> dict[str, type[ShadowgraphError]]:
    return {family.__name__: family for family in ShadowgraphError.__subclasses__()}


def test_families_of_errors_have_the_status_and_exit_code_that_the_page_says() -> None:
    table = rows(section("ERROR_HANDLING.md", "## The tree"))

    shown = {row[0].strip("`"): (row[1].strip("`"), int(row[3]), int(row[4])) for row in table}

    assert shown == {
        name: (family.code, STATUS_OF_KIND[family.kind], exits.exit_of_kind(family.kind).value)
        for name, family in families().items()
    }


def codes_in_the_source() -> set[str]:
    """Class attributes `code = "…"`, arguments `code="…"`, and `"code": "…"` of error objects."""
    return {
        code
        for path in PACKAGE.rglob("*.py")
        if path.name != "offline_server.py"  # speaks the provider's language of errors
        for node in ast.walk(ast.parse(path.read_text()))
        for code in _codes_of(node)
    }


def _codes_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.ClassDef):
        assigned = [(item.targets[0], item.value) for item in node.body if isinstance(item, ast.Assign)]
        yield from (text for target, value in assigned if _is_code(target) and (text := _text(value)))
    elif isinstance(node, ast.Call):
        yield from (text for word in node.keywords if word.arg == "code" and (text := _text(word.value)))
    elif isinstance(node, ast.Dict):
        yield from (
            text
            for key, value in zip(node.keys, node.values, strict=True)
            if key is not None and _text(key) == "code" and (text := _text(value))
        )


def _is_code(target: ast.expr) -> bool:
    return isinstance(target, ast.Name) and target.id == "code"


def _text(value: ast.expr) -> str | None:
    return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None


def test_every_error_code_is_explained_in_exactly_one_place() -> None:
    outside_http = set(first_cells(section("ERROR_HANDLING.md", "## Codes outside HTTP")))
    raised = codes_in_the_source() - {family.code for family in families().values()}

    assert raised - outside_http - set(ERROR_DOCS) == set()
    assert outside_http & set(ERROR_DOCS) == set()
    assert outside_http - raised == set()


# --- the code that the pages show -----------------------------------------------------------------------------------------------


def no_model(request: LlmRequest) -> Answer:
    raise AssertionError("this code asks no model")


async def test_a_tool_of_ones_own_runs_as_shown() -> None:
    scope: dict[str, Any] = {}
    exec(named_blocks("ADDING_A_TOOL.md")["own_tool.py"], scope)

    with ports_in_place(TestPorts(no_model, registry=ToolRegistry(), project_dir=Path())) as ports:
        result = await scope["count_words"].ainvoke({"text": "one two three"})

    assert result == {"words": 3}
    assert ports.journal.events == ["find", "start count_words", "finish count_words"]


async def test_a_registered_tool_runs_as_shown() -> None:
    scope: dict[str, Any] = {**vars(definitions), "Json": Json, "JsonObject": JsonObject, "ToolContext": ToolContext}
    exec(named_blocks("ADDING_A_TOOL.md")["definitions.py"], scope)
    registry = ToolRegistry([scope["_count_words"]()])

    result = await registry.require("count_words").run({"text": "one two three"}, ToolContext("coder", "run:key"))

    assert result == {"words": 3}


async def test_a_node_works_as_shown(tmp_path: Path) -> None:
    project = write_blocks(tmp_path, named_blocks("ADDING_A_NODE.md"))
    scope: dict[str, Any] = {}
    exec((project / "nodes" / "reviewer.py").read_text(), scope)
    ports = TestPorts(lambda _: {"verdict": "They do."}, registry=ToolRegistry(), project_dir=project)
    state: PipelineState = {"query": "Build f", "files": []}

    with ports_in_place(ports):
        left = await scope["reviewer"](state)

    assert left == {"review": "They do."}
    assert "<request>Build f</request>" in ports.models.asked("reviewer")[0]


def test_the_new_edges_replace_one_that_the_pipeline_has() -> None:
    source = (PACKAGE / "agents" / "graph.py").read_text()

    assert 'builder.add_edge("coder", "finalizer")' in source


async def test_a_project_loads_and_runs_as_shown(tmp_path: Path) -> None:
    project = write_blocks(tmp_path / "greeter", named_blocks("ADDING_A_NODE.md", "## A graph of its own"))
    loaded = load_project(project)
    ports = TestPorts(lambda _: "Hello, Ada.", registry=ToolRegistry(), project_dir=project)

    with ports_in_place(ports):
        result = await loaded.workflows["greeter"].graph.ainvoke({"name": "Ada"})

    assert loaded.workflows["greeter"].description == "Greets somebody."
    assert result == {"name": "Ada", "greeting": "Hello, Ada."}
    assert ports.models.asked("greet") == ["Greet Ada in one sentence.\n"]
