import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shadowgraph.core import failpoints
from shadowgraph.core.calls import Place
from shadowgraph.core.places import Task
from shadowgraph.db.engine import Database
from shadowgraph.engine.claim import Claim, LeaseLost
from shadowgraph.engine.recorder import RunRecorder
from shadowgraph.engine.rows import EventRow, Row
from shadowgraph.engine.writer import Exit, StateNotStorable, Writer
from shadowgraph.models.events import events
from shadowgraph.queue.inprocess import InProcessWakeups
from shadowgraph.runs import repository
from shadowgraph.runs.events import NewEvent
from shadowgraph.runs.states import Status
from tests.support.runs import CLOCK, NOWHERE, claim, no_attempts, start_run


class CountingWriter(Writer):
    """Counts its transactions."""

    writes = 0

    async def write(self, claim: Claim, rows: Sequence[Row], *, is_progress: bool = False) -> None:
        self.writes += 1
        await super().write(claim, rows, is_progress=is_progress)


PLACE = Place(namespace="", node="n", superstep=1, path="")


@pytest.fixture
async def recorder(database: Database) -> RunRecorder:
    await start_run(database)
    run = await claim(database)
    return RunRecorder(
        Claim(run, NOWHERE, run.event_seq),
        Writer(database),
        clock=CLOCK,
        wakeups=InProcessWakeups(),
        attempts=no_attempts(),
    )


def note(message: str) -> EventRow:
    return EventRow(NewEvent("note", {"message": message}), CLOCK.now())


async def stored(database: Database, recorder: RunRecorder, *types: str) -> list[str]:
    async with database.read() as connection:
        found = await repository.list_events(connection, recorder.claim.run_id, after=2)
    return [str(event.payload.get("message", event.type)) for event in found if not types or event.type in types]


@asynccontextmanager
async def busy(database: Database, recorder: RunRecorder) -> AsyncIterator[None]:
    """While the block runs, a write of the run has begun and cannot end."""
    async with database.write() as connection:
        await connection.execute(events.insert().values(run_id="sys", seq=1, type="t", payload={}, at=CLOCK.now()))
        if database.dialect == "postgresql":
            await connection.exec_driver_sql("LOCK TABLE runs IN EXCLUSIVE MODE")
        yield


async def begin(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    """Under way, as far as it gets without the database."""
    task = asyncio.create_task(work)
    for _ in range(5):
        await asyncio.sleep(0)
    return task


async def test_a_write_whose_caller_is_cancelled_is_finished_and_keeps_its_place(
    database: Database, recorder: RunRecorder
) -> None:
    async with busy(database, recorder):
        first = await begin(recorder.write([note("first")]))
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        second = await begin(recorder.write([note("second")]))
    await second

    assert await stored(database, recorder) == ["first", "second"]


async def test_a_file_that_was_carried_by_a_refused_write_goes_with_the_next_one(
    database: Database, recorder: RunRecorder
) -> None:
    refused = EventRow(NewEvent("note", {"message": object()}), CLOCK.now())  # type: ignore[dict-item]
    recorder.add_artifact("a.txt", b"text", media_type="text/plain", node="n")

    with pytest.raises(StateNotStorable):
        await recorder.write([refused])
    await recorder.write([note("next")])

    assert await stored(database, recorder) == ["artifact.created", "next"]
    async with database.read() as connection:
        assert [item.path for item in await repository.list_artifacts(connection, recorder.claim.run_id)] == ["a.txt"]


async def test_leaving_is_not_undone_by_a_cancellation(database: Database, recorder: RunRecorder) -> None:
    async with busy(database, recorder):
        leaving = await begin(recorder.leave(Exit(Status.COMPLETED, CLOCK.now())))
        for _ in range(3):
            leaving.cancel()
            await asyncio.sleep(0)
    await leaving

    async with database.read() as connection:
        run = await repository.require_run(connection, recorder.claim.run_id)
    assert run.status is Status.COMPLETED


async def test_leaving_waits_for_the_writes_before_it_and_ends_those_after_it(
    database: Database, recorder: RunRecorder
) -> None:
    async with busy(database, recorder):
        before = await begin(recorder.write([note("before")]))
        leaving = await begin(recorder.leave(Exit(Status.CANCELLED, CLOCK.now())))
        after = await begin(recorder.write([note("after")]))
    await asyncio.gather(before, leaving)

    with pytest.raises(LeaseLost):
        await after
    assert await stored(database, recorder) == ["before"]


async def test_deltas_are_pruned_with_the_end_of_their_step_and_nothing_else_is(
    database: Database, recorder: RunRecorder
) -> None:
    def cancel() -> None:
        raise asyncio.CancelledError

    await recorder.start_step(Task("task", PLACE))
    failpoints.switch_on("db.committed", cancel)
    with pytest.raises(asyncio.CancelledError):
        await recorder.write([note("committed all the same")])
    await recorder.write_delta(PLACE, {"text": "Hel"})
    await recorder.write_delta(PLACE, {"text": "lo"})
    await recorder.write_pending("task", [("text", "Hello")], [])

    assert await stored(database, recorder) == ["step.started", "committed all the same", "step.finished"]


async def end_step(database: Database, writer: Writer, *, is_last: bool) -> list[str]:
    """The events of a node that ends, with its checkpoint right behind it, or without."""
    await start_run(database)
    run = await claim(database)
    recorder = RunRecorder(
        Claim(run, NOWHERE, run.event_seq), writer, clock=CLOCK, wakeups=InProcessWakeups(), attempts=no_attempts()
    )
    await recorder.start_step(Task("task", PLACE))
    ending = asyncio.create_task(recorder.write_pending("task", [], []))
    if is_last:
        await asyncio.sleep(0)
        await recorder.write_checkpoint("checkpoint", [note("checkpoint")])
    await ending
    return await stored(database, recorder)


async def test_a_nodes_end_and_the_checkpoint_right_behind_it_are_one_write(database: Database) -> None:
    writer = CountingWriter(database)

    found = await end_step(database, writer, is_last=True)

    assert found == ["step.started", "step.finished", "checkpoint"]
    assert writer.writes == 2


async def test_a_nodes_end_without_a_checkpoint_behind_it_is_written_all_the_same(database: Database) -> None:
    writer = CountingWriter(database)

    found = await end_step(database, writer, is_last=False)

    assert found == ["step.started", "step.finished"]
    assert writer.writes == 2
