from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from shadowgraph.core.ids import RunId
from shadowgraph.runs.comparing import compare_files, compare_steps, compare_values, find_lineage
from shadowgraph.runs.repository import Artifact, Step
from shadowgraph.runs.run import FIELDS, Run

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def make_run(name: str, *, thread: str | None = None) -> Run:
    return Run(**{**dict.fromkeys(FIELDS), "id": RunId(name), "thread_id": thread or name})  # type: ignore[arg-type]  # only these two are looked at


def make_file(path: str, content: str) -> Artifact:
    return Artifact(path, "text/plain", 1, content, None, NOW)


STEP = Step(1, "a", "", 1, "finished", NOW, NOW, "did it", "sha", None)


@pytest.mark.parametrize(
    ("run", "other", "changes"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [("a", "changed", 1, 2)]),
        ({"a": 1}, {}, [("a", "removed", 1, None)]),
        ({}, {"a": 1}, [("a", "added", None, 1)]),
        ({"a": None}, {}, [("a", "removed", None, None)]),
        ("x", "x", []),
        ("x", {"a": 1}, [("", "changed", "x", {"a": 1})]),
    ],
)
def test_values_are_compared_key_by_key(run: Any, other: Any, changes: list[Any]) -> None:
    found = compare_values(run, other)

    assert [(item.key, item.change, item.run, item.other) for item in found] == changes


def test_files_are_compared_by_content() -> None:
    before = [make_file("same", "1"), make_file("gone", "2"), make_file("edited", "3")]
    after = [make_file("same", "1"), make_file("edited", "4"), make_file("new", "5")]

    found = {item.path: (item.change, item.run_sha256, item.other_sha256) for item in compare_files(before, after)}

    assert found == {"edited": ("changed", "3", "4"), "gone": ("removed", "2", None), "new": ("added", None, "5")}


def test_of_each_step_the_last_attempt_counts() -> None:
    lost = replace(STEP, status="lost", output_ref=None)

    assert compare_steps([lost, replace(STEP, attempt=2)], [STEP]) == []


def test_a_step_that_returned_something_else_is_changed() -> None:
    (found,) = compare_steps([STEP], [replace(STEP, output_ref="other", summary="did that")])

    assert (found.node, found.change, found.run_summary, found.other_summary) == ("a", "changed", "did it", "did that")


@pytest.mark.parametrize(
    ("ancestors", "others", "relation", "common"),
    [
        ([], ["run_a"], "ancestor", "run_a"),
        (["run_b"], [], "descendant", "run_b"),
        (["run_p"], ["run_q", "run_p"], "siblings", "run_p"),
        ([], [], "none", None),
    ],
)
def test_runs_are_related_by_their_forks(
    ancestors: list[str], others: list[str], relation: str, common: str | None
) -> None:
    found = find_lineage(make_run("run_a"), make_run("run_b"), ancestors, others)

    assert (found.relation, found.common_ancestor) == (relation, common)


def test_turns_of_one_conversation_are_related() -> None:
    found = find_lineage(make_run("run_a", thread="t"), make_run("run_b", thread="t"), [], [])

    assert found.relation == "thread"
