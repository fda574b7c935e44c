"""What a worker finds of the calls that an earlier one made."""

import asyncio
from collections import Counter
from datetime import UTC, datetime

from shadowgraph.core.calls import AttemptEnd, AttemptStart, CallId, Place, Usage
from shadowgraph.costs.prices import PriceBook
from shadowgraph.db.engine import Database
from shadowgraph.engine.claim import Claim
from shadowgraph.engine.context import RunContext
from shadowgraph.engine.journal import EngineLlmJournal, StepMemory
from shadowgraph.engine.recorder import RunRecorder
from shadowgraph.engine.writer import Writer
from shadowgraph.queue.inprocess import InProcessWakeups
from shadowgraph.runs.lifecycle import retry_run
from shadowgraph.runs.repository import list_events
from shadowgraph.runs.states import Status
from shadowgraph.runs.takeover import take_orphans
from tests.support.llm import MemoryAnswerJournal
from tests.support.moves import Moves
from tests.support.runs import CLOCK, NOWHERE, NoModels, NoTools, claim, start_run

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
PLACE = Place("", "coder", 3, "")
CALL = CallId("0//coder/3//0", "hash of the request", PLACE)


async def next_recorder(database: Database) -> RunRecorder:
    run = await claim(database)
    mine = Claim(run, NOWHERE, run.event_seq)
    return RunRecorder(mine, Writer(database), clock=CLOCK, wakeups=InProcessWakeups(), attempts=Counter())


async def next_journal(database: Database) -> EngineLlmJournal:
    return EngineLlmJournal(await next_recorder(database), database, StepMemory(), clock=CLOCK, prices=PriceBook())


async def begin(journal: EngineLlmJournal, call: CallId) -> None:
    start = AttemptStart(n=1, provider="fake", model="m", at=AT, estimated_prompt_tokens=1)
    await journal.start(call, agent="coder", attempt=start)


async def answer(journal: EngineLlmJournal, call: CallId, text: bytes) -> None:
    end = AttemptEnd(n=1, at=AT, usage=Usage(1, 1), error_class=None, ttft_ms=1, latency_ms=1)
    await begin(journal, call)
    await journal.finish(call, agent="coder", ended=end, answer=text)


async def lose_worker(database: Database) -> None:
    async with database.write() as connection:
        await take_orphans(connection, clock=CLOCK)


async def test_a_finished_call_is_answered_from_the_journal_after_a_takeover(database: Database) -> None:
    await start_run(database)
    await answer(await next_journal(database), CALL, b'"paid"')
    await lose_worker(database)

    found = await (await next_journal(database)).find(CALL)

    assert found is not None
    assert found.answer == b'"paid"'


async def test_another_request_at_the_same_place_is_another_call(database: Database) -> None:
    await start_run(database)
    await answer(await next_journal(database), CALL, b'"paid"')
    await lose_worker(database)

    found = await (await next_journal(database)).find(CallId(CALL.key, "hash of another request", PLACE))

    assert found is None


async def test_calls_are_counted_from_the_start_in_each_attempt_of_a_step(database: Database) -> None:
    await start_run(database)
    recorder = await next_recorder(database)
    context = RunContext(recorder, NoModels(), NoTools(), MemoryAnswerJournal(), loop=asyncio.get_running_loop())
    again = Place(PLACE.namespace, PLACE.node, PLACE.superstep, PLACE.path, attempt=2)

    first = [context.next_index(PLACE) for _ in range(2)]
    second = [context.next_index(again) for _ in range(2)]

    assert (first, second) == ([0, 1], [0, 1])


async def test_a_retry_keeps_the_generation_so_that_paid_calls_stay_paid(database: Database) -> None:
    run = await start_run(database)
    moves = Moves(database, InProcessWakeups())
    await moves.fail(await moves.claim(run.id, "shapes"), {"code": "broken", "message": "not now"})

    async with database.write() as connection:
        retried = await retry_run(connection, run.id, who="somebody", clock=CLOCK)

    assert (retried.status, retried.generation) == (Status.QUEUED, run.generation)


async def test_the_run_says_how_much_text_an_attempt_went_without(database: Database) -> None:
    run = await start_run(database)
    journal = await next_journal(database)
    await begin(journal, CALL)
    refused = AttemptEnd(n=1, at=AT, usage=None, error_class="context_too_long")
    shorter = AttemptStart(
        n=2, provider="fake", model="m", at=AT, estimated_prompt_tokens=1, left_out_characters=70_000
    )

    await journal.retry(CALL, agent="coder", ended=refused, attempt=shorter, error="too long", wait_seconds=0.0)

    async with database.read() as connection:
        told = (await list_events(connection, run.id, after=0, limit=100))[-1]
    assert (told.type, told.payload["error_class"]) == ("call.retried", "context_too_long")
    assert told.payload["left_out_characters"] == 70_000


async def test_the_same_request_at_another_index_is_the_same_call(database: Database) -> None:
    """Calls side by side come in another order after a crash."""
    await start_run(database)
    first = await next_journal(database)
    await answer(first, CALL, b'"paid"')
    await answer(first, _at(1), b'"paid again"')
    await lose_worker(database)

    journal = await next_journal(database)
    found = [await journal.find(_at(index)) for index in (3, 1, 0, 2)]

    assert [recorded.answer if recorded else None for recorded in found] == [b'"paid"', b'"paid again"', None, None]


async def test_no_two_calls_ever_stand_under_one_key(database: Database) -> None:
    """A call in doubt is found under another index; the next one must not take its row, or an attempt would be lost from the ledger."""
    await start_run(database)
    await begin(await next_journal(database), _at(1))
    await lose_worker(database)

    journal = await next_journal(database)
    issued = [_at(2), _at(1), _at(3)]
    found = [await journal.find(call) for call in issued]
    standing = [record.rename(call) if record else call for record, call in zip(found, issued, strict=True)]

    assert [call.key for call in standing] == [_at(1).key, _at(2).key, _at(3).key]
    assert [record.attempts if record else 0 for record in found] == [1, 0, 0]


async def test_a_call_of_another_line_is_another_call(database: Database) -> None:
    await start_run(database)
    await answer(await next_journal(database), CallId("0//coder/3/~left/0", CALL.request_hash, PLACE), b'"paid"')
    await lose_worker(database)

    assert await (await next_journal(database)).find(CALL) is None


async def test_a_request_that_is_made_twice_on_purpose_is_two_calls(database: Database) -> None:
    await start_run(database)
    journal = await next_journal(database)
    assert await journal.find(CALL) is None
    await answer(journal, CALL, b'"paid"')

    assert await journal.find(_at(1)) is None


def _at(index: int) -> CallId:
    return CallId(f"0//coder/3//{index}", CALL.request_hash, PLACE)
