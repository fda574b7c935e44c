"""Which record a call takes over that is made again after a crash."""

import itertools

import pytest

from shadowgraph.core.calls import CallId, Place, ToolRecord
from shadowgraph.engine.journal import StepMemory

PLACE = Place("", "n", 1, "")
LINE = f"0/{PLACE.step_key}"


def call(index: int, *, request: str = "x", line: str = LINE, attempt: int = 1) -> CallId:
    return CallId(f"{line}/{index}", request, Place("", "n", 1, "", attempt))


def memory(*indexes: int) -> StepMemory[ToolRecord]:
    """Records of the same request, at these places of the line."""
    found: StepMemory[ToolRecord] = StepMemory()
    records = {f"{LINE}/{index}": ToolRecord(f"{LINE}/{index}", "in_doubt") for index in indexes}
    found.put(PLACE.step_key, {"x": records})
    return found


def test_a_call_without_a_record_stands_under_its_own_key() -> None:
    assert memory().take(call(3)) == (f"{LINE}/3", None)


def test_a_call_finds_its_record_at_another_place_of_its_line() -> None:
    key, found = memory(0).take(call(2))

    assert key == f"{LINE}/0"
    assert found is not None
    assert found.key == key


def test_other_requests_and_other_lines_have_records_of_their_own() -> None:
    assert memory(0).take(call(0, request="y")) == (f"{LINE}/0", None)
    assert memory(0).take(call(0, line=f"{LINE}~c1")) == (f"{LINE}~c1/0", None)


def test_an_answered_record_comes_before_one_that_was_only_begun() -> None:
    found = memory(0, 1)
    found.remember(CallId(f"{LINE}/1", "x", PLACE), ToolRecord(f"{LINE}/1", "done", b"1"))

    assert [found.take(call(index))[0] for index in (7, 8)] == [f"{LINE}/1", f"{LINE}/0"]


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
@pytest.mark.parametrize("recorded", [(), (0,), (1,), (2,), (0, 2), (1, 5), (0, 1, 2)])
def test_calls_that_ask_the_same_never_stand_under_one_key(order: tuple[int, ...], recorded: tuple[int, ...]) -> None:
    """Or the end of one would be taken for the end of the other."""
    found = memory(*recorded)

    taken = [found.take(call(index)) for index in order]

    keys = [key for key, _ in taken]
    assert len(set(keys)) == 3
    assert {record.key for _, record in taken if record} == {f"{LINE}/{index}" for index in recorded}
    assert all(record.key == key for key, record in taken if record)


def test_another_attempt_of_the_step_finds_all_records_again() -> None:
    found = memory(0)

    assert [found.take(call(0, attempt=attempt))[1] is None for attempt in (1, 2)] == [False, False]
