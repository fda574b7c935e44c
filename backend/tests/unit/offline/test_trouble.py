from shadowgraph.llm.offline.calls import CallPlace
from shadowgraph.llm.offline.knobs import Failure, NodeKnobs, parse_knobs
from shadowgraph.llm.offline.trouble import Trouble, decide_trouble, noise_seed

PLACE = CallPlace("run_1", "0//coder/1/p/0", 1)


def knobs(text: str) -> NodeKnobs:
    return parse_knobs(text).for_node("coder")


def places(count: int, *, run_id: str = "run_1", attempt: int = 1) -> list[CallPlace]:
    return [CallPlace(run_id, f"0//coder/1/p/{index}", attempt) for index in range(count)]


def test_without_knobs_there_is_no_trouble() -> None:
    assert decide_trouble(NodeKnobs(), PLACE) == Trouble()


def test_a_kind_of_trouble_alone_happens_always() -> None:
    assert decide_trouble(knobs("fail=429:retry_after=1"), PLACE).failure == Failure(429, 1.0)
    assert decide_trouble(knobs("cut_stream_after=3"), PLACE).cut_after == 3


def test_only_the_first_attempts_of_each_call_fail() -> None:
    failing = [decide_trouble(knobs("fail_first=2"), CallPlace("run_1", "k", attempt)).failure for attempt in (1, 2, 3)]

    assert failing == [Failure(503), Failure(503), None]


def test_a_rate_decides_by_call_and_not_by_order() -> None:
    rated = knobs("fail_rate=0.3&seed=4&fail=500")

    outcomes = [decide_trouble(rated, place) for place in places(400)]

    assert outcomes == [decide_trouble(rated, place) for place in reversed(places(400))][::-1]
    assert 80 < sum(outcome.failure is not None for outcome in outcomes) < 160


def test_another_seed_run_or_attempt_meets_other_trouble() -> None:
    rated = knobs("fail_rate=0.5&seed=4")
    usual = [decide_trouble(rated, place) for place in places(60)]

    assert usual != [decide_trouble(knobs("fail_rate=0.5&seed=5"), place) for place in places(60)]
    assert usual != [decide_trouble(rated, place) for place in places(60, run_id="run_2")]
    assert usual != [decide_trouble(rated, place) for place in places(60, attempt=2)]


def test_with_both_kinds_each_attempt_meets_one_of_them() -> None:
    both = [decide_trouble(knobs("fail=500&cut_stream_after=3"), place) for place in places(50)]

    assert all((outcome.failure is None) != (outcome.cut_after is None) for outcome in both)
    assert {outcome.cut_after for outcome in both} == {None, 3}


def test_waiting_differs_by_the_jitter_and_is_never_negative() -> None:
    waits = [decide_trouble(knobs("latency_ms=100&jitter_ms=50"), place).delay_seconds for place in places(100)]

    assert all(0.05 <= wait <= 0.15 for wait in waits)
    assert max(waits) - min(waits) > 0.05
    assert min(decide_trouble(knobs("jitter_ms=50"), place).delay_seconds for place in places(50)) == 0


def test_noise_is_the_same_for_every_attempt_of_a_call() -> None:
    assert noise_seed(NodeKnobs(), PLACE) == noise_seed(NodeKnobs(), CallPlace("run_1", PLACE.call_key, 2))
    assert noise_seed(NodeKnobs(), PLACE) != noise_seed(NodeKnobs(), CallPlace("run_2", PLACE.call_key, 1))
