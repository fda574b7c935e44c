"""A run that failed while it waited for a person, and is retried."""

from datetime import UTC, datetime

from sqlalchemy import update

from shadowgraph.db.dialect import now_ms
from shadowgraph.db.engine import Database
from shadowgraph.engine import exits
from shadowgraph.engine.claim import Claim
from shadowgraph.engine.interrupts import Question
from shadowgraph.engine.writer import Writer
from shadowgraph.models.interactions import interactions
from shadowgraph.runs.deadlines import settle_unanswered
from shadowgraph.runs.interactions import Interaction, InteractionQuery, answer_interaction, list_interactions
from shadowgraph.runs.lifecycle import retry_run
from shadowgraph.runs.run import Run
from shadowgraph.runs.states import Status
from tests.support.runs import CLOCK, NOWHERE, claim, start_run

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
QUESTION = Question("interrupt", "go on?", None, None, deadline_seconds=60)


async def claim_and_ask(database: Database) -> Run:
    run = await claim(database)
    leaving = exits.awaiting([QUESTION], at=AT)
    await Writer(database).leave(Claim(run, NOWHERE, run.event_seq), leaving.exit, leaving.rows)
    return run


async def questions(database: Database, *statuses: str) -> list[Interaction]:
    async with database.read() as connection:
        return list((await list_interactions(connection, InteractionQuery(status=statuses))).items)


async def answer(database: Database, question: Interaction) -> Run:
    async with database.write() as connection:
        return await answer_interaction(connection, question.run_id, question.id, "yes", who="me", clock=CLOCK)


async def test_a_run_that_failed_unanswered_and_is_retried_asks_again(database: Database) -> None:
    await start_run(database)
    run = await claim_and_ask(database)
    async with database.write() as connection:
        await connection.execute(update(interactions).values(deadline_at=now_ms() - 1))
        await settle_unanswered(connection, clock=CLOCK)
        await retry_run(connection, run.id, who="me", clock=CLOCK)

    await claim_and_ask(database)

    (asked,) = await questions(database, "open")
    assert asked.deadline_at > (run.lease_expires_at or 0) - 30_000
    assert (await answer(database, asked)).status is Status.QUEUED


async def test_a_question_that_was_answered_stays_answered_when_it_is_asked_again(database: Database) -> None:
    await start_run(database)
    await claim_and_ask(database)
    await answer(database, (await questions(database, "open"))[0])

    await claim_and_ask(database)

    (answered,) = await questions(database, "open", "answered", "closed")
    assert (answered.status, answered.answer) == ("answered", {"value": "yes"})
