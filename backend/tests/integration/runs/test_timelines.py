"""A promoted standby. The server's timeline cannot be changed here, but what was written down of it can."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.clock import ManualClock, SystemClock
from shadowgraph.db.dialect import now_ms
from shadowgraph.db.engine import Database, is_outage
from shadowgraph.db.sessions import timeline_of
from shadowgraph.models.runs import runs
from shadowgraph.models.timelines import timelines
from shadowgraph.models.workers import workers
from shadowgraph.runs.run import Run
from shadowgraph.runs.states import Status
from shadowgraph.runs.sweeper import Sweeper, SweepSettings
from shadowgraph.runs.timelines import TOKEN_LEAP, Server, settle_timeline
from tests.support.runs import claim, start_run

SETTINGS = SweepSettings(lease_seconds=30, presence_grace_seconds=15)
OLD = 4711
"""A timeline that the server is not on."""


@pytest.fixture
async def database(postgresql_url: str) -> AsyncIterator[Database]:
    connections = Database(postgresql_url)
    yield connections
    await connections.close()


async def pretend_promotion(database: Database) -> None:
    """The only timeline that was ever seen is another one."""
    async with database.settling() as connection:
        await connection.execute(timelines.delete())
        await connection.execute(insert(timelines).values(timeline=OLD))


async def tokens(database: Database, *some: Run) -> list[int]:
    async with database.read() as connection:
        found = await connection.execute(select(runs.c.id, runs.c.lease_token))
    by_id = {row.id: row.lease_token for row in found}
    return [by_id[run.id] for run in some]


async def status_of(database: Database, run: Run) -> tuple[str, str | None]:
    async with database.read() as connection:
        row = (await connection.execute(select(runs.c.status, runs.c.reason).where(runs.c.id == run.id))).one()
    return row.status, row.reason


async def make_runs(database: Database) -> tuple[Run, Run, Run]:
    """One that runs, one that has ended, one that waits."""
    await start_run(database)
    running = await claim(database)
    ended = await start_run(database)
    async with database.write() as connection:
        await end(connection, ended)
    return running, ended, await start_run(database)


async def end(connection: AsyncConnection, run: Run) -> None:
    await connection.execute(update(runs).where(runs.c.id == run.id).values(status=Status.CANCELLED))


async def test_the_first_timeline_of_an_installation_changes_nothing(database: Database) -> None:
    running, _, queued = await make_runs(database)

    await Sweeper(database, SETTINGS, clock=ManualClock()).sweep_once()

    assert await tokens(database, running, queued) == [1, 0]
    async with database.read() as connection:
        assert (await connection.execute(select(timelines.c.promoted_at))).scalars().all() == [None]


async def test_after_a_promotion_no_token_that_was_given_is_valid_and_runs_are_queued_again(
    database: Database,
) -> None:
    running, ended, queued = await make_runs(database)
    await pretend_promotion(database)

    await Sweeper(database, SETTINGS, clock=ManualClock()).sweep_once()

    assert await status_of(database, running) == (Status.QUEUED, "lease_expired")
    assert await tokens(database, running, ended, queued) == [1 + TOKEN_LEAP + 1, 0, TOKEN_LEAP]


async def test_tokens_are_raised_once_by_whichever_process_comes_first(database: Database) -> None:
    _, _, queued = await make_runs(database)
    await pretend_promotion(database)

    for _ in range(3):
        await Sweeper(database, SETTINGS, clock=ManualClock()).sweep_once()

    assert await tokens(database, queued) == [TOKEN_LEAP]


async def test_runs_go_on_when_the_standby_was_synchronous(database: Database) -> None:
    running, _, queued = await make_runs(database)
    await pretend_promotion(database)
    found = Server(is_known=False, is_first=False, is_synchronous=False)

    async with database.settling() as connection:
        timeline = timeline_of(connection)
        assert timeline is not None
        await settle_timeline(connection, timeline, found, is_lossless=True, clock=ManualClock())

    assert await status_of(database, running) == (Status.RUNNING, None)
    assert await tokens(database, running, queued) == [1, 0]


async def test_nobody_writes_on_a_new_timeline_before_it_is_settled(database: Database) -> None:
    await start_run(database)
    database.settled_timeline = OLD

    with pytest.raises(ConnectionError) as refused:
        await claim(database)
    await Sweeper(database, SETTINGS, clock=ManualClock()).sweep_once()
    run = await claim(database)

    assert is_outage(refused.value)
    assert run.lease_token == 1


async def test_session_locks_mean_nothing_right_after_a_promotion(database: Database) -> None:
    running, _, _ = await make_runs(database)
    sweeper = Sweeper(database, SweepSettings(lease_seconds=30, presence_grace_seconds=60), clock=SystemClock())
    await sweeper.sweep_once()
    await announce_presence(database, running)

    async with database.write() as connection:
        await connection.execute(update(timelines).values(promoted_at=now_ms() - 30_000))
    judged_too_early = [await sweeper.sweep_once() for _ in range(3)]
    async with database.write() as connection:
        await connection.execute(update(timelines).values(promoted_at=now_ms() - 61_000))
    judged = [await sweeper.sweep_once() for _ in range(2)]

    assert not any(judged_too_early)
    assert [item.run_id for item in judged[1]] == [running.id]


async def announce_presence(database: Database, run: Run) -> None:
    """Of a worker that nobody is: its session lock is not there."""
    row: dict[str, Any] = {
        "id": run.lease_owner,
        "host": "h",
        "pid": 1,
        "build": "b",
        "pools": [],
        "slots": 1,
        "presence": 4711,
    }
    async with database.write() as connection:
        await connection.execute(workers.insert().values(**row, started_at=func.now(), seen_at=0))
