import asyncio
import secrets
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import TimeoutError as PoolTimeout

from shadowgraph.core import failpoints
from shadowgraph.db.engine import Database
from shadowgraph.engine.claim import Claim, LeaseLost
from shadowgraph.engine.rows import (
    ArtifactRow,
    AttemptRow,
    CallRow,
    EventRow,
    PayloadRow,
    Row,
    StepEndRow,
    StepRow,
    ToolEndRow,
    ToolRow,
)
from shadowgraph.engine.writer import Exit, StateNotStorable, Writer
from shadowgraph.models.events import events
from shadowgraph.models.llm_calls import llm_calls
from shadowgraph.models.payloads import payloads
from shadowgraph.models.runs import runs
from shadowgraph.runs import repository
from shadowgraph.runs.events import NewEvent
from shadowgraph.runs.run import Run
from shadowgraph.runs.states import Status
from shadowgraph.runs.takeover import take_orphans
from tests.support.runs import CLOCK, NOWHERE, claim, start_run

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def note(message: str) -> EventRow:
    return EventRow(NewEvent("note", {"message": message}), AT)


async def claimed(database: Database) -> Claim:
    await start_run(database)
    run = await claim(database)
    return Claim(run, NOWHERE, run.event_seq)


async def reread(database: Database, run: Run) -> Run:
    async with database.read() as connection:
        return await repository.require_run(connection, run.id)


async def test_events_are_numbered_in_commit_order_without_gaps(database: Database) -> None:
    mine = await claimed(database)
    writer = Writer(database)

    await writer.write(mine, [note("one"), note("two")])
    await writer.write(mine, [])
    await writer.write(mine, [note("three")])

    async with database.read() as connection:
        stored = await repository.list_events(connection, mine.run_id, after=2)
    assert [(event.seq, event.payload["message"], event.at) for event in stored] == [
        (3, "one", AT),
        (4, "two", AT),
        (5, "three", AT),
    ]
    assert mine.event_seq == 5


async def test_a_write_without_the_lease_leaves_nothing(database: Database) -> None:
    mine = await claimed(database)
    async with database.write() as connection:
        await take_orphans(connection, clock=CLOCK)
    before = await reread(database, mine.run)
    rows: list[Row] = [PayloadRow("0" * 64, "text/plain", 1, b"x"), note("late")]

    with pytest.raises(LeaseLost):
        await Writer(database).write(mine, rows)
    with pytest.raises(LeaseLost):
        await Writer(database).leave(mine, Exit(Status.COMPLETED, AT))

    assert await reread(database, mine.run) == before
    async with database.read() as connection:
        assert await connection.scalar(select(func.count()).where(payloads.c.sha256 == "0" * 64)) == 0


async def test_a_row_that_cannot_be_stored_takes_the_whole_write_with_it(database: Database) -> None:
    mine = await claimed(database)
    too_large = ArtifactRow("a.txt", "text/plain", 2**70, "0" * 64, None, AT)

    with pytest.raises(StateNotStorable):
        await Writer(database).write(mine, [note("one"), too_large])

    assert (await reread(database, mine.run)).event_seq == mine.event_seq
    await Writer(database).write(mine, [note("still ours")])


async def test_leaving_ends_the_steps_that_were_cut_off(database: Database) -> None:
    mine = await claimed(database)
    writer = Writer(database)
    step = {"superstep": 1, "path": "p", "attempt": 1}
    await writer.write(mine, [StepRow(node="done", started_at=AT, checkpoint_id=None, **step)])  # type: ignore[arg-type]
    await writer.write(mine, [StepEndRow(node="done", status="finished", finished_at=AT, **step)])  # type: ignore[arg-type]
    await writer.write(mine, [StepRow(node="open", started_at=AT, checkpoint_id=None, **step)])  # type: ignore[arg-type]

    await writer.leave(mine, Exit(Status.CANCELLED, AT))

    async with database.read() as connection:
        steps = await repository.list_steps(connection, mine.run_id)
    assert {item.node: item.status for item in steps} == {"done": "finished", "open": "cancelled"}


async def test_leaving_puts_the_calls_that_were_cut_off_in_doubt(database: Database) -> None:
    mine = await claimed(database)
    writer = Writer(database)
    tool = {"args_hash": "h", "step_key": "s", "schema_digest": "d", "agent": "a", "args_ref": "r", "at": AT}
    cut: list[Row] = [
        CallRow("cut", "h", "s", "a", AT),
        AttemptRow("cut", "h", 1, "a", AT, "offline", "m", estimated_prompt_tokens=7),
        ToolRow(call_key="cut", tool="search", effect="read", **tool),  # type: ignore[arg-type]
        ToolRow(call_key="done", tool="search", effect="read", **tool),  # type: ignore[arg-type]
        ToolEndRow("done", "h", "done", "r", None, AT),
    ]
    await writer.write(mine, cut)

    await writer.leave(mine, Exit(Status.CANCELLED, AT))

    async with database.read() as connection:
        attempts = await repository.list_llm_attempts(connection, mine.run_id)
        tools = await repository.list_tool_calls(connection, mine.run_id)
        calls = (await connection.scalars(select(llm_calls.c.status))).all()
    assert calls == ["in_doubt"]
    assert [(item.status, item.prompt_tokens, item.tokens_source) for item in attempts] == [
        ("in_doubt", 7, "estimated")
    ]
    assert {item.call_key: item.status for item in tools} == {"cut": "in_doubt", "done": "done"}


async def test_leaving_counts_its_events_so_that_readers_are_woken_for_them(database: Database) -> None:
    mine = await claimed(database)

    await Writer(database).leave(mine, Exit(Status.COMPLETED, AT, events=[NewEvent("run.finished")]))

    assert mine.event_seq == (await reread(database, mine.run)).event_seq == 3


async def test_a_run_that_leaves_for_the_queue_may_be_claimed_again(database: Database) -> None:
    mine = await claimed(database)

    await Writer(database).leave(mine, Exit(Status.QUEUED, AT, reason="handoff"))

    again = await claim(database)
    assert (again.id, again.claims, again.lease_token) == (mine.run_id, 2, mine.token + 2)


async def test_a_run_that_is_handed_back_keeps_its_place_before_later_ones(database: Database) -> None:
    mine = await claimed(database)
    await start_run(database)

    await Writer(database).leave(mine, Exit(Status.QUEUED, AT, reason="handoff"))

    assert (await claim(database)).id == mine.run_id


async def test_a_commit_whose_answer_was_lost_is_not_made_twice(database: Database) -> None:
    mine = await claimed(database)
    writer = Writer(database)
    cut = ConnectionResetError("the connection went away after COMMIT was sent")

    def lose_the_answer() -> None:
        raise cut

    failpoints.switch_on("db.committed", lose_the_answer)
    await writer.write(mine, [note("once")])
    failpoints.switch_on("db.committed", lose_the_answer)
    await writer.leave(mine, Exit(Status.COMPLETED, AT, events=[NewEvent("run.finished")]))

    async with database.read() as connection:
        of_run = select(events.c.type).where(events.c.run_id == mine.run_id, events.c.seq > 2).order_by(events.c.seq)
        assert (await connection.scalars(of_run)).all() == ["note", "run.finished"]
        assert await connection.scalar(select(runs.c.event_seq)) == 4


async def test_numbers_stay_right_after_a_write_whose_caller_was_cancelled_though_it_was_committed(
    database: Database,
) -> None:
    mine = await claimed(database)
    writer = Writer(database)

    def cancel() -> None:
        raise asyncio.CancelledError

    failpoints.switch_on("db.committed", cancel)
    with pytest.raises(asyncio.CancelledError):
        await writer.write(mine, [note("nobody saw that this one was committed")])
    await writer.write(mine, [note("next")])

    assert mine.event_seq == (await reread(database, mine.run)).event_seq == 4


async def test_a_lost_answer_is_not_mistaken_for_an_earlier_one(database: Database) -> None:
    mine = await claimed(database)
    writer = Writer(database)

    def cancel() -> None:
        raise asyncio.CancelledError

    def lose_the_connection() -> None:
        raise ConnectionResetError("it went away before COMMIT was sent")

    failpoints.switch_on("db.committed", cancel)
    with pytest.raises(asyncio.CancelledError):
        await writer.write(mine, [note("first")])
    failpoints.switch_on("engine.writer.before_commit", lose_the_connection)
    await writer.write(mine, [note("second")])

    async with database.read() as connection:
        stored = await repository.list_events(connection, mine.run_id, after=2)
    assert [event.payload["message"] for event in stored] == ["first", "second"]


async def test_a_write_waits_for_a_free_connection_however_long_it_takes(database: Database) -> None:
    mine = await claimed(database)

    def all_taken() -> None:
        raise PoolTimeout("every connection was taken for too long")

    failpoints.switch_on("db.committed", all_taken)
    await Writer(database).write(mine, [note("once")])

    async with database.read() as connection:
        assert await connection.scalar(select(func.count()).where(events.c.type == "note")) == 1


async def test_a_key_too_long_for_its_index_is_refused_instead_of_tried_for_ever(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    mine = await claimed(database)
    too_long = CallRow(secrets.token_hex(10_000), "0" * 64, "step", "agent", AT)

    with pytest.raises(StateNotStorable):
        await asyncio.wait_for(Writer(database).write(mine, [too_long]), timeout=5)

    await database.close()


async def test_a_refusal_does_not_repeat_the_runs_texts(database: Database) -> None:
    mine = await claimed(database)
    secret = PayloadRow("0" * 64, "text/plain", 2**70, b"what nobody else may read")

    with pytest.raises(StateNotStorable) as refused:
        await Writer(database).write(mine, [note("private words"), secret])

    assert "INSERT" not in refused.value.message
    assert "private" not in refused.value.message


async def test_writes_of_sixteen_runs_at_once_do_not_disturb_each_other(database: Database) -> None:
    claims = [await claimed(database) for _ in range(16)]
    async with database.write() as connection:
        lost = claims[3]
        await connection.execute(runs.update().where(runs.c.id == lost.run_id).values(lease_token=lost.token + 1))
    poisoned = ArtifactRow("a.txt", "text/plain", 2**70, "0" * 64, None, AT)

    writer = Writer(database)
    outcomes = await asyncio.gather(
        *(
            writer.write(item, [note("hello"), *([poisoned] if index == 7 else [])])
            for index, item in enumerate(claims)
        ),
        return_exceptions=True,
    )

    failed = {index: type(outcome) for index, outcome in enumerate(outcomes) if outcome is not None}
    assert failed == {3: LeaseLost, 7: StateNotStorable}
    async with database.read() as connection:
        notes = select(func.count()).where(events.c.type == "note")
        assert await connection.scalar(notes) == 14
