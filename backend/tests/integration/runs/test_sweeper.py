from sqlalchemy import update

from shadowgraph.core.clock import ManualClock
from shadowgraph.db.dialect import now_ms
from shadowgraph.db.engine import Database
from shadowgraph.models.runs import runs
from shadowgraph.runs.run import Run
from shadowgraph.runs.sweeper import Sweeper, SweepSettings
from tests.support.runs import claim, start_run

SETTINGS = SweepSettings(lease_seconds=30)


async def run_out(database: Database, run: Run, *, seconds_ago: int) -> None:
    """Its lease."""
    async with database.write() as connection:
        long_ago = now_ms() - seconds_ago * 1000
        await connection.execute(update(runs).where(runs.c.id == run.id).values(lease_expires_at=long_ago))


async def test_a_process_that_has_just_started_lets_workers_extend_leases_that_ran_out_before(
    database: Database,
) -> None:
    await start_run(database)
    run = await claim(database)
    await run_out(database, run, seconds_ago=60)
    clock = ManualClock()
    sweeper = Sweeper(database, SETTINGS, clock=clock)

    at_once = await sweeper.sweep_once()
    for _ in range(11):
        clock.advance(1)
        later = await sweeper.sweep_once()
        if later:
            break

    assert at_once == []
    assert [item.run_id for item in later] == [run.id]
    assert 10 <= clock.monotonic() <= 11


async def test_a_lease_that_runs_out_before_the_eyes_of_a_new_process_is_judged_at_once(database: Database) -> None:
    await start_run(database)
    run = await claim(database)
    clock = ManualClock()
    sweeper = Sweeper(database, SETTINGS, clock=clock)
    clock.advance(2)
    await run_out(database, run, seconds_ago=1)

    taken = await sweeper.sweep_once()

    assert [item.run_id for item in taken] == [run.id]


async def test_a_lease_that_ran_out_while_the_database_was_away_is_left_alone_for_a_lease(database: Database) -> None:
    await start_run(database)
    run = await claim(database)
    clock = ManualClock()
    sweeper = Sweeper(database, SETTINGS, clock=clock)
    for _ in range(60):
        clock.advance(1)
        await sweeper.sweep_once()
    clock.advance(20)  # nobody reached the database
    await run_out(database, run, seconds_ago=5)

    after_the_outage = [await sweeper.sweep_once()]
    for _ in range(29):
        clock.advance(1)
        after_the_outage.append(await sweeper.sweep_once())
    clock.advance(1.1)
    a_lease_later = await sweeper.sweep_once()

    assert not any(after_the_outage)
    assert [item.run_id for item in a_lease_later] == [run.id]
