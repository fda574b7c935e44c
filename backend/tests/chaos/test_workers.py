"""Workers that die, freeze, block, tell the wrong time, or are asked to go: F2, F3, F4, F8, F15, F16, F25, F29."""

import statistics
import time
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from shadowgraph.db.sessions import IDLE_IN_TRANSACTION_MS
from shadowgraph.runs.takeover import MAX_CRASH_STREAK
from shadowgraph.worker.draining import DRAIN_SECONDS
from tests.chaos.conftest import OpenWorld
from tests.chaos.expectations import expect_completed, expect_one_end, expect_paid_once
from tests.chaos.figures import note_figure
from tests.chaos.matrix import whole_matrix
from tests.chaos.oracle import expected_output
from tests.chaos.records import Record
from tests.chaos.world import Worker, World
from tests.projects.faults.graph import NODES
from tests.support.waiting import wait_until

LEASE = 2
SHORT_LEASE = {"LEASE_SECONDS": str(LEASE)}
NO_PRESENCE = {"PRESENCE_GRACE_S": "100000"}
"""For so long after its start the database's session locks mean nothing."""

SLACK_SECONDS = 1.0
"""What a busy machine may take on top of what is promised."""


def seconds_between(record: Record, kind: str, since: float) -> float:
    """From a moment of this process's clock to the run's first event of that kind."""
    at: datetime = record.first_event(kind)["at"]
    return at.timestamp() - since


# --- F2 ---------------------------------------------------------------------------------------------------------------------


@whole_matrix
async def test_f02_with_presence_a_killed_workers_run_is_claimed_within_a_second(
    world_without_broker: OpenWorld, record_property: Any
) -> None:
    seconds = []
    async with world_without_broker(LEASE_SECONDS="30") as world:
        await world.start_api()
        for number in range(5):
            recovered = await kill_and_measure(world, name=f"gate-{number}")
            seconds.append(recovered)

    note_figure(record_property, "recovery after kill -9 with presence", seconds)
    assert statistics.median(seconds) <= 1.0
    assert max(seconds) <= 1.0 + SLACK_SECONDS


@whole_matrix
async def test_f02_without_presence_a_killed_workers_run_is_claimed_after_the_lease(
    world_without_broker: OpenWorld, record_property: Any
) -> None:
    async with world_without_broker(LEASE_SECONDS="30", **NO_PRESENCE) as world:
        await world.start_api()
        seconds = await kill_and_measure(world, name="gate")

    note_figure(record_property, "recovery after kill -9 without presence (lease 30 s)", [seconds])
    assert 20 < seconds <= 32


async def kill_and_measure(world: World, *, name: str) -> float:
    """From the kill to the claim by a worker that was there already."""
    gate = world.hold("planner", name=name)
    doomed = await world.start_worker()
    run_id = await world.submit(trouble=gate.trouble)
    await world.until_in_node(run_id, "planner")
    heir = await world.start_worker()

    doomed.process.kill()
    killed = time.time()
    await world.until_event(run_id, "run.taken_over")
    gate.open()
    record = await world.until_status(run_id)

    expect_completed(record, expected_output())
    assert record.first_event("run.taken_over")["payload"]["worker"] == heir.id
    heir.process.terminate()
    await heir.process.wait_for_end()
    return seconds_between(record, "run.taken_over", killed)


# --- F3 ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["in a call", pytest.param("in a node", marks=whole_matrix)])
async def test_f03_a_frozen_worker_is_replaced_and_writes_nothing_when_it_wakes(
    world_without_broker: OpenWorld, place: str, record_property: Any
) -> None:
    async with world_without_broker(knobs="executor.latency_ms=800", **SHORT_LEASE) as world:
        await world.start_api()
        frozen, run_id, since = await freeze_in_executor(world, place)

        heir = await world.start_worker()
        record = await world.until_status(run_id)
        asked = await world.calls(run_id)
        await wake_and_let_it_work(world, frozen, instead_of=heir)
        after_waking = world.observer.record(run_id)

    recovery = seconds_between(record, "run.taken_over", since)
    note_figure(record_property, "recovery after a freeze (lease 2 s)", [recovery])
    assert recovery <= LEASE + 2 + SLACK_SECONDS
    assert after_waking == record
    expect_completed(record, expected_output())
    assert record.tries() == Counter([*NODES, "executor"])
    in_call = place == "in a call"
    expect_paid_once(record, asked, in_doubt=int(in_call), again="executor" if in_call else "")


async def freeze_in_executor(world: World, place: str) -> tuple[Worker, str, float]:
    """The worker, its run, and when it stopped."""
    gate = world.hold("executor", when="last")
    worker = await world.start_worker()
    run_id = await world.submit(trouble=gate.trouble)
    await world.until_asked(run_id, "executor")
    if place == "in a node":
        await wait_until(lambda: world.observer.record(run_id).attempts("done") == 3, what="the call to be recorded")
    worker.process.freeze()
    since = time.time()
    await wait_until(lambda: worker.process.is_frozen, what="the worker to stand still")
    gate.open()
    return worker, run_id, since


async def wake_and_let_it_work(world: World, frozen: Worker, *, instead_of: Worker) -> None:
    """Once it has done another run it has done all that it wanted to do for the first."""
    instead_of.process.terminate()
    await instead_of.process.wait_for_end()
    frozen.process.thaw()
    later = await world.until_status(await world.submit())
    assert later.status == "COMPLETED"
    assert later.first_event("run.started")["payload"]["worker"] == frozen.id


@whole_matrix
@pytest.mark.parametrize("place", ["in a call", "in a node"])
async def test_f03_a_frozen_worker_that_wakes_while_another_works_does_not_disturb_it(
    world_without_broker: OpenWorld, place: str
) -> None:
    async with world_without_broker(knobs="executor.latency_ms=800&coder.latency_ms=800", **SHORT_LEASE) as world:
        await world.start_api()
        frozen, run_id, _ = await freeze_in_executor(world, place)
        await world.start_worker()
        await world.until_event(run_id, "run.taken_over")
        await world.until_asked(run_id, "executor" if place == "in a call" else "coder")

        frozen.process.thaw()
        record = await world.until_status(run_id)
        asked = await world.calls(run_id)

    expect_completed(record, expected_output())
    assert record.tries() == Counter([*NODES, "executor"])
    in_call = place == "in a call"
    expect_paid_once(record, asked, in_doubt=int(in_call), again="executor" if in_call else "")


@whole_matrix
async def test_f03_a_frozen_worker_that_wakes_before_anybody_claims_its_run_claims_it_anew(
    world_without_broker: OpenWorld,
) -> None:
    async with world_without_broker(knobs="executor.latency_ms=800", **SHORT_LEASE) as world:
        await world.start_api()
        frozen, run_id, _ = await freeze_in_executor(world, "in a call")
        await world.until_status(run_id, "QUEUED")

        frozen.process.thaw()
        record = await world.until_status(run_id)
        asked = await world.calls(run_id)

    expect_completed(record, expected_output())
    assert record.claims == 2
    assert record.tries() == Counter([*NODES, "executor"])
    expect_paid_once(record, asked, in_doubt=1, again="executor")


# --- F4 ---------------------------------------------------------------------------------------------------------------------


@whole_matrix
async def test_f04_a_worker_frozen_inside_a_transaction_gives_its_run_up(
    world_without_broker: OpenWorld, record_property: Any
) -> None:
    async with world_without_broker(**SHORT_LEASE) as world:
        await world.start_api()
        frozen = await world.start_worker(SHADOWGRAPH_FAILPOINTS="engine.writer.before_commit=stop@9")
        run_id = await world.submit()
        await wait_until(lambda: frozen.process.is_frozen, timeout_seconds=20, what="the worker to freeze")
        since = time.time()
        assert transactions_that_hold(world, run_id) == 1

        heir = await world.start_worker()
        await world.until_event(run_id, "run.taken_over")
        record = await world.until_status(run_id)
        await wake_and_let_it_work(world, frozen, instead_of=heir)
        after_waking = world.observer.record(run_id)

    recovery = seconds_between(record, "run.taken_over", since)
    note_figure(record_property, "recovery after a freeze inside a transaction (10 s time-out)", [recovery])
    assert recovery <= IDLE_IN_TRANSACTION_MS / 1000 + LEASE + 2 + SLACK_SECONDS
    assert after_waking == record
    expect_completed(record, expected_output())


def transactions_that_hold(world: World, run_id: str) -> int:
    """Who else would have to wait for the run's row."""
    with_others = world.observer.rows("SELECT id FROM runs WHERE id = :id FOR UPDATE SKIP LOCKED", id=run_id)
    return 1 - len(with_others)


# --- F8 ---------------------------------------------------------------------------------------------------------------------


@whole_matrix
async def test_f08_a_run_that_kills_its_workers_fails_and_takes_no_other_with_it(
    world_without_broker: OpenWorld,
) -> None:
    """The others are in the middle of their nodes each time, and stored a checkpoint since the last time: what has no chance to do that
    three times in a row cannot be told from the run that kills.
    """
    async with world_without_broker(knobs="latency_ms=300") as world:
        await world.start_api()
        gate = world.hold("planner")
        poisoned = await world.submit(trouble={**gate.trouble, "does": "kill"})
        healthy = [await world.submit(f"lighthouse {number}") for number in range(3)]

        for death in range(1, MAX_CRASH_STREAK + 1):
            worker = await world.start_worker()
            await wait_until(
                lambda: all(got_on(world, run_id) for run_id in healthy),
                timeout_seconds=30,
                what="the others to get on",
            )
            await world.until_event(
                poisoned, "step.started", count=death + 1
            )  # researcher, and the planner of each claim
            gate.open()
            await worker.process.wait_for_end()
            gate.close()
        record = await world.until_status(poisoned)
        await world.start_worker()
        ended = [await world.until_status(run_id) for run_id in healthy]

    expect_one_end(record)
    assert (record.status, record.run["error"]["code"]) == ("FAILED", "worker_lost")
    assert record.run["error"]["retryable"]
    assert record.claims == MAX_CRASH_STREAK
    for number, other in enumerate(ended):
        expect_completed(other, expected_output(f"lighthouse {number}"))


def got_on(world: World, run_id: str) -> bool:
    """It is done, or is worked on and has stored a checkpoint since anybody took it."""
    run = world.observer.run(run_id)
    return bool(run["status"] == "COMPLETED" or (run["status"] == "RUNNING" and run["crash_streak"] == 0))


# --- F15, F16 ---------------------------------------------------------------------------------------------------------------


async def test_f15_sigterm_lets_the_node_finish_and_hands_the_run_over(
    world_without_broker: OpenWorld, record_property: Any
) -> None:
    async with world_without_broker() as world:
        await world.start_api()
        gate = world.hold("executor")
        leaving = await world.start_worker()
        run_id = await world.submit(trouble=gate.trouble)
        await world.until_in_node(run_id, "executor")
        heir = await world.start_worker()

        leaving.process.terminate()
        gate.open()
        opened = time.monotonic()
        await leaving.process.wait_for_end()
        exit_seconds = time.monotonic() - opened
        record = await world.until_status(run_id)
        asked = await world.calls(run_id)

    handed_over = handoff_seconds(record)
    note_figure(record_property, "SIGTERM: exit after the node's end", [exit_seconds])
    note_figure(record_property, "SIGTERM: from handed back to claimed", [handed_over])
    assert exit_seconds <= 1 + SLACK_SECONDS
    assert handed_over < 1
    expect_completed(record, expected_output())
    assert record.tries() == Counter(NODES)
    assert record.first_event("run.taken_over")["payload"]["worker"] == heir.id
    assert record.run["crash_streak"] == 0
    expect_paid_once(record, asked)


def handoff_seconds(record: Record) -> float:
    """From the event by which the worker gave the run back to the next claim."""
    given = next(
        row for row in record.tables["events"] if row["type"] == "run.queued" and row["payload"]["why"] == "handoff"
    )
    taken: datetime = record.first_event("run.taken_over")["at"]
    return float((taken - given["at"]).total_seconds())


@whole_matrix
async def test_f16_a_node_longer_than_the_drain_is_cut_and_its_call_is_not_paid_again(
    world_without_broker: OpenWorld, record_property: Any
) -> None:
    async with world_without_broker() as world:
        await world.start_api()
        gate = world.hold("executor", when="last")
        leaving = await world.start_worker()
        run_id = await world.submit(trouble=gate.trouble)
        await wait_until(
            lambda: has_recorded(world, run_id, "executor"), timeout_seconds=30, what="the call to be recorded"
        )
        await world.start_worker()

        leaving.process.terminate()
        terminated = time.monotonic()
        await leaving.process.wait_for_end()
        exit_seconds = time.monotonic() - terminated
        gate.open()
        record = await world.until_status(run_id)
        asked = await world.calls(run_id)

    note_figure(record_property, "SIGTERM: exit with a node that does not end (drain 25 s)", [exit_seconds])
    assert DRAIN_SECONDS - 1 <= exit_seconds <= DRAIN_SECONDS + 1 + SLACK_SECONDS
    assert handoff_seconds(record) < 1
    expect_completed(record, expected_output())
    assert record.tries() == Counter([*NODES, "executor"])
    assert record.run["crash_streak"] == 0
    expect_paid_once(record, asked)


def has_recorded(world: World, run_id: str, agent: str) -> bool:
    statement = "SELECT 1 FROM llm_calls WHERE run_id = :id AND agent = :agent AND status = 'done'"
    return bool(world.observer.rows(statement, id=run_id, agent=agent))


# --- F25 --------------------------------------------------------------------------------------------------------------------


@whole_matrix
async def test_f25_a_node_that_blocks_the_event_loop_keeps_its_lease(world_without_broker: OpenWorld) -> None:
    lowest = 1_000.0
    async with world_without_broker(**SHORT_LEASE) as world:
        await world.start_api()
        await world.start_worker()
        run_id = await world.submit(trouble={"node": "planner", "does": "block", "seconds": 2.5 * LEASE})
        await world.until_in_node(run_id, "planner")
        began = time.monotonic()
        while (row := world.observer.run(run_id))["status"] == "RUNNING":
            lowest = min(lowest, lease_left_ms(world, row))
        blocked_seconds = time.monotonic() - began
        record = await world.until_status(run_id)
        asked = await world.calls(run_id)

    assert blocked_seconds > 2 * LEASE
    assert lowest > 0
    expect_completed(record, expected_output())
    assert record.claims == 1
    expect_paid_once(record, asked)


def lease_left_ms(world: World, row: Mapping[str, Any]) -> float:
    statement = "SELECT lease_expires_at - extract(epoch FROM clock_timestamp()) * 1000 FROM runs WHERE id = :id AND status = 'RUNNING'"
    left = world.observer.scalar(statement, id=row["id"])
    return 1_000.0 if left is None else float(left)


# --- F29 --------------------------------------------------------------------------------------------------------------------


@whole_matrix
@pytest.mark.parametrize("shift_seconds", [3600, -3600])
async def test_f29_a_worker_whose_clock_is_wrong_neither_loses_nor_takes_a_run(
    world_without_broker: OpenWorld, shift_seconds: int
) -> None:
    async with world_without_broker(**SHORT_LEASE) as world:
        await world.start_api()
        first, second = world.hold("planner", name="first"), world.hold("planner", name="second")
        wrong = await world.start_worker("--slots", "1", SHADOWGRAPH_TEST_CLOCK_SHIFT=str(shift_seconds))
        theirs = await world.submit(trouble=first.trouble)
        await world.until_in_node(theirs, "planner")
        right = await world.start_worker("--slots", "1")
        ours = await world.submit(trouble=second.trouble)
        await world.until_in_node(ours, "planner")

        await outlast_leases(world, theirs, ours)
        first.open()
        second.open()
        records = [await world.until_status(run_id) for run_id in (theirs, ours)]

    off_by = (records[0].first_event("run.started")["at"] - datetime.now(UTC)).total_seconds()
    assert abs(off_by - shift_seconds) < 60
    assert [record.run["claims"] for record in records] == [1, 1]
    owners = [record.first_event("run.started")["payload"]["worker"] for record in records]
    assert owners == [wrong.id, right.id]
    for record in records:
        expect_completed(record, expected_output())


async def outlast_leases(world: World, *run_ids: str) -> None:
    """Until each lease was extended past where it first ended, twice over: every sweeper has had its chance."""
    ends = {run_id: int(world.observer.run(run_id)["lease_expires_at"]) for run_id in run_ids}
    await wait_until(
        lambda: all(
            int(world.observer.run(run_id)["lease_expires_at"]) > end + 2_000 * LEASE for run_id, end in ends.items()
        ),
        what="the leases to be extended",
    )
