"""F1 and F20 for a tool that writes: what it did outside is counted there, and only a person has it done again."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.conftest import OpenWorld
from tests.chaos.expectations import expect_no_trace_of_two_workers, expect_nothing_left_open, expect_one_end
from tests.chaos.matrix import whole_matrix
from tests.chaos.records import Record
from tests.chaos.world import World

LETTERS = ("--project", str(Path(__file__).parents[1] / "projects" / "letters"))


async def submit(world: World) -> tuple[str, Path]:
    """The run, and where its letter goes."""
    outbox = world.stage.folder / "outbox"
    asked = {"people": ["ann"], "way": "alone", "outbox": str(outbox)}
    answer = await world.post("/runs", {"workflow": "letters", "input": asked})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"]), outbox


async def until_asking(world: World, run_id: str) -> Record:
    waiting = await world.until_status(run_id, "AWAITING_HUMAN")
    expect_nothing_left_open(waiting)
    return waiting


async def answer(world: World, run_id: str, value: Any) -> None:
    assert (await world.post(f"/runs/{run_id}/answer", {"value": value})).status_code == 202


def sent(outbox: Path) -> int:
    return len(outbox.read_text().splitlines()) if outbox.exists() else 0


def expect_completed_with(record: Record, said: str) -> None:
    assert record.status == "COMPLETED", record.run["error"]
    assert record.output == {"log": [said]}
    expect_one_end(record)
    expect_nothing_left_open(record)
    expect_no_trace_of_two_workers(record)
    assert Counter(row["status"] for row in record.tables["tool_calls"]) == {"done": 1}


@pytest.mark.parametrize(
    ("failpoint", "sent_before"),
    [
        pytest.param("engine.tool.started=kill", 0, id="not begun"),
        pytest.param("engine.tool.ran=kill", 1, id="not recorded yet", marks=whole_matrix),
    ],
)
@pytest.mark.parametrize("value", ["repeat", pytest.param({"result": "looked up"}, id="result", marks=whole_matrix)])
async def test_f01_a_worker_killed_in_a_tool_that_writes_leaves_it_to_a_person(
    world_without_broker: OpenWorld, failpoint: str, sent_before: int, value: Any
) -> None:
    async with world_without_broker() as world:
        await world.start_api()
        doomed = await world.start_worker(*LETTERS, SHADOWGRAPH_FAILPOINTS=failpoint)
        run_id, outbox = await submit(world)
        await doomed.process.wait_for_end(timeout_seconds=20)

        await world.start_worker(*LETTERS)
        waiting = await until_asking(world, run_id)
        sent_while_waiting = sent(outbox)
        await answer(world, run_id, value)
        record = await world.until_status(run_id)

    assert [row["status"] for row in waiting.tables["tool_calls"]] == ["in_doubt"]
    assert sent_while_waiting == sent_before
    expect_completed_with(record, "sent to ann" if value == "repeat" else "looked up")
    assert sent(outbox) == sent_before + (value == "repeat")
    assert record.claims == 3


@whole_matrix
@pytest.mark.parametrize("failpoint", ["worker.claim.committed=kill", "engine.step.started:alone=kill"])
async def test_f20_an_answer_about_a_tool_survives_the_worker_that_dies_right_after_it_came(
    world_without_broker: OpenWorld, failpoint: str
) -> None:
    async with world_without_broker() as world:
        await world.start_api()
        doomed = await world.start_worker(*LETTERS, SHADOWGRAPH_FAILPOINTS="engine.tool.started=kill")
        run_id, outbox = await submit(world)
        await doomed.process.wait_for_end(timeout_seconds=20)
        asking = await world.start_worker(*LETTERS)
        await until_asking(world, run_id)
        asking.process.terminate()
        await asking.process.wait_for_end()

        doomed = await world.start_worker(*LETTERS, SHADOWGRAPH_FAILPOINTS=failpoint)
        await answer(world, run_id, "repeat")
        await doomed.process.wait_for_end(timeout_seconds=20)
        await world.start_worker(*LETTERS)
        record = await world.until_status(run_id)

    expect_completed_with(record, "sent to ann")
    assert sent(outbox) == 1
    assert record.event_types().count("interaction.created") == 1
