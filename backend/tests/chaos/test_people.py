"""What people do to runs while workers have them, and while workers die: F17, F18, F19, F20."""

import asyncio
import time
from collections import Counter
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.chaos.conftest import OpenWorld
from tests.chaos.expectations import (
    expect_completed,
    expect_no_trace_of_two_workers,
    expect_nothing_left_open,
    expect_one_end,
    expect_paid_once,
)
from tests.chaos.figures import note_figure
from tests.chaos.matrix import whole_matrix
from tests.chaos.oracle import expected_output
from tests.chaos.records import Record
from tests.chaos.world import World
from tests.projects.faults.graph import NODES
from tests.support.processes import free_port
from tests.support.waiting import wait_until

SLACK_SECONDS = 1.0
"""What a busy machine may take on top of what is promised."""

CALL_MS = 5_000


# --- F17 --------------------------------------------------------------------------------------------------------------------


async def test_f17_a_run_paused_in_a_node_stops_behind_it_and_goes_on_when_it_is_resumed(
    world_without_broker: OpenWorld, record_property: Any
) -> None:
    async with world_without_broker() as world:
        await world.start_api()
        await world.start_worker()
        gate = world.hold("executor")
        run_id = await world.submit(trouble=gate.trouble)
        await world.until_in_node(run_id, "executor")

        asked = await world.post(f"/runs/{run_id}/pause")
        await until_worker_has_looked(world, run_id)
        gate.open()
        paused = await world.until_status(run_id, "PAUSED")
        asked_before = await world.calls(run_id)
        resumed = await world.post(f"/runs/{run_id}/resume")
        record = await world.until_status(run_id)
        asked_in_all = await world.calls(run_id)

    note_figure(record_property, "pause: from the node's end to PAUSED", [seconds_to_pause(paused)])
    assert (asked.status_code, resumed.status_code) == (202, 202)
    assert paused.tries() == Counter(NODES[:3])
    assert asked_before == Counter(NODES[:3])
    expect_nothing_left_open(paused)
    expect_completed(record, expected_output())
    assert record.tries() == Counter(NODES)
    assert (record.claims, record.run["crash_streak"]) == (2, 0)
    expect_paid_once(record, asked_in_all)


async def until_worker_has_looked(world: World, run_id: str) -> None:
    """A heartbeat reads what is wanted of a run in the statement that extends its lease."""
    before = world.observer.run(run_id)["lease_expires_at"]
    await wait_until(
        lambda: world.observer.run(run_id)["lease_expires_at"] != before, timeout_seconds=20, what="a heartbeat"
    )


def seconds_to_pause(record: Record) -> float:
    last_node = max(row["finished_at"] for row in record.tables["steps"])
    paused: datetime = record.first_event("run.paused")["at"]
    return float((paused - last_node).total_seconds())


@whole_matrix
async def test_f17_a_pause_outlives_the_worker_that_was_asked(world_without_broker: OpenWorld) -> None:
    async with world_without_broker() as world:
        await world.start_api()
        doomed = await world.start_worker()
        gate = world.hold("executor")
        run_id = await world.submit(trouble=gate.trouble)
        await world.until_in_node(run_id, "executor")

        await world.post(f"/runs/{run_id}/pause")
        doomed.process.kill()
        paused = await world.until_status(run_id, "PAUSED")
        await world.post(f"/runs/{run_id}/resume")
        gate.open()
        await world.start_worker()
        record = await world.until_status(run_id)
        asked = await world.calls(run_id)

    assert paused.tries() == Counter(NODES[:3])
    expect_nothing_left_open(paused)
    expect_completed(record, expected_output())
    assert record.tries() == Counter([*NODES, "executor"])
    expect_paid_once(record, asked)


# --- F18 --------------------------------------------------------------------------------------------------------------------


async def test_f18_a_run_cancelled_in_a_call_ends_within_a_heartbeat(
    world_without_broker: OpenWorld, record_property: Any
) -> None:
    async with world_without_broker(knobs=f"executor.latency_ms={CALL_MS}") as world:
        seconds = await cancel_in_a_call(world)

    note_figure(record_property, "cancel without a broker (heartbeat 0.5 s)", [seconds])
    assert seconds <= 0.5 + 1 + SLACK_SECONDS


@whole_matrix
async def test_f18_with_the_wake_up_a_run_cancelled_in_a_call_ends_at_once(
    world_with_broker: OpenWorld, record_property: Any
) -> None:
    async with world_with_broker(knobs=f"executor.latency_ms={CALL_MS}", LEASE_SECONDS="30") as world:
        seconds = await cancel_in_a_call(world)

    note_figure(record_property, "cancel with the wake-up (heartbeat 5 s)", [seconds])
    assert seconds <= 0.3 + SLACK_SECONDS


async def cancel_in_a_call(world: World) -> float:
    """From the request to the run's end, which is as it should be."""
    await world.start_api()
    worker = await world.start_worker()
    run_id = await world.submit()
    await world.until_asked(run_id, "executor")

    began = time.time()
    asked = await world.post(f"/runs/{run_id}/cancel")
    record = await world.until_status(run_id)
    asked_again = await world.post(f"/runs/{run_id}/cancel")

    assert (asked.status_code, asked_again.status_code) == (202, 409)
    assert record.status == "CANCELLED"
    expect_one_end(record)
    expect_nothing_left_open(record)
    expect_no_trace_of_two_workers(record)
    assert record.claims == 1
    assert (record.attempts("done"), record.attempts("in_doubt")) == (2, 1)
    assert await world.calls(run_id) == Counter(NODES[:3])
    assert worker.process.is_alive
    ended: datetime = record.first_event("run.finished")["at"]
    return ended.timestamp() - began


# --- F19 --------------------------------------------------------------------------------------------------------------------


async def test_f19_of_many_answers_to_one_question_the_first_counts(world_without_broker: OpenWorld) -> None:
    answers = [f"answer {number}" for number in range(8)]
    async with world_without_broker() as world:
        await world.start_api()
        _, other_api = await world.stage.start_server("api", port=free_port())
        await world.start_worker()
        run_id = await world.submit(trouble={"node": "executor", "does": "ask"})
        question = await until_asking(world, run_id)

        replies = await asyncio.gather(
            *(
                answer(url, run_id, question, value)
                for url, value in zip([world.url, other_api] * 4, answers, strict=True)
            )
        )
        record = await world.until_status(run_id)
        late = await answer(world.url, run_id, question, "too late")
        asked = await world.calls(run_id)

    won = [value for value, reply in zip(answers, replies, strict=True) if reply.status_code == 202]
    refused = [reply.json()["code"] for reply in [*replies, late] if reply.status_code == 409]
    assert (len(won), refused) == (1, ["already_answered"] * len(answers))
    assert only_answer(record) == won[0]
    expect_answered(record, won[0])
    expect_paid_once(record, asked)


async def until_asking(world: World, run_id: str) -> str:
    """The question's id."""
    waiting = await world.until_status(run_id, "AWAITING_HUMAN")
    assert waiting.run["lease_owner"] is None
    return str(waiting.tables["interactions"][0]["id"])


async def answer(url: str, run_id: str, question: str, value: str) -> httpx.Response:
    async with httpx.AsyncClient(base_url=url, timeout=30) as client:
        return await client.post(f"/runs/{run_id}/answer", json={"interaction_id": question, "value": value})


def only_answer(record: Record) -> str:
    (interaction,) = record.tables["interactions"]
    assert interaction["status"] == "answered"
    return str(interaction["answer"]["value"])


def expect_answered(record: Record, value: str) -> None:
    """It went on with this answer, and asked once."""
    undisturbed = expected_output()["log"]
    place = next(index for index, line in enumerate(undisturbed) if line.startswith("executor"))
    expect_completed(record, {"log": [*undisturbed[:place], f"a person said {value}", *undisturbed[place:]]})
    types = record.event_types()
    assert (types.count("interaction.created"), types.count("interaction.resolved")) == (1, 1)


# --- F20 --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failpoint", "in_doubt"),
    [
        pytest.param("llm.attempt.started:executor=kill", 1, id="behind the answer"),
        pytest.param("worker.claim.committed=kill", 0, id="claimed", marks=whole_matrix),
        pytest.param("engine.pending.before:executor=kill", 0, id="node returned", marks=whole_matrix),
        pytest.param("engine.checkpoint.before=kill", 0, id="before the checkpoint", marks=whole_matrix),
    ],
)
async def test_f20_an_answer_survives_the_worker_that_dies_right_after_it_came(
    world_without_broker: OpenWorld, failpoint: str, in_doubt: int
) -> None:
    async with world_without_broker() as world:
        await world.start_api()
        asking = await world.start_worker()
        run_id = await world.submit(trouble={"node": "executor", "does": "ask"})
        question = await until_asking(world, run_id)
        asking.process.terminate()
        await asking.process.wait_for_end()
        doomed = await world.start_worker(SHADOWGRAPH_FAILPOINTS=failpoint)

        answered = await answer(world.url, run_id, question, "go on")
        await doomed.process.wait_for_end(timeout_seconds=20)
        await world.start_worker()
        record = await world.until_status(run_id)
        asked = await world.calls(run_id)

    assert answered.status_code == 202
    assert only_answer(record) == "go on"
    expect_answered(record, "go on")
    assert record.claims == 3
    expect_paid_once(record, asked, in_doubt=in_doubt)
