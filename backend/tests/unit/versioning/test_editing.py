from typing import Any

import pytest

from shadowgraph.core.agent_settings import AgentSettings
from shadowgraph.versioning.editing import Edit, edit_snapshot, unknown_variables
from shadowgraph.versioning.errors import InvalidSnapshot, SecretInSnapshot
from shadowgraph.versioning.snapshot import Snapshot
from tests.support.snapshots import DRAW, make_snapshot

BASE = make_snapshot()


def edit(files: dict[str, str | None] | None = None, *, base: Snapshot = BASE, **fields: Any) -> Snapshot:
    return edit_snapshot(base, Edit(files or {}, **fields), registered={"draw": DRAW})


def test_an_edited_prompt_gives_what_a_deployed_folder_with_it_gives() -> None:
    changed = {"prompts/write.md": "You write briefly.\n"}

    assert edit({"prompts/write.md": "You write briefly.\r\n"}) == make_snapshot(changed)


def test_edited_parameters_give_what_a_deployed_folder_with_them_gives() -> None:
    agents = {"write": AgentSettings(temperature=0.3, tools=("draw",))}

    assert edit(agents=agents) == make_snapshot(agents=agents)
    assert edit(agents={}, base=make_snapshot(agents=agents)) == make_snapshot()


def test_prompts_come_and_go() -> None:
    assert edit({"prompts/new.md": "New.\n"}) == make_snapshot({"prompts/new.md": "New.\n"})
    assert edit({"prompts/write.md": None}) == make_snapshot({"prompts/write.md": None})


def test_an_edit_of_nothing_is_the_base() -> None:
    assert edit() == BASE


@pytest.mark.parametrize(
    "path", ["graph.py", "README.md", "requirements.txt", "langgraph.json", "shadowgraph.toml", "prompts/x.py", "x.md"]
)
def test_what_is_not_data_cannot_be_edited(path: str) -> None:
    with pytest.raises(InvalidSnapshot) as raised:
        edit({path: "x = 1\n"})

    assert [error["pointer"] for error in raised.value.facts["errors"]] == [path]  # type: ignore[attr-defined]


def test_a_file_that_parameters_name_as_a_prompt_can_be_edited() -> None:
    agents = {"write": AgentSettings(prompt="texts/write.txt")}
    base = make_snapshot({"texts/write.txt": "Old.\n"}, agents=agents)

    edited = edit({"texts/write.txt": "New.\n"}, base=base)

    assert edited.bodies["texts/write.txt"] == b"New.\n"


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_texts_that_cannot_be_stored_are_refused(text: str) -> None:
    with pytest.raises(InvalidSnapshot):
        edit({"prompts/write.md": text})


def test_a_secret_in_an_edit_is_refused() -> None:
    with pytest.raises(SecretInSnapshot):
        edit({"prompts/write.md": "gsk_" + "aB1" * 10})


@pytest.mark.parametrize(
    ("agents", "said"),
    [
        ({"write": AgentSettings(tools=("fly",))}, "there is no tool 'fly'"),
        ({"write": AgentSettings(prompt="prompts/none.md")}, "there is no prompt 'prompts/none.md'"),
    ],
)
def test_parameters_that_name_what_is_not_there_are_refused(agents: dict[str, AgentSettings], said: str) -> None:
    with pytest.raises(InvalidSnapshot, match=said):
        edit(agents=agents)


# --- variables ------------------------------------------------------------------------------------------------------------------


def test_a_variable_that_the_code_does_not_fill_in_is_found_with_its_line() -> None:
    edited = edit({"prompts/plan.md": "Plan ${task}.\nFor ${who}.\n"})

    assert list(unknown_variables(edited, [BASE.manifest])) == [
        {"pointer": "prompts/plan.md:2", "detail": "there is no variable 'who'; it has task"}
    ]


def test_variables_of_any_version_with_this_code_are_known() -> None:
    shorter = edit({"prompts/plan.md": "Plan.\n"})
    again = edit({"prompts/plan.md": "Plan ${task} again.\n"}, base=shorter)

    assert list(unknown_variables(shorter, [BASE.manifest])) == []
    assert list(unknown_variables(again, [shorter.manifest, BASE.manifest])) == []
    assert list(unknown_variables(again, [shorter.manifest])) != []


def test_a_prompt_that_is_new_is_not_judged() -> None:
    edited = edit({"prompts/new.md": "${anything}\n"})

    assert list(unknown_variables(edited, [BASE.manifest])) == []
    assert list(unknown_variables(edited, [])) == []
