"""A provider that fails, or that wants to be left alone: F23. Nothing is lost, nobody waits for it, and it is not asked needlessly."""

from typing import Any

import pytest

from shadowgraph.reliability.breaker import OPEN_SECONDS, THRESHOLD
from tests.chaos.conftest import OpenWorld
from tests.chaos.expectations import expect_one_end
from tests.chaos.figures import note_figure
from tests.chaos.matrix import whole_matrix
from tests.chaos.records import Record
from tests.chaos.world import World
from tests.support.failing_provider import FailingProvider, Refuses, failing_provider
from tests.support.waiting import wait_until

SICK, WELL = "sick", "well"
DOWN = Refuses(500, "out of order")


def use(provider: FailingProvider) -> dict[str, str]:
    """Settings of a worker that asks this provider."""
    return {"GROQ_API_KEY": "gsk_test", "GROQ_BASE_URL": provider.url}


async def set_route(world: World, *models: str) -> None:
    answer = await world.put("/routes/default", {"targets": [{"model": f"groq:{model}"} for model in models]})
    assert answer.status_code == 200, answer.text


async def breakers(world: World) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await world.get("/health/breakers")).json()["items"]
    return items


def told(world: World) -> list[str]:
    rows = world.observer.rows("SELECT payload FROM events WHERE type = 'breaker.changed' ORDER BY id")
    return [row["payload"]["state"] for row in rows]


async def until_parked(world: World, run_id: str) -> Record:
    """It is not RUNNING any more, and no worker has it."""

    def is_parked() -> bool:
        run = world.observer.run(run_id)
        return run["status"] == "QUEUED" and run["reason"] in ("circuit_open", "rate_limited")

    await wait_until(is_parked, timeout_seconds=60, what=f"run {run_id} to be parked")
    return world.observer.record(run_id)


def let_time_pass(world: World) -> None:
    """As if the breaker's time were over, and that of the runs that wait for it."""
    world.observer.execute("UPDATE breakers SET open_until = 1 WHERE open_until IS NOT NULL")
    world.observer.execute("UPDATE runs SET available_at = 1 WHERE status = 'QUEUED'")


async def test_f23_a_provider_that_is_down_is_left_alone_by_all_workers_and_its_runs_wait(
    world_without_broker: OpenWorld,
) -> None:
    async with failing_provider() as provider, world_without_broker() as world:
        await world.start_api()
        first = await world.start_worker(**use(provider))
        await set_route(world, SICK)
        provider.failing[SICK] = DOWN
        run_id = await world.submit()
        parked = await until_parked(world, run_id)
        asked_until_open = list(provider.asked)
        second = await world.start_worker(**use(provider))
        first.process.terminate()
        await first.process.wait_for_end()
        other_id = await world.submit()
        other = await until_parked(world, other_id)
        [breaker] = await breakers(world)
        asked_while_open = list(provider.asked)
        provider.failing.clear()
        let_time_pass(world)
        records = [await world.until_status(each) for each in (run_id, other_id)]
        [closed] = await breakers(world)

    assert asked_until_open == [SICK] * THRESHOLD
    assert asked_while_open == asked_until_open, f"{second.id} knew it without asking"
    assert (parked.run["reason"], other.run["reason"]) == ("circuit_open", "circuit_open")
    event = parked.first_event("run.parked")["payload"]
    assert 0 < event["delay_ms"] <= OPEN_SECONDS * 1000
    assert "out of order" in event["message"]
    assert (breaker["state"], breaker["failures"], closed["state"]) == ("open", THRESHOLD, "closed")
    assert [record.status for record in records] == ["COMPLETED", "COMPLETED"]
    for record in records:
        expect_one_end(record)


@whole_matrix
async def test_f23_one_probe_of_all_runs_that_waited_closes_the_breaker(world_without_broker: OpenWorld) -> None:
    async with failing_provider() as provider, world_without_broker() as world:
        await world.start_api()
        for _ in range(2):
            await world.start_worker(**use(provider))
        await set_route(world, SICK)
        provider.failing[SICK] = DOWN
        await until_parked(world, await world.submit())
        ids = [await world.submit() for _ in range(6)]
        for run_id in ids:
            await until_parked(world, run_id)
        asked_while_down = len(provider.asked)
        let_time_pass(world)
        await wait_until(lambda: len(provider.asked) > asked_while_down, timeout_seconds=30, what="a probe")
        await wait_until(lambda: told(world) == ["open", "half_open", "open"], what="the breaker to open again")
        asked_by_probe = len(provider.asked) - asked_while_down
        provider.failing.clear()
        let_time_pass(world)
        records = [await world.until_status(run_id) for run_id in ids]
        states = told(world)

    assert asked_by_probe == 1, "of seven runs and two workers"
    assert {record.status for record in records} == {"COMPLETED"}
    assert states == ["open", "half_open", "open", "half_open", "closed"]


async def test_f23_calls_of_a_sick_target_go_to_the_next_one(world_without_broker: OpenWorld) -> None:
    async with failing_provider() as provider, world_without_broker() as world:
        await world.start_api()
        await world.start_worker(**use(provider))
        await set_route(world, SICK, WELL)
        provider.failing[SICK] = DOWN
        record = await world.until_status(await world.submit())
        [breaker] = await breakers(world)
        attempts = world.observer.rows("SELECT model, status, route, route_number FROM llm_attempts")

    assert record.status == "COMPLETED"
    assert "run.parked" not in record.event_types()
    assert breaker["model"] == SICK
    assert provider.asked.count(SICK) == THRESHOLD, "then it was not asked any more"
    assert {(row["model"], row["status"]) for row in attempts} == {(SICK, "failed"), (WELL, "done")}
    assert {(row["route"], row["route_number"]) for row in attempts} == {("default", 1)}


@pytest.fixture(params=["world_without_broker", "world_embedded"])
def each_world(request: pytest.FixtureRequest) -> tuple[OpenWorld, bool]:
    """And whether it is one process on SQLite."""
    return request.getfixturevalue(request.param), request.param == "world_embedded"


async def test_f23_a_long_retry_after_frees_the_slot_and_other_runs_go_on(each_world: tuple[OpenWorld, bool]) -> None:
    open_world, is_embedded = each_world
    async with failing_provider() as provider, open_world(WORKER_SLOTS="1") as world:
        if is_embedded:
            await world.start_embedded(**use(provider))
        else:
            await world.start_api()
            await world.start_worker(**use(provider))
        await set_route(world, SICK)
        provider.failing[SICK] = Refuses(429, "later", headers={"Retry-After": "120"})
        waiting_id = await world.submit()
        waiting = await until_parked(world, waiting_id)
        await set_route(world, WELL)
        await until_route_is_used(world, provider)
        done = await world.until_status(await world.submit())
        still = world.observer.run(waiting_id)

    event = waiting.first_event("run.parked")["payload"]
    assert waiting.run["reason"] == "rate_limited"
    assert 115_000 < event["delay_ms"] <= 120_000
    assert provider.asked.count(SICK) == 1, "nobody asks before the provider allows it"
    assert done.status == "COMPLETED"
    assert still["status"] == "QUEUED"


async def until_route_is_used(world: World, provider: FailingProvider) -> None:
    """A change of a route reaches the worker within a second; a run that comes sooner may still follow the old one."""
    for _ in range(10):
        run_id = await world.submit()
        await world.until_status(run_id, "COMPLETED", "QUEUED", timeout_seconds=30)
        if WELL in provider.asked:
            return
    raise AssertionError("the new route was never used")


@whole_matrix
async def test_f23_without_anybodys_help_runs_go_on_when_the_breaker_has_waited(
    world_without_broker: OpenWorld, record_property: Any
) -> None:
    async with failing_provider() as provider, world_without_broker() as world:
        await world.start_api()
        await world.start_worker(**use(provider))
        await set_route(world, SICK)
        provider.failing[SICK] = DOWN
        run_id = await world.submit()
        await until_parked(world, run_id)
        provider.failing.clear()
        record = await world.until_status(run_id, timeout_seconds=OPEN_SECONDS + 30)

    seconds = (record.first_event("run.finished")["at"] - record.first_event("run.parked")["at"]).total_seconds()
    note_figure(record_property, "provider down: from parked to completed", [seconds])
    assert record.status == "COMPLETED"
    assert OPEN_SECONDS - 1 < seconds < OPEN_SECONDS + 15
