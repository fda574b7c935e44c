"""F1: kill -9 at every boundary of every node. What repeats, and what is paid again, is what the promise says."""

from collections import Counter
from dataclasses import dataclass
from enum import Enum, auto

import pytest

from tests.chaos.conftest import OpenWorld
from tests.chaos.expectations import expect_completed, expect_paid_again_only_what_was_in_flight, expect_paid_once
from tests.chaos.matrix import whole_matrix
from tests.chaos.oracle import expected_fan_out, expected_output
from tests.chaos.records import Record
from tests.chaos.world import FAN_OUT_CALLS, ITEMS, ROUNDS, World
from tests.projects.faults.graph import NODES
from tests.support.processes import Process


class Repeats(Enum):
    """Which node runs again from its first line."""

    NODE = auto()
    PERHAPS_NODE = auto()
    """LangGraph does not order a task's writes against the next checkpoint: they may be stored, or not yet."""
    PERHAPS_NEXT = auto()
    """For the same reason the node behind it may have begun."""
    NONE = auto()


@dataclass(frozen=True, slots=True)
class Point:
    """Where the worker dies, and what that costs."""

    failpoint: str
    repeats: Repeats = Repeats.NODE
    in_doubt: int = 0
    paid_again: bool = False


CHECKPOINT_OF = {node: number + 3 for number, node in enumerate(NODES)}
"""How many checkpoints there are with the node's own: the first two are those of the input and before the first node."""

POINTS = {
    "node entered": Point("engine.step.started:{node}=kill"),
    "request not sent yet": Point("llm.attempt.started:{node}=kill", in_doubt=1),
    "request in flight": Point("", in_doubt=1, paid_again=True),
    "answer not recorded yet": Point("llm.answer.received:{node}=kill", in_doubt=1, paid_again=True),
    "answer recorded": Point("engine.journal.finished:{node}=kill"),
    "node returned": Point("engine.pending.before:{node}=kill"),
    "writes stored": Point("engine.pending.after:{node}=kill", Repeats.PERHAPS_NEXT),
    "before the checkpoint": Point("engine.checkpoint.before=kill@{checkpoint}", Repeats.PERHAPS_NODE),
    "after the checkpoint": Point("engine.checkpoint.after=kill@{checkpoint}", Repeats.NONE),
}
QUICK = {
    ("node entered", "researcher"),
    ("request in flight", "planner"),
    ("answer not recorded yet", "executor"),
    ("answer recorded", "coder"),
    ("after the checkpoint", "finalizer"),
}
CASES = [
    pytest.param(point, node, marks=() if (point, node) in QUICK else whole_matrix, id=f"{point}-{node}")
    for point in POINTS
    for node in NODES
]
IN_FLIGHT_MS = 700
"""How long the provider keeps a request that the worker is to die over."""


async def kill_at(world: World, point: Point, node: str) -> str:
    """The run whose worker has died there."""
    failpoint = point.failpoint.format(node=node, checkpoint=CHECKPOINT_OF[node])
    doomed = await world.start_worker(SHADOWGRAPH_FAILPOINTS=failpoint)
    run_id = await world.submit()
    if not failpoint:
        await world.until_asked(run_id, node)
        doomed.process.kill()
    await expect_dead(doomed.process)
    return run_id


async def expect_dead(process: Process) -> None:
    """The fault has happened: no worker is left, and it did not say goodbye."""
    await process.wait_for_end(timeout_seconds=20)
    assert "Traceback" not in process.tail()


@pytest.mark.parametrize(("point_name", "node"), CASES)
async def test_f01_a_worker_killed_at_a_boundary(world_without_broker: OpenWorld, point_name: str, node: str) -> None:
    point = POINTS[point_name]
    knobs = "" if point.failpoint else f"{node}.latency_ms={IN_FLIGHT_MS}"
    async with world_without_broker(knobs=knobs) as world:
        await world.start_api()
        run_id = await kill_at(world, point, node)

        await world.start_worker()
        record = await world.until_status(run_id)
        asked = await world.calls(run_id)

    expect_completed(record, expected_output())
    assert record.claims == 2
    expect_repeats(record, point.repeats, node)
    if point.repeats is Repeats.PERHAPS_NEXT:
        expect_paid_again_only_what_was_in_flight(record, asked, at_most=1)
    else:
        expect_paid_once(record, asked, in_doubt=point.in_doubt, again=node if point.paid_again else "")


def expect_repeats(record: Record, repeats: Repeats, node: str) -> None:
    following = NODES[NODES.index(node) + 1 :][:1]
    allowed = {
        Repeats.NODE: ([node],),
        Repeats.PERHAPS_NODE: ([node], []),
        Repeats.PERHAPS_NEXT: (following, []),
        Repeats.NONE: ([],),
    }
    assert list((record.tries() - Counter(NODES)).elements()) in map(list, allowed[repeats])


@whole_matrix
async def test_f01_a_worker_killed_between_the_two_calls_of_a_node(world_without_broker: OpenWorld) -> None:
    async with world_without_broker() as world:
        await world.start_api()
        doomed = await world.start_worker(SHADOWGRAPH_FAILPOINTS="llm.answer.received:coder=kill@2")
        run_id = await world.submit()
        await expect_dead(doomed.process)

        await world.start_worker()
        record = await world.until_status(run_id)
        asked = await world.calls(run_id)

    expect_completed(record, expected_output())
    assert record.tries() == Counter(NODES) + Counter(["coder"])
    expect_paid_once(record, asked, in_doubt=1, again="coder")


@whole_matrix
@pytest.mark.parametrize(
    ("failpoint", "claims"),
    [
        pytest.param("worker.claim.committed=kill", 2, id="claimed"),
        pytest.param("engine.driver.leaving=kill", 2, id="before the last transaction"),
        pytest.param("engine.driver.left=kill", 1, id="after the last transaction"),
    ],
)
async def test_f01_a_worker_killed_at_an_end_of_the_run(
    world_without_broker: OpenWorld, failpoint: str, claims: int
) -> None:
    async with world_without_broker() as world:
        await world.start_api()
        doomed = await world.start_worker(SHADOWGRAPH_FAILPOINTS=failpoint)
        run_id = await world.submit()
        await expect_dead(doomed.process)

        await world.start_worker()
        record = await world.until_status(run_id)
        asked = await world.calls(run_id)

    expect_completed(record, expected_output())
    assert record.claims == claims
    assert record.tries() == Counter(NODES)
    expect_paid_once(record, asked)


# --- where three tasks run side by side, twice ------------------------------------------------------------------------------

FAN_OUT_NODES = Counter(
    {"__start__": 1, "many": 1, "begin_round": ROUNDS, "work": len(ITEMS) * ROUNDS, "end_round": ROUNDS, "report": 1}
)
"""What an undisturbed run enters; the branch behind START is a step of its own."""

FAN_OUT_POINTS = {
    "before the fan-out": "engine.journal.finished:many=kill",
    "first task entered": "engine.step.started:work=kill",
    "last task entered": "engine.step.started:work=kill@3",
    "request not sent yet": "llm.attempt.started:work=kill@2",
    "first answer not recorded yet": "llm.answer.received:work=kill",
    "last answer not recorded yet": "llm.answer.received:work=kill@3",
    "first answer recorded": "engine.journal.finished:work=kill",
    "last answer recorded": "engine.journal.finished:work=kill@3",
    "first task returned": "engine.pending.before:work=kill",
    "second task's writes stored": "engine.pending.after:work=kill@2",
    "before the checkpoint that gathers": "engine.checkpoint.before=kill@5",
    "after the checkpoint that gathers": "engine.checkpoint.after=kill@5",
    "in the second round": "engine.journal.finished:work=kill@5",
    "before the last transaction": "engine.driver.leaving=kill",
    "after the last transaction": "engine.driver.left=kill",
}


@whole_matrix
@pytest.mark.parametrize("point", FAN_OUT_POINTS)
async def test_f01_a_worker_killed_while_tasks_run_side_by_side(world_without_broker: OpenWorld, point: str) -> None:
    async with world_without_broker(knobs="work.latency_ms=100") as world:
        await world.start_api()
        doomed = await world.start_worker(SHADOWGRAPH_FAILPOINTS=FAN_OUT_POINTS[point])
        run_id = await world.submit_fan_out()
        await expect_dead(doomed.process)

        await world.start_worker()
        record = await world.until_status(run_id)
        asked = await world.calls(run_id)

    expect_completed(record, expected_fan_out())
    assert record.claims == (1 if point == "after the last transaction" else 2)
    assert record.tries() - FAN_OUT_NODES <= Counter(
        {"many": 1} if point == "before the fan-out" else {"work": len(ITEMS)}
    )
    expect_paid_again_only_what_was_in_flight(record, asked, least=FAN_OUT_CALLS, at_most=len(ITEMS))
