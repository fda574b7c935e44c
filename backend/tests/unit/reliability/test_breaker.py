import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadowgraph.core.clock import ManualClock
from shadowgraph.reliability.breaker import (
    LOOK_AGAIN_SECONDS,
    MAX_AGE_SECONDS,
    OPEN_SECONDS,
    THRESHOLD,
    Breakers,
    CallRefused,
    LocalBreakers,
    Outcome,
    Permit,
    Shared,
    seconds_to_wait,
    state_of,
)

KEY = ("groq", "openai/gpt-oss-120b")
OTHER = ("groq", "openai/gpt-oss-20b")
CALL_SECONDS = 130.0


class Workers:
    """Processes that share one store."""

    def __init__(self, count: int = 1) -> None:
        self.clock = ManualClock()
        self.store = LocalBreakers(self.clock)
        self.all = [Breakers(self.store, clock=self.clock) for _ in range(count)]
        self.first = self.all[0]

    async def try_at(self, breakers: Breakers, outcome: Outcome) -> None:
        permit = await breakers.admit(KEY, probe_seconds=CALL_SECONDS)
        await breakers.record(permit, outcome, error="boom")

    async def fail(self, times: int = THRESHOLD) -> None:
        for _ in range(times):
            await self.try_at(self.first, "failure")


async def is_refused(breakers: Breakers) -> float:
    with pytest.raises(CallRefused) as caught:
        await breakers.admit(KEY, probe_seconds=CALL_SECONDS)
    return caught.value.seconds


@pytest.mark.parametrize(
    ("shared", "state", "seconds"),
    [
        (None, "closed", 0.0),
        (Shared(12.0), "open", 12.0),
        (Shared(0.0), "half_open", 0.0),
        (Shared(-5.0, probe_seconds=100.0), "half_open", LOOK_AGAIN_SECONDS),
        (Shared(-5.0, probe_seconds=1.0), "half_open", 1.0),
        (Shared(-500.0, probe_seconds=-1.0), "half_open", 0.0),
    ],
)
def test_the_state_follows_from_what_is_shared(shared: Shared | None, state: str, seconds: float) -> None:
    assert (state_of(shared), seconds_to_wait(shared)) == (state, seconds)


async def test_it_opens_after_failures_in_a_row() -> None:
    workers = Workers()
    await workers.fail(THRESHOLD - 1)
    assert workers.first.seconds_open(KEY) == 0

    await workers.fail(1)

    assert await is_refused(workers.first) == OPEN_SECONDS
    assert await workers.first.admit(OTHER, probe_seconds=CALL_SECONDS) == Permit(OTHER), "other targets go on"


async def test_any_success_begins_the_count_anew() -> None:
    workers = Workers()
    await workers.fail(THRESHOLD - 1)
    await workers.try_at(workers.first, "success")

    await workers.fail(THRESHOLD - 1)

    assert await workers.first.admit(KEY, probe_seconds=CALL_SECONDS) == Permit(KEY)


async def test_what_was_cancelled_counts_neither_way() -> None:
    workers = Workers()
    await workers.fail(THRESHOLD - 1)
    await workers.try_at(workers.first, "neither")

    await workers.fail(1)

    assert await is_refused(workers.first)


async def test_another_worker_sees_it_as_soon_as_its_knowledge_is_old() -> None:
    workers = Workers(2)
    second = workers.all[1]
    await second.admit(KEY, probe_seconds=CALL_SECONDS)
    await workers.fail()

    workers.clock.advance(MAX_AGE_SECONDS)

    assert await is_refused(second) == OPEN_SECONDS - MAX_AGE_SECONDS


async def test_after_its_time_one_call_of_all_workers_may_probe() -> None:
    workers = Workers(5)
    await workers.fail()
    workers.clock.advance(OPEN_SECONDS)

    tries = await asyncio.gather(
        *(breakers.admit(KEY, probe_seconds=CALL_SECONDS) for breakers in workers.all * 20), return_exceptions=True
    )

    assert [found for found in tries if isinstance(found, Permit)] == [Permit(KEY, is_probe=True)]
    assert all(found.seconds <= LOOK_AGAIN_SECONDS for found in tries if isinstance(found, CallRefused))


async def test_a_probe_that_succeeds_closes_it_for_everybody() -> None:
    workers = Workers(2)
    await workers.fail()
    workers.clock.advance(OPEN_SECONDS)

    await workers.try_at(workers.all[1], "success")
    workers.clock.advance(MAX_AGE_SECONDS)

    assert [await breakers.admit(KEY, probe_seconds=1) for breakers in workers.all] == [Permit(KEY)] * 2


async def test_a_probe_that_fails_opens_it_again() -> None:
    workers = Workers(2)
    await workers.fail()
    workers.clock.advance(OPEN_SECONDS)

    await workers.try_at(workers.all[1], "failure")
    workers.clock.advance(MAX_AGE_SECONDS)

    assert [await is_refused(breakers) for breakers in workers.all] == [OPEN_SECONDS - MAX_AGE_SECONDS] * 2


async def test_a_probe_that_was_cancelled_leaves_the_permit_to_the_next_call() -> None:
    workers = Workers(2)
    await workers.fail()
    workers.clock.advance(OPEN_SECONDS)
    await workers.try_at(workers.first, "neither")

    permit = await workers.all[1].admit(KEY, probe_seconds=CALL_SECONDS)

    assert permit.is_probe


async def test_the_permit_of_a_worker_that_died_ends_by_itself() -> None:
    workers = Workers(2)
    await workers.fail()
    workers.clock.advance(OPEN_SECONDS)
    await workers.first.admit(KEY, probe_seconds=CALL_SECONDS)

    workers.clock.advance(CALL_SECONDS)

    assert (await workers.all[1].admit(KEY, probe_seconds=CALL_SECONDS)).is_probe


@given(
    outcomes=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from(["success", "failure", "neither"]), st.floats(0, 40)), max_size=60
    )
)
def test_no_history_lets_two_probes_through_or_keeps_it_open_for_ever(
    outcomes: list[tuple[int, Outcome, float]],
) -> None:
    async def play() -> None:
        workers = Workers(3)
        refused_for = []
        for number, outcome, seconds in outcomes:
            try:
                permits = await admit_all(workers)
                assert sum(permit.is_probe for permit in permits) <= 1
                for permit in permits:
                    await workers.all[number].record(permit, outcome)
            except CallRefused as refused:
                refused_for.append(refused.seconds)
            workers.clock.advance(seconds)
        assert all(0 < seconds <= OPEN_SECONDS for seconds in refused_for)
        workers.clock.advance(CALL_SECONDS + OPEN_SECONDS)
        await workers.try_at(workers.first, "success")
        assert (await workers.first.admit(KEY, probe_seconds=1)).is_probe is False

    asyncio.run(play())


async def admit_all(workers: Workers) -> list[Permit]:
    """Errors: `CallRefused` when nobody may."""
    tries = await asyncio.gather(
        *(breakers.admit(KEY, probe_seconds=CALL_SECONDS) for breakers in workers.all), return_exceptions=True
    )
    permits = [found for found in tries if isinstance(found, Permit)]
    if not permits:
        raise next(found for found in tries if isinstance(found, CallRefused))
    return permits
