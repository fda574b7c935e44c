"""F30: all of it at random, on PostgreSQL and RabbitMQ of the test's own. What must hold is looked at from outside, when the storm is over."""

import asyncio
import random
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.conftest import OWN_SERVERS
from tests.chaos.expectations import (
    expect_no_trace_of_two_workers,
    expect_nothing_left_open,
    expect_one_end,
    expect_paid_again_only_what_was_in_flight,
)
from tests.chaos.figures import PROPERTY, note_figure
from tests.chaos.matrix import whole_matrix
from tests.chaos.plan import WEIGHTS, plan_faults
from tests.chaos.records import Record
from tests.chaos.servers import OwnPostgres, OwnRabbit
from tests.chaos.storm import WORKERS, Job, Storm, build_jobs
from tests.chaos.world import open_world
from tests.support.deployments import ENDED
from tests.support.processes import Zygote, stage
from tests.support.proxy import proxy_to
from tests.support.zygote import FENCE_OFF_VARIABLE

pytestmark = [whole_matrix, OWN_SERVERS, pytest.mark.timeout(0)]  # --seconds says how long; the waits below are bounded

RUNS_PER_SECOND = 150 / 90
CALL_MS = 500
SETTLE_SECONDS = 120.0
SECONDS_WITHOUT_FENCE = 60.0
SETTLE_SECONDS_WITHOUT_FENCE = 30.0

OpenStorm = Callable[..., AbstractAsyncContextManager[Storm]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one run."""

    job: Job
    record: Record
    asked: Counter[str]
    """Requests for it that reached the provider, by node."""
    retries: int


def expect_expected_output(outcome: Outcome) -> None:
    assert outcome.record.status == "COMPLETED", outcome.record.run["error"]
    assert outcome.record.output == outcome.job.output


def expect_calls_done(outcome: Outcome) -> None:
    assert {row["status"] for row in outcome.record.tables["llm_calls"]} == {"done"}
    assert len(outcome.record.tables["llm_calls"]) == outcome.job.least_calls.total()


def expect_only_calls_in_flight_paid_again(outcome: Outcome) -> None:
    in_doubt = outcome.record.attempts("in_doubt")
    expect_paid_again_only_what_was_in_flight(
        outcome.record, outcome.asked, least=outcome.job.least_calls, at_most=in_doubt
    )


INVARIANTS: Mapping[str, Callable[[Outcome], None]] = {
    "it completed, with the output of an undisturbed run": expect_expected_output,
    "it ended once": lambda outcome: expect_one_end(outcome.record, retries=outcome.retries),
    "one worker at a time wrote it": lambda outcome: expect_no_trace_of_two_workers(outcome.record),
    "nothing was left open": lambda outcome: expect_nothing_left_open(outcome.record),
    "every call is done": expect_calls_done,
    "only calls in flight were paid again": expect_only_calls_in_flight_paid_again,
}
ACCEPTED_ONCE = "every request that was accepted made one run"


def find_violations(outcomes: list[Outcome], *, runs: int) -> dict[str, list[str]]:
    """What did not hold, and for which runs."""
    broken = {
        name: [outcome.record.run["id"] for outcome in outcomes if not holds(expect, outcome)]
        for name, expect in INVARIANTS.items()
    }
    if runs != len(outcomes):
        broken[ACCEPTED_ONCE] = [f"{runs} runs for {len(outcomes)} requests"]
    return {name: ids for name, ids in broken.items() if ids}


def holds(expect: Callable[[Outcome], None], outcome: Outcome) -> bool:
    try:
        expect(outcome)
    except AssertionError:
        return False
    return True


async def look(storm: Storm) -> list[Outcome]:
    """All runs, from outside: the database past the product, and the provider's own list of what it was asked."""
    asked: dict[str, Counter[str]] = {}
    for call in (await storm.world.face.get("/calls")).json():
        asked.setdefault(call["run_id"], Counter())[call["node"]] += 1
    return [
        Outcome(job, storm.world.observer.record(run_id), asked.get(run_id, Counter()), storm.retried[run_id])
        for run_id, job in storm.accepted.items()
    ]


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    given = request.config.option.seed
    return random.randrange(1_000_000) if given is None else int(given)


@pytest.fixture
def open_storm(zygote: Zygote, tmp_path: Path, own_postgres: OwnPostgres, own_rabbit: OwnRabbit) -> OpenStorm:
    @asynccontextmanager
    async def open_it(**env: str) -> AsyncIterator[Storm]:
        with own_postgres.database() as url:
            async with AsyncExitStack() as stack:
                ways = [await stack.enter_async_context(proxy_to(url, default_port=5432)) for _ in range(WORKERS)]
                way_to_broker = await stack.enter_async_context(proxy_to(own_rabbit.url, default_port=5672))
                settings = {
                    "BROKER_URL": way_to_broker.url(own_rabbit.url),
                    "QUEUE_PREFIX": f"test_{secrets.token_hex(4)}_",
                    "LEASE_SECONDS": "2",
                    **env,
                }
                prepared = stack.enter_context(stage(zygote, tmp_path, **settings))
                knobs = f"latency_ms={CALL_MS}"
                world = await stack.enter_async_context(open_world(prepared, url, knobs=knobs))
                yield Storm(world, own_postgres, ways, own_rabbit, way_to_broker)

    return open_it


async def weather(storm: Storm, seed: int, *, seconds: float) -> None:
    faults = plan_faults(seed, seconds=seconds, workers=WORKERS)
    jobs = build_jobs(max(10, round(seconds * RUNS_PER_SECOND)))
    async with asyncio.timeout(3 * seconds + SETTLE_SECONDS):
        await asyncio.gather(storm.submit_all(jobs, seconds=seconds), storm.rage(faults))


async def test_f30_a_storm_of_faults_breaks_no_promise(
    open_storm: OpenStorm, seed: int, request: pytest.FixtureRequest, record_property: Any
) -> None:
    seconds = float(request.config.option.seconds)
    async with open_storm() as storm, storm.crew():
        await weather(storm, seed, seconds=seconds)
        over = time.monotonic()
        await storm.until_all_ended(timeout_seconds=SETTLE_SECONDS)
        settled = time.monotonic() - over
        outcomes = await look(storm)
        runs = int(storm.world.observer.scalar("SELECT count(*) FROM runs"))

    told = tell(storm, seed, outcomes)
    record_property(PROPERTY, told)
    note_figure(record_property, f"storm {seed}: settled after", [settled])
    assert storm.struck.total() >= seconds / 4, told
    assert sum(outcome.record.claims for outcome in outcomes) > len(outcomes), told
    assert find_violations(outcomes, runs=runs) == {}, told


def tell(storm: Storm, seed: int, outcomes: list[Outcome]) -> str:
    claims = sum(outcome.record.claims for outcome in outcomes)
    least = sum(outcome.job.least_calls.total() for outcome in outcomes)
    asked = sum(outcome.asked.total() for outcome in outcomes)
    in_doubt = sum(outcome.record.attempts("in_doubt") for outcome in outcomes)
    faults = ", ".join(f"{count} x {kind}" for kind, count in sorted(storm.struck.items()))
    errors = Counter(outcome.record.run["error"]["code"] for outcome in outcomes if outcome.record.run["error"])
    return (
        f"storm {seed}: {storm.struck.total()} faults ({faults}); {len(outcomes)} runs, {claims} claims, "
        f"{asked - least} of {asked} calls paid again, {in_doubt} in doubt, {storm.retried.total()} retries, errors left: {dict(errors)}"
    )


async def test_f30_without_the_fence_the_same_storm_does_harm(
    open_storm: OpenStorm, seed: int, record_property: Any
) -> None:
    """Judged by the runs that ended: that others are not done in time is no proof."""
    async with open_storm(**{FENCE_OFF_VARIABLE: "1"}) as storm, storm.crew():
        await weather(storm, seed, seconds=SECONDS_WITHOUT_FENCE)
        with suppress(AssertionError):
            await storm.until_all_ended(timeout_seconds=SETTLE_SECONDS_WITHOUT_FENCE)
        ended = [outcome for outcome in await look(storm) if outcome.record.status in ENDED]

    broken = find_violations(ended, runs=len(ended))
    told = tell(storm, seed, ended)
    counts = ", ".join(f"{name}: {len(ids)}" for name, ids in broken.items())
    record_property(PROPERTY, f"storm {seed} without the fence: of {len(ended)} runs that ended broken: {counts}")
    assert storm.struck["stall heartbeat of worker"] > 0, told
    assert broken, told


def test_f30_the_seed_decides_and_every_fault_has_its_turn() -> None:
    faults = plan_faults(1, seconds=600, workers=WORKERS)

    assert faults == plan_faults(1, seconds=600, workers=WORKERS)
    assert faults != plan_faults(2, seconds=600, workers=WORKERS)
    assert {fault.kind for fault in faults} == set(WEIGHTS)
