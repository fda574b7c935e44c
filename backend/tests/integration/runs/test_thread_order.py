from shadowgraph.db.engine import Database
from shadowgraph.runs.lifecycle import pause_run
from shadowgraph.runs.run import Run
from shadowgraph.runs.states import Status
from tests.support.runs import CLOCK, start_run, try_claim


async def pause(database: Database, run: Run) -> Run:
    async with database.write() as connection:
        return await pause_run(connection, run.id, who="somebody", clock=CLOCK)


async def test_a_run_that_was_paused_before_it_began_stands_in_no_older_ones_way(database: Database) -> None:
    older = await start_run(database, thread_id="conversation")
    newer = await start_run(database, thread_id="conversation", on_busy="enqueue")

    paused = await pause(database, newer)
    claimed = await try_claim(database)

    assert paused.status is Status.PAUSED
    assert claimed is not None
    assert claimed.id == older.id


async def test_a_run_that_waits_for_its_turn_can_be_paused_while_an_older_one_runs(database: Database) -> None:
    await start_run(database, thread_id="conversation")
    newer = await start_run(database, thread_id="conversation", on_busy="enqueue")
    await try_claim(database)

    paused = await pause(database, newer)

    assert paused.status is Status.PAUSED
