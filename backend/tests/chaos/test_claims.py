"""F6: claimers that reach for the same runs in the same millisecond, and F33: neighbours in trouble."""

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import Any

import pytest
from sqlalchemy import insert, select

from shadowgraph.core.clock import SystemClock
from shadowgraph.core.ids import new_run_id, new_worker_id
from shadowgraph.db.engine import Database
from shadowgraph.models.runs import runs
from shadowgraph.runs.claims import Claimant, claim_run
from tests.chaos.conftest import OpenWorld
from tests.chaos.expectations import expect_completed, expect_one_end, expect_paid_once
from tests.chaos.matrix import whole_matrix
from tests.chaos.oracle import expected_output
from tests.chaos.world import Gate

CLAIMERS = 16
CLOCK = SystemClock()


@pytest.mark.parametrize("count", [160, pytest.param(4_000, marks=whole_matrix)])
async def test_f06_sixteen_claimers_never_get_the_same_run(
    postgresql_url: str, count: int, record_property: Any
) -> None:
    waiting = await make_queued_runs(postgresql_url, count)

    async with AsyncExitStack() as stack:
        databases = [Database(postgresql_url, pool_size=1) for _ in range(CLAIMERS)]
        for database in databases:
            stack.push_async_callback(database.close)
        began = time.monotonic()
        claimed = await asyncio.gather(*map(claim_until_nothing_is_left, databases))
        seconds = time.monotonic() - began

    record_property("figure", f"claims by 16 claimers in one process: {count / seconds:.0f} a second")
    assert Counter(run_id for mine in claimed for run_id in mine) == Counter(waiting)
    assert sum(bool(mine) for mine in claimed) == CLAIMERS


async def make_queued_runs(url: str, count: int) -> list[str]:
    """All due since the same millisecond."""
    now = CLOCK.now()
    ids = [new_run_id() for _ in range(count)]
    fields = {
        "workflow": "w",
        "kind": "live",
        "status": "QUEUED",
        "input_ref": "r",
        "input_preview": "",
        "available_at": int(now.timestamp() * 1000) - 1,
        "event_seq": 1,
        "owner": "local",
        "metadata": {},
        "options": {},
        "created_at": now,
    }
    database = Database(url)
    async with database.write() as connection:
        rows = [{"id": run_id, "thread_id": run_id, "checkpoint_thread": run_id, **fields} for run_id in ids]
        await connection.execute(insert(runs), rows)
    await database.close()
    return [str(run_id) for run_id in ids]


async def claim_until_nothing_is_left(database: Database) -> list[str]:
    claimant = Claimant(new_worker_id(), {"w": "digest"}, lease_ms=30_000)
    mine = []
    while True:
        async with database.write() as connection:
            run = await claim_run(connection, claimant, clock=CLOCK)
        if run is not None:
            mine.append(str(run.id))
        elif not await has_queued(database):
            return mine


async def has_queued(database: Database) -> bool:
    """None to claim may also mean that others have locked all that are left."""
    async with database.read() as connection:
        return bool(await connection.scalar(select(runs.c.id).where(runs.c.status == "QUEUED").limit(1)))


async def test_f33_a_poisoned_run_and_one_that_was_taken_away_harm_none_of_their_neighbours(
    world_without_broker: OpenWorld,
) -> None:
    """In one process, whose writes go to the database together."""
    async with world_without_broker(LEASE_SECONDS="30") as world:
        await world.start_api()
        await world.start_worker()
        gates = [world.hold("planner", name=f"gate-{number}") for number in range(14)]
        poisoned = await world.submit("poison", trouble={"node": "planner", "does": "nul"})
        taken = await world.submit("taken", trouble=(gate := world.hold("planner", name="gate-taken")).trouble)
        healthy = [await world.submit(f"lamp {number}", trouble=gate.trouble) for number, gate in enumerate(gates)]
        for run_id in (taken, *healthy):
            await world.until_in_node(run_id, "planner")

        world.observer.execute(
            "UPDATE runs SET status = 'QUEUED', lease_expires_at = NULL, lease_owner = NULL, lease_token = lease_token + 1"
            " WHERE id = :id",
            id=taken,
        )
        await world.until_event(taken, "run.taken_over")
        open_all([gate, *gates])
        ended = [await world.until_status(run_id) for run_id in healthy]
        fenced, failed = await world.until_status(taken), await world.until_status(poisoned)
        asked = [await world.calls(run_id) for run_id in healthy]

    assert failed.status == "FAILED"
    assert failed.run["error"]["code"] == "state_not_storable"
    assert failed.claims == 1
    expect_one_end(failed)
    assert fenced.claims == 2
    expect_completed(fenced, expected_output("taken"))
    for number, record in enumerate(ended):
        expect_completed(record, expected_output(f"lamp {number}"))
        assert record.claims == 1
        expect_paid_once(record, asked[number])


def open_all(gates: list[Gate]) -> None:
    for gate in gates:
        gate.open()
