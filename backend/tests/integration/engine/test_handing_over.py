"""What a worker leaves for the next one."""

import asyncio
from datetime import UTC, datetime

import pytest
from sqlalchemy import select

from shadowgraph.core import failpoints
from shadowgraph.db.engine import Database
from shadowgraph.engine import exits
from shadowgraph.engine.claim import Claim
from shadowgraph.engine.writer import Writer
from shadowgraph.models.outbox import outbox
from shadowgraph.runs import repository
from shadowgraph.runs.run import Run
from shadowgraph.runs.takeover import take_orphans
from tests.support.runs import CLOCK, NOWHERE, claim, start_run

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


async def claimed(database: Database) -> Claim:
    run = await claim(database)
    return Claim(run, NOWHERE, run.event_seq)


async def lose_worker(database: Database) -> None:
    async with database.write() as connection:
        await take_orphans(connection, clock=CLOCK)


async def reread(database: Database, run_id: str) -> Run:
    async with database.read() as connection:
        return await repository.require_run(connection, run_id)


async def test_a_run_that_is_handed_back_has_its_message_in_the_same_transaction(database: Database) -> None:
    await start_run(database)
    mine = await claimed(database)

    def die() -> None:
        raise asyncio.CancelledError

    failpoints.switch_on("db.committed", die)
    leaving = exits.handed_back(at=AT)
    with pytest.raises(asyncio.CancelledError):
        await Writer(database).leave(mine, leaving.exit, leaving.rows)

    async with database.read() as connection:
        payloads = (await connection.scalars(select(outbox.c.payload).order_by(outbox.c.id))).all()
    assert [payload["why"] for payload in payloads] == ["created", "handoff"]


async def test_a_checkpoint_clears_the_count_of_lost_workers(database: Database) -> None:
    run = await start_run(database)
    await claimed(database)
    await lose_worker(database)
    mine = await claimed(database)

    await Writer(database).write(mine, [])
    without_progress = await reread(database, run.id)
    await Writer(database).write(mine, [], is_progress=True)
    with_progress = await reread(database, run.id)

    assert (without_progress.crash_streak, with_progress.crash_streak) == (1, 0)
