"""Results on stdout, everything else on stderr."""

import json

import pytest

from shadowgraph.cli.output import Output, pick

PROBLEM = {
    "detail": "wrong \x1b[2J with gsk_canary1234567890abcdef",
    "hint": "do this",
    "errors": [{"pointer": "/a", "detail": "is odd"}],
    "request_id": "req_1",
    "code": "c",
}


def test_a_problem_is_lines_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    Output().problem(PROBLEM)

    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "error: wrong \\x1b[2J with gsk_***",
        "  /a: is odd",
        "fix: do this",
        "request id: req_1",
    ]


def test_a_problem_is_one_object_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True).problem(PROBLEM)

    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err) == {**PROBLEM, "detail": "wrong \x1b[2J with gsk_***"}


def test_notes_are_for_people_who_want_them(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True).note("a")
    Output(quiet=True).note("b")
    Output().note("c")

    assert capsys.readouterr() == ("", "c\n")


def test_a_result_goes_to_a_pipe_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    Output(quiet=True).text("line\r\n\x1b[31mred")

    assert capsys.readouterr().out == "line\r\n\x1b[31mred\n"


def test_fields_that_are_not_there_are_null() -> None:
    assert pick({"a": 1, "b": 2}, ["b", "c"]) == {"b": 2, "c": None}
    assert pick({"a": 1}, None) == {"a": 1}
