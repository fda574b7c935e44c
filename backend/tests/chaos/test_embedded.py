"""F27: the one process that does everything dies and is started again. Holding its database proves that nobody runs what is RUNNING."""

import time
from collections import Counter
from typing import Any

import pytest

from tests.chaos.conftest import OpenWorld
from tests.chaos.expectations import expect_completed, expect_paid_once
from tests.chaos.figures import note_figure
from tests.chaos.matrix import whole_matrix
from tests.chaos.oracle import expected_output
from tests.chaos.world import World
from tests.projects.faults.graph import NODES
from tests.support.processes import Process

pytestmark = whole_matrix

NOBODY_WAITS_FOR = {"LEASE_SECONDS": "600"}
"""A run that completes was not found by its lease."""


async def expect_killed(process: Process) -> None:
    await process.wait_for_end(timeout_seconds=20)
    assert "Traceback" not in process.tail()


@pytest.mark.parametrize(
    ("failpoint", "claims", "again"),
    [
        pytest.param("engine.step.started:executor=kill", 2, ["executor"], id="node entered"),
        pytest.param("engine.journal.finished:executor=kill", 2, ["executor"], id="answer recorded"),
        pytest.param("engine.checkpoint.after=kill@5", 2, [], id="after the checkpoint"),
        pytest.param("engine.driver.leaving=kill", 2, [], id="before the last transaction"),
        pytest.param("engine.driver.left=kill", 1, [], id="after the last transaction"),
    ],
)
async def test_f27_an_embedded_process_killed_at_a_boundary(
    world_embedded: OpenWorld, failpoint: str, claims: int, again: list[str]
) -> None:
    async with world_embedded(**NOBODY_WAITS_FOR) as world:
        doomed = await world.start_embedded(SHADOWGRAPH_FAILPOINTS=failpoint)
        run_id = await world.submit()
        await expect_killed(doomed)

        await world.start_embedded()
        record = await world.until_status(run_id)
        asked = await world.calls(run_id)

    expect_completed(record, expected_output())
    assert record.claims == claims
    assert record.tries() == Counter([*NODES, *again])
    expect_paid_once(record, asked)


async def test_f27_an_embedded_process_killed_in_a_call_goes_on_as_soon_as_it_is_started(
    world_embedded: OpenWorld, record_property: Any
) -> None:
    async with world_embedded(knobs="executor.latency_ms=700", **NOBODY_WAITS_FOR) as world:
        doomed = await world.start_embedded()
        run_id = await world.submit()
        await world.until_asked(run_id, "executor")
        doomed.kill()
        await expect_killed(doomed)

        started = time.time()
        await world.start_embedded()
        record = await world.until_status(run_id)
        asked = await world.calls(run_id)

    claimed = record.first_event("run.taken_over")["at"].timestamp() - started
    note_figure(record_property, "embedded: from the new start to the claim", [claimed])
    expect_completed(record, expected_output())
    assert record.claims == 2
    assert record.tries() == Counter([*NODES, "executor"])
    expect_paid_once(record, asked, in_doubt=1, again="executor")


async def test_f27_a_run_that_was_only_accepted_survives(world_embedded: OpenWorld) -> None:
    async with world_embedded(**NOBODY_WAITS_FOR) as world:
        doomed = await world.start_embedded(SHADOWGRAPH_FAILPOINTS="worker.claim.committed=kill")
        first = await world.submit("the first")
        await expect_killed(doomed)
        await world.start_embedded()
        records = [await world.until_status(first)]
        asked = await world.calls(first)
        second = await submit_and_kill(world)
        await world.start_embedded()
        records.append(await world.until_status(second))

    expect_completed(records[0], expected_output("the first"))
    expect_paid_once(records[0], asked)
    expect_completed(records[1], expected_output("the second"))


async def submit_and_kill(world: World) -> str:
    """Killed the moment after the answer 202."""
    run_id = await world.submit("the second")
    assert world.api is not None
    world.api.kill()
    await expect_killed(world.api)
    return run_id
