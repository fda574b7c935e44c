"""A database that restarts, dies, goes away, refuses to write, or is given what it cannot store: F13, F14, F24, F28."""

import asyncio
from collections import Counter

import pytest

from tests.chaos.conftest import OWN_SERVERS, OpenWorld
from tests.chaos.expectations import expect_completed, expect_one_end, expect_paid_once
from tests.chaos.matrix import whole_matrix
from tests.chaos.odd_provider import odd_provider
from tests.chaos.oracle import expected_output
from tests.chaos.servers import OwnPostgres
from tests.chaos.test_workers import has_recorded
from tests.projects.faults.graph import NODES
from tests.support.waiting import wait_until

LEASE_SECONDS = 2.0


# --- F13, F14 ---------------------------------------------------------------------------------------------------------------


@whole_matrix
@OWN_SERVERS
@pytest.mark.parametrize("how", ["restart", "kill"])
async def test_f13_a_run_goes_on_after_the_database_was_started_anew(
    world_with_own_database: OpenWorld, own_postgres: OwnPostgres, how: str
) -> None:
    async with world_with_own_database() as world:
        await world.start_api()
        await world.start_worker()
        gate = world.hold("executor", when="last")
        run_id = await world.submit(trouble=gate.trouble)
        await wait_until(lambda: has_recorded(world, run_id, "executor"), timeout_seconds=30, what="the call's end")
        started_before = own_postgres.started_at()

        await (own_postgres.kill() if how == "kill" else asyncio.to_thread(own_postgres.stop))
        assert not own_postgres.is_up
        await asyncio.to_thread(own_postgres.start)
        gate.open()
        record = await world.until_status(run_id)
        asked = await world.calls(run_id)
        next_one = await world.until_status(await world.submit("afterwards"))

    assert own_postgres.started_at() > started_before
    expect_completed(record, expected_output())
    assert record.claims == 1
    assert record.tries() == Counter(NODES)
    expect_paid_once(record, asked)
    expect_completed(next_one, expected_output("afterwards"))


@whole_matrix
@OWN_SERVERS
async def test_f14_a_run_survives_a_database_that_is_away_for_two_leases(
    world_with_own_database: OpenWorld, own_postgres: OwnPostgres
) -> None:
    async with world_with_own_database(knobs="executor.latency_ms=1500", LEASE_SECONDS=str(LEASE_SECONDS)) as world:
        await world.start_api()
        await world.start_worker()
        run_id = await world.submit()
        await world.until_asked(run_id, "executor")

        await asyncio.to_thread(own_postgres.stop)
        assert not own_postgres.is_up
        await asyncio.sleep(2 * LEASE_SECONDS)  # the fault itself
        await asyncio.to_thread(own_postgres.start)
        record = await world.until_status(run_id)
        asked = await world.calls(run_id)

    expect_completed(record, expected_output())
    assert record.claims == 1
    assert record.tries() == Counter(NODES)
    expect_paid_once(record, asked)


# --- F28 --------------------------------------------------------------------------------------------------------------------


@whole_matrix
@OWN_SERVERS
async def test_f28_a_run_waits_for_a_database_that_refuses_to_write_and_goes_on_afterwards(
    world_with_own_database: OpenWorld, own_postgres: OwnPostgres
) -> None:
    """Parking would be a write as well: it waits where it stands."""
    async with world_with_own_database(knobs="executor.latency_ms=1500", LEASE_SECONDS=str(LEASE_SECONDS)) as world:
        await world.start_api()
        worker = await world.start_worker()
        run_id = await world.submit()
        await world.until_asked(run_id, "executor")

        async with own_postgres.read_only():
            refused = await world.post("/runs", {"workflow": "faults", "input": {"query": "refused"}})
            await wait_until(
                lambda: "read-only transaction" in worker.process.output(),
                timeout_seconds=20,
                what="a write to be refused",
            )
            await asyncio.sleep(2 * LEASE_SECONDS)  # the fault itself
            tries = worker.process.output().count("a write waits")
        record = await world.until_status(run_id)
        asked = await world.calls(run_id)

    assert refused.status_code == 503
    assert 1 <= tries <= 15
    expect_completed(record, expected_output())
    assert record.claims == 1
    assert record.tries() == Counter(NODES)
    expect_paid_once(record, asked)


# --- F24 --------------------------------------------------------------------------------------------------------------------


@whole_matrix
@pytest.mark.parametrize(
    ("oddity", "code"),
    [("nul", "state_not_storable"), ("surrogate", "state_not_storable"), ("nan", ""), ("huge", "state_too_large")],
)
async def test_f24_a_state_that_cannot_be_stored_fails_the_run_once_and_harms_no_other(
    world_without_broker: OpenWorld, oddity: str, code: str
) -> None:
    async with world_without_broker() as world:
        await world.start_api()
        worker = await world.start_worker()
        run_id = await world.submit(trouble={"node": "executor", "does": oddity, "when": "last"})
        record = await world.until_status(run_id)
        asked = await world.calls(run_id)
        next_one = await world.until_status(await world.submit("afterwards"))

    assert record.claims == 1
    assert worker.process.is_alive
    if code:
        assert (record.status, record.run["error"]["code"]) == ("FAILED", code)
        expect_one_end(record)
        assert asked == Counter(["researcher", "planner", "executor"])
    else:
        expect_completed(record, expected_output())
        expect_paid_once(record, asked)
    expect_completed(next_one, expected_output("afterwards"))


@whole_matrix
async def test_f24_an_answer_with_characters_that_cannot_be_stored_is_cleaned_and_the_run_completes(
    world_without_broker: OpenWorld,
) -> None:
    async with world_without_broker() as world, odd_provider("a\x00b\ud800c") as url:
        await world.start_api()
        await world.start_worker(GROQ_BASE_URL=url)
        record = await world.until_status(await world.submit())

    assert record.claims == 1
    cleaned = {line.partition(": ")[2] for line in record.output["log"]}
    assert len(cleaned) == 1
    assert "\x00" not in cleaned.pop()
    expect_completed(record, record.output)


@whole_matrix
async def test_f24_an_answer_of_five_megabytes_ends_the_run_and_does_not_loop(world_without_broker: OpenWorld) -> None:
    async with world_without_broker() as world, odd_provider("x" * 5_000_000) as url:
        await world.start_api()
        await world.start_worker(GROQ_BASE_URL=url)
        record = await world.until_status(await world.submit())

    assert record.claims == 1
    expect_one_end(record)
