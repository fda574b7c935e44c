from decimal import Decimal

import pytest

from shadowgraph.core.errors import Invalid
from shadowgraph.llm.offline.knobs import Failure, Knobs, NodeKnobs, parse_knobs


def test_nothing_set_is_instant_and_never_fails() -> None:
    assert parse_knobs(None) == parse_knobs("") == parse_knobs("  ") == Knobs(NodeKnobs(), {})


def test_all_knobs_at_once() -> None:
    knobs = parse_knobs(
        "latency_ms=200&jitter_ms=50&token_ms=5&noise=0.3&seed=7&fail=429:retry_after=1&fail_rate=0.1&fail_first=2"
        "&cut_stream_after=10&price_usd_per_call=0.01"
    )

    assert knobs.for_node("coder") == NodeKnobs(
        latency_ms=200,
        jitter_ms=50,
        token_ms=5,
        noise=0.3,
        seed=7,
        fail=Failure(429, 1.0),
        fail_rate=0.1,
        fail_first=2,
        cut_stream_after=10,
        price_usd_per_call=Decimal("0.01"),
    )


def test_a_nodes_name_limits_a_knob_to_that_node() -> None:
    knobs = parse_knobs("latency_ms=10 & coder.fail=500 & team.writer.noise=1 & coder.latency_ms=20")

    assert knobs.for_node("coder") == NodeKnobs(latency_ms=20, fail=Failure(500))
    assert knobs.for_node("planner") == NodeKnobs(latency_ms=10)
    assert knobs.for_node("team.writer").noise == 1


@pytest.mark.parametrize(
    "text",
    [
        "latency=200",
        "coder.fial=500",
        "latency_ms",
        "latency_ms=",
        "latency_ms=fast",
        "latency_ms=-1",
        "latency_ms=nan",
        "latency_ms=1e99",
        "noise=2",
        "fail_rate=1.5",
        "fail=200",
        "fail=oops",
        "fail=429:after=1",
        "fail=429:retry_after=soon",
        "fail_first=-1",
        "fail_first=1.5",
        "seed=x",
        "cut_stream_after=some",
        "price_usd_per_call=free",
        "price_usd_per_call=-1",
        "seed=1&seed=2",
    ],
)
def test_what_cannot_be_understood_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_knobs(text)

    assert caught.value.code == "offline_model_setting"
    assert "OFFLINE_MODEL" in caught.value.message


def test_an_unknown_knob_is_named_together_with_the_known_ones() -> None:
    with pytest.raises(Invalid) as caught:
        parse_knobs("coder.speed=9")

    assert "'speed'" in caught.value.message
    assert "latency_ms" in str(caught.value.hint)


def test_negative_seeds_and_percent_signs_are_fine() -> None:
    assert parse_knobs("seed=-3&my%20node.noise=1").for_node("my node") == NodeKnobs(seed=-3, noise=1)
