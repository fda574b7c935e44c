import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowgraph.core.clock import ManualClock
from shadowgraph.core.settings import RATE_PATTERN
from shadowgraph.reliability.limits import (
    MAX_PAUSE_SECONDS,
    Allowance,
    Rate,
    Reported,
    parse_duration,
    parse_rate,
    read_allowances,
    share_of,
)

KEY = ("groq", "openai/gpt-oss-120b")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("7.66s", 7.66),
        ("2m59.56s", 179.56),
        ("120ms", 0.12),
        ("1h0m0s", 3600.0),
        ("1d", 86_400.0),
        ("12", 12.0),
        ("0s", 0.0),
        ("", None),
        (None, None),
        ("soon", None),
        ("-3s", None),
        ("s", None),
        ("2024-01-01T00:00:00Z", None),
    ],
)
def test_durations_are_read_as_providers_write_them(text: str | None, seconds: float | None) -> None:
    assert parse_duration(text) == (None if seconds is None else pytest.approx(seconds))


def test_what_is_not_said_or_not_understood_is_no_limit() -> None:
    headers = {
        "x-ratelimit-remaining-requests": "3",
        "x-ratelimit-reset-requests": "1m",
        "x-ratelimit-remaining-tokens": "many",
        "x-ratelimit-reset-tokens": "1s",
    }

    assert read_allowances(headers) == {"requests": Allowance(3, 60.0)}
    assert read_allowances({}) == {}


def test_a_reset_far_away_is_not_believed() -> None:
    headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "30d"}

    assert read_allowances(headers)["requests"].reset_seconds == MAX_PAUSE_SECONDS


def test_requests_are_counted_down_until_the_limit_is_renewed() -> None:
    clock = ManualClock()
    reported = Reported(clock)
    reported.hear(KEY, {"x-ratelimit-remaining-requests": "2", "x-ratelimit-reset-requests": "10s"})

    taken = [reported.take(KEY, tokens=5) for _ in range(3)]
    clock.advance(10)

    assert taken == [0.0, 0.0, 10.0]
    assert reported.take(KEY, tokens=5) == 0.0


def test_a_request_waits_for_the_tokens_that_it_needs() -> None:
    clock = ManualClock()
    reported = Reported(clock)
    reported.hear(KEY, {"x-ratelimit-remaining-tokens": "100", "x-ratelimit-reset-tokens": "4s"})

    assert reported.take(KEY, tokens=500) == 4.0
    assert reported.take(KEY, tokens=60) == 0.0
    assert reported.take(KEY, tokens=60) == 4.0
    assert reported.take(("groq", "another"), tokens=500) == 0.0


def test_a_provider_that_said_when_to_come_back_is_left_alone_until_then() -> None:
    clock = ManualClock()
    reported = Reported(clock)
    reported.pause(KEY, 120)
    clock.advance(100)

    assert reported.take(KEY, tokens=1) == 20.0


@pytest.mark.parametrize(
    ("text", "rate"),
    [("30/minute", Rate(30, 60)), ("30", Rate(30, 60)), ("1/second", Rate(1, 1)), ("14400/day", Rate(14_400, 86_400))],
)
def test_rates_are_read_as_people_write_them(text: str, rate: Rate) -> None:
    assert parse_rate(text) == rate
    assert re.search(RATE_PATTERN, text), "what settings and requests may say"


@pytest.mark.parametrize("text", ["", "often", "0/minute", "-1/minute", "30/week", "1.5/minute", "30 / minute"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no rate"):
        parse_rate(text)
    assert not re.search(RATE_PATTERN, text)


@given(amount=st.integers(1, 10_000), seconds=st.sampled_from([1, 60, 3_600, 86_400]), processes=st.integers(1, 200))
def test_the_shares_of_all_processes_are_never_more_than_the_whole(amount: int, seconds: int, processes: int) -> None:
    share = share_of(Rate(amount, seconds), processes=processes)

    assert share.amount >= 1
    assert share.amount * processes * seconds <= amount * share.seconds
