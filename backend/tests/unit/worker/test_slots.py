import asyncio
import logging
from dataclasses import dataclass
from typing import Any, cast

import pytest

from shadowgraph.engine.driver import Drive
from shadowgraph.worker.slots import Slots
from tests.support.waiting import wait_until


@dataclass(frozen=True)
class SomeRun:
    id: str = "run_a"
    control: str | None = None


def some_drive(run_id: str = "run_a") -> Drive:
    return Drive(cast(Any, SomeRun(run_id)))


class Freed:
    times = 0

    def __call__(self) -> None:
        self.times += 1


@pytest.fixture
def freed() -> Freed:
    return Freed()


@pytest.fixture
def slots(freed: Freed) -> Slots:
    return Slots(2, on_free=freed)


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


async def test_no_more_slots_are_taken_than_there_are(slots: Slots) -> None:
    assert [slots.take() for _ in range(3)] == [True, True, False]

    slots.give_back()

    assert slots.has_room
    assert slots.take()


async def test_a_slot_is_free_again_when_its_work_ends(slots: Slots, freed: Freed) -> None:
    done = asyncio.Event()
    assert slots.take()

    slots.start(some_drive(), cast(Any, done.wait))
    assert list(slots.active) == ["run_a"]
    done.set()
    assert await slots.wait_until_empty(timeout_seconds=5)

    assert not slots.active
    assert freed.times == 1
    assert [slots.take() for _ in range(3)] == [True, True, False]


async def test_work_that_breaks_frees_its_slot_and_is_logged(slots: Slots, caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> None:
        raise ValueError("a defect of ours")

    assert slots.take()
    with caplog.at_level(logging.ERROR):
        slots.start(some_drive(), broken)
        await wait_until(lambda: not slots.active)

    assert "run_a was dropped" in caplog.text
    assert slots.has_room


async def test_the_first_reason_to_stop_counts(slots: Slots) -> None:
    drive = some_drive()
    assert slots.take()
    slots.start(drive, wait_for_ever)
    await wait_until(lambda: drive.has_begun)

    slots.active[drive.run.id].stop("cancel")
    slots.active[drive.run.id].stop("handoff")
    assert await slots.wait_until_empty(timeout_seconds=5)

    assert drive.stop_reason == "cancel"


async def test_waiting_ends_when_the_time_is_up(slots: Slots) -> None:
    assert slots.take()
    slots.start(some_drive(), wait_for_ever)

    assert not await slots.wait_until_empty(timeout_seconds=0.01)

    slots.active[some_drive().run.id].task.cancel()
    await wait_until(lambda: not slots.active)


async def test_a_second_claim_of_a_run_takes_the_place_of_the_first(slots: Slots) -> None:
    first, second = some_drive(), some_drive()
    done = asyncio.Event()
    assert slots.take()
    slots.start(first, wait_for_ever)
    await wait_until(lambda: first.has_begun)
    assert slots.take()

    slots.start(second, cast(Any, done.wait))
    await wait_until(lambda: slots.has_room)

    assert first.stop_reason == "lost"
    assert slots.active[second.run.id].drive is second
    done.set()
    assert await slots.wait_until_empty(timeout_seconds=5)
