"""Which part of a run is its result."""

import json
from typing import Any

import pytest

from shadowgraph.cli.results import output_of, result_text, run_problem


@pytest.mark.parametrize(
    "result",
    [
        "the text",
        {"answer": "the text", "files": []},
        {"output": {"answer": "the text"}},
        {"output": {"n": 1}, "text": "the text"},
        {"messages": [{"content": "question"}, {"content": "the text"}]},
        {"output": {"messages": [{"content": "the text"}]}},
    ],
)
def test_an_answer_or_last_message_is_read_as_text(result: Any) -> None:
    assert result_text({"result": result}) == "the text"


@pytest.mark.parametrize(
    "result", [{"n": 1}, [1, 2], 3, None, {"messages": []}, {"messages": [{"content": [1]}]}, {"answer": 1}]
)
def test_any_other_result_is_read_as_json(result: Any) -> None:
    assert json.loads(result_text({"result": result})) == result


def test_the_output_state_is_found_in_either_form() -> None:
    assert output_of({"result": {"output": {"n": 1}, "text": "x"}}) == {"n": 1}
    assert output_of({"result": {"n": 1}}) == {"n": 1}
    assert output_of({"result": None}) == {}
    assert output_of({"result": {"output": [1]}}) == {}


def test_a_failure_names_step_and_cause() -> None:
    run = {"status": "FAILED", "error": {"code": "c", "detail": "no model", "step": "coder"}}

    assert run_problem(run)["detail"] == "the run FAILED in coder: no model"


def test_a_run_that_waits_names_its_reason() -> None:
    run = {"status": "PAUSED", "reason": "by hand", "error": None}

    assert run_problem(run)["detail"] == "the run is PAUSED (by hand)"
