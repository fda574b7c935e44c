"""Wishes that arrive while a worker is already leaving for another reason."""

from datetime import UTC, datetime

from shadowgraph.db.engine import Database
from shadowgraph.engine import exits
from shadowgraph.engine.claim import Claim
from shadowgraph.engine.exits import Leaving
from shadowgraph.engine.interrupts import Question
from shadowgraph.engine.writer import Writer
from shadowgraph.runs import repository
from shadowgraph.runs.interactions import InteractionQuery, list_interactions
from shadowgraph.runs.lifecycle import pause_run
from shadowgraph.runs.run import Run
from shadowgraph.runs.service import cancel_run
from shadowgraph.runs.states import Status
from tests.support.runs import CLOCK, NOWHERE, claim, start_run

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


async def running(database: Database) -> Claim:
    await start_run(database)
    run = await claim(database)
    return Claim(run, NOWHERE, run.event_seq)


async def ask_to_cancel(database: Database, mine: Claim) -> None:
    async with database.write() as connection:
        await cancel_run(connection, mine.run_id, clock=CLOCK)


async def leave(database: Database, mine: Claim, leaving: Leaving) -> Run:
    await Writer(database).leave(mine, leaving.exit, leaving.rows)
    async with database.read() as connection:
        return await repository.require_run(connection, mine.run_id)


async def kinds_of_events(database: Database, mine: Claim) -> list[str]:
    async with database.read() as connection:
        return [event.type for event in await repository.list_events(connection, mine.run_id)]


async def test_a_cancel_that_comes_while_a_worker_pauses_the_run_is_not_lost(database: Database) -> None:
    mine = await running(database)
    async with database.write() as connection:
        await pause_run(connection, mine.run_id, who="somebody", clock=CLOCK)
    await ask_to_cancel(database, mine)

    left = await leave(database, mine, exits.paused(at=AT))

    assert (left.status, left.control) == (Status.CANCELLED, None)
    assert (await kinds_of_events(database, mine)).count("run.finished") == 1


async def test_a_pause_that_is_honoured_is_told_once(database: Database) -> None:
    mine = await running(database)
    async with database.write() as connection:
        await pause_run(connection, mine.run_id, who="somebody", clock=CLOCK)

    left = await leave(database, mine, exits.paused(at=AT))

    assert (left.status, left.control) == (Status.PAUSED, None)
    assert (await kinds_of_events(database, mine)).count("run.paused") == 1


async def test_a_run_that_was_cancelled_while_it_began_to_ask_asks_nobody(database: Database) -> None:
    mine = await running(database)
    await ask_to_cancel(database, mine)
    question = Question("interrupt", "go on?", None, None, deadline_seconds=60)

    left = await leave(database, mine, exits.awaiting([question], at=AT))

    async with database.read() as connection:
        asked = (await list_interactions(connection, InteractionQuery(status=("open",)))).items
    assert left.status is Status.CANCELLED
    assert asked == []
