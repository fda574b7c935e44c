from collections.abc import Iterator
from pathlib import Path

import pytest

from shadowgraph import prompt
from shadowgraph.authoring.prompt import InvalidPrompt, Prompt, UnknownPrompt
from shadowgraph.core.paths import UnsafePath
from shadowgraph.tools.registry import ToolRegistry
from tests.support.ports import TestPorts, ports_in_place


@pytest.fixture(autouse=True)
def project(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "prompts").mkdir()
    with ports_in_place(TestPorts(lambda _: "ok", registry=ToolRegistry(), project_dir=tmp_path)):
        yield tmp_path


def _write(project: Path, text: str, name: str = "coder") -> Prompt:
    (project / "prompts" / f"{name}.md").write_text(text, encoding="utf-8")
    return prompt(name)


def test_a_prompt_is_filled_in(project: Path) -> None:
    coder = _write(project, "Write ${what} in ${language}. ${what}!")

    assert coder.render(what="a game", language="Python") == "Write a game in Python. a game!"
    assert coder.variables == {"what", "language"}


def test_dollars_and_braces_that_are_no_variables_stay(project: Path) -> None:
    coder = _write(project, 'Costs $5, {"json": true}, $name, ${1}, $${literal} and ${x}')

    assert coder.render(x=1) == 'Costs $5, {"json": true}, $name, ${1}, ${literal} and 1'


def test_values_are_not_filled_in_again(project: Path) -> None:
    assert _write(project, "${a} ${b}").render(a="${b}", b="x") == "${b} x"


def test_any_name_may_be_a_variable(project: Path) -> None:
    assert _write(project, "${self} ${name}").render(self="me", name="you") == "me you"


def test_a_missing_and_an_unknown_variable_are_named_with_the_file(project: Path) -> None:
    coder = _write(project, "Write ${what}.")

    with pytest.raises(InvalidPrompt) as caught:
        coder.render(wat="a game")

    assert "needs the variable 'what'" in caught.value.message
    assert "has no variable 'wat'" in caught.value.message
    assert str(project / "prompts" / "coder.md") in caught.value.message


def test_a_missing_file_is_named(project: Path) -> None:
    with pytest.raises(UnknownPrompt, match="no prompt 'writer'") as caught:
        prompt("writer")

    assert str(project / "prompts" / "writer.md") in caught.value.message


def test_a_file_that_is_no_text_is_named(project: Path) -> None:
    (project / "prompts" / "coder.md").write_bytes(b"\xff\xfe")

    with pytest.raises(InvalidPrompt, match="not UTF-8"):
        prompt("coder")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "", "a/../../b", "a\x00b"])
def test_a_prompt_outside_the_projects_folder_is_refused(name: str) -> None:
    with pytest.raises(UnsafePath):
        prompt(name)


def test_prompts_may_stand_in_folders(project: Path) -> None:
    (project / "prompts" / "team").mkdir()

    assert _write(project, "hello", "team/lead").render() == "hello"
