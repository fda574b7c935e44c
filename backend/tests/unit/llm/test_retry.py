from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowgraph.llm.errors import (
    AnswerRefused,
    BadRequest,
    BrokenStream,
    ContextTooLong,
    ModelGone,
    Overloaded,
    ProviderError,
    RateLimited,
    Retry,
    TimedOut,
    ToolUseFailed,
    Unreachable,
)
from shadowgraph.llm.retry import BASE_SECONDS, MAX_WAIT_SECONDS, Backoff


@pytest.mark.parametrize(
    "kind", [Overloaded, TimedOut, BrokenStream, Unreachable, RateLimited, ToolUseFailed, AnswerRefused]
)
def test_what_may_pass_is_tried_again(kind: type[ProviderError]) -> None:
    assert Backoff(Random(1)).is_worth_it(kind("trouble"))


@pytest.mark.parametrize("kind", [BadRequest, ContextTooLong, ModelGone])
def test_what_will_not_pass_is_not_tried_again(kind: type[ProviderError]) -> None:
    assert not Backoff(Random(1)).is_worth_it(kind("trouble"))


def test_errors_of_our_own_are_not_tried_again() -> None:
    assert not Backoff(Random(1)).is_worth_it(KeyError("ours"))


def test_a_second_chance_is_given_once() -> None:
    error = AnswerRefused("again wrong")
    error.retry = Retry.NEVER

    assert not Backoff(Random(1)).is_worth_it(error)


@pytest.mark.parametrize(
    ("retry_after", "is_worth_it"), [(MAX_WAIT_SECONDS, True), (MAX_WAIT_SECONDS + 0.1, False), (None, True)]
)
def test_only_short_limits_are_waited_out(retry_after: float | None, is_worth_it: bool) -> None:
    assert Backoff(Random(1)).is_worth_it(RateLimited("slow down", retry_after=retry_after)) is is_worth_it


@given(attempt=st.integers(1, 50), seed=st.integers())
def test_the_wait_is_anywhere_between_zero_and_its_bound(attempt: int, seed: int) -> None:
    seconds = Backoff(Random(seed)).seconds(Overloaded("down"), attempt=attempt)

    assert 0 <= seconds <= min(MAX_WAIT_SECONDS, BASE_SECONDS * 2 ** (attempt - 1))


@given(retry_after=st.floats(0, MAX_WAIT_SECONDS), seed=st.integers())
def test_nobody_comes_back_before_the_provider_allows_it(retry_after: float, seed: int) -> None:
    seconds = Backoff(Random(seed)).seconds(RateLimited("slow down", retry_after=retry_after), attempt=1)

    assert retry_after <= seconds <= retry_after * 1.1 + 0.1


def test_waits_differ_between_callers() -> None:
    waits = {Backoff(Random(seed)).seconds(Overloaded("down"), attempt=4) for seed in range(20)}

    assert len(waits) == 20
