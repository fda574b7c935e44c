"""Exit codes: users script against them, so they are pinned here."""

import pytest

from shadowgraph.cli.exits import AT_REST, EPILOG, MEANINGS, ExitCode, exit_of_http, exit_of_kind, exit_of_run
from shadowgraph.runs.states import ENDED, WAITS_FOR_A_PERSON, Status


def test_every_code_has_its_number() -> None:
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "UNEXPECTED": 1,
        "USAGE": 2,
        "UNAVAILABLE": 3,
        "AUTH": 4,
        "NOT_FOUND": 5,
        "CONFLICT": 6,
        "RUN_FAILED": 10,
        "RUN_CANCELLED": 11,
        "BUDGET_EXCEEDED": 12,
        "NEEDS_PERSON": 13,
        "TIMED_OUT": 124,
        "INTERRUPTED": 130,
    }


def test_the_help_page_explains_every_code() -> None:
    assert set(MEANINGS) == set(ExitCode)
    assert [line.split()[0] for line in EPILOG.splitlines()[2:]] == [str(code.value) for code in ExitCode]


def test_a_run_rests_in_the_states_in_which_nothing_goes_on_by_itself() -> None:
    assert set(AT_REST) == ENDED | WAITS_FOR_A_PERSON


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (Status.COMPLETED, 0),
        (Status.FAILED, 10),
        (Status.CANCELLED, 11),
        (Status.BUDGET_EXCEEDED, 12),
        (Status.AWAITING_HUMAN, 13),
        (Status.PAUSED, 13),
    ],
)
def test_a_run_ends_the_command_with_the_code_of_its_state(status: Status, code: int) -> None:
    assert exit_of_run(status) == code


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, 2),
        (401, 4),
        (403, 4),
        (404, 5),
        (405, 2),
        (409, 6),
        (413, 2),
        (422, 2),
        (429, 3),
        (500, 1),
        (502, 3),
        (503, 3),
    ],
)
def test_a_refused_request_ends_the_command_with_the_code_of_its_status(status: int, code: int) -> None:
    assert exit_of_http(status) == code


def test_our_own_errors_end_the_command_by_their_kind() -> None:
    assert (exit_of_kind("unavailable"), exit_of_kind("not_found"), exit_of_kind("internal")) == (3, 5, 1)
