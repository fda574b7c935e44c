"""Months of PostgreSQL's partitioned tables come in time and go when nobody needs them."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert, text, update

from shadowgraph.core.clock import ManualClock
from shadowgraph.db.engine import Database
from shadowgraph.db.migrate import migrate
from shadowgraph.db.partitions import PARTITIONED_TABLES, Month, fixed_partitions, run_id_bound
from shadowgraph.engine.checkpoints.retention import STORE
from shadowgraph.models.events import events
from shadowgraph.models.runs import runs
from shadowgraph.runs.amounts import Removed
from shadowgraph.runs.collecting import Collector
from shadowgraph.runs.previewing import preview
from shadowgraph.runs.retention import WITHOUT_JOURNAL, Ages
from shadowgraph.runs.service import RunSpec, create_run

AGES = Ages.of_days(14)
THEN = datetime(2031, 5, 17, tzinfo=UTC)
"""Far from the months that a migration makes."""
MAY, JUNE, AUGUST = (Month("events", datetime(2031, number, 1, tzinfo=UTC)) for number in (5, 6, 8))


@pytest.fixture
async def database(blank_postgresql_url: str) -> AsyncIterator[Database]:
    """Of this test alone: it changes the schema."""
    migrate(blank_postgresql_url)
    connections = Database(blank_postgresql_url)
    yield connections
    await connections.close()


def collector(database: Database, at: datetime = THEN) -> Collector:
    return Collector(database, STORE, AGES, clock=ManualClock(at))


@dataclass(frozen=True)
class Rows:
    """How many events lie in which partition."""

    database: Database

    async def __call__(self) -> dict[str, int]:
        statement = text("SELECT tableoid::regclass::text AS name, count(*) AS n FROM events GROUP BY 1")
        async with self.database.read() as connection:
            return {row.name: row.n for row in await connection.execute(statement)}


async def months_of(database: Database, table: str = "events") -> set[str]:
    statement = text("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = CAST(:table AS regclass)")
    async with database.read() as connection:
        return set(await connection.scalars(statement, {"table": table}))


async def add_event(database: Database, at: datetime) -> str:
    run_id = run_id_bound(at) + "-7000-8000-000000000000"
    async with database.write() as connection:
        await connection.execute(insert(events).values(run_id=run_id, seq=1, type="note", payload={}, at=at))
    return run_id


async def add_run(database: Database, at: datetime, *, retention: int = WITHOUT_JOURNAL) -> str:
    """A run that began and ended then, with one event."""
    run_id = await add_event(database, at)
    async with database.write() as connection:
        made = await create_run(connection, "postgresql", RunSpec(workflow="shapes", input={}), clock=ManualClock(at))
        ended = {"status": "CANCELLED", "finished_at": at, "retention": retention}
        await connection.execute(update(runs).where(runs.c.id == made.run.id).values(id=run_id, **ended))
    return run_id


def dropped(removed: Removed) -> int:
    return removed["months of old runs"].rows


# --- to come --------------------------------------------------------------------------------------------------------------------


async def test_a_row_without_a_partition_of_its_month_is_stored_all_the_same(database: Database) -> None:
    await add_event(database, THEN)

    assert await Rows(database)() == {"events_rest": 1}


async def test_this_month_and_the_next_three_are_made(database: Database) -> None:
    before = {table: await months_of(database, table) for table in PARTITIONED_TABLES}

    await collector(database).make_months()
    await collector(database).make_months()
    await add_event(database, datetime(2031, 8, 31, tzinfo=UTC))

    for table in PARTITIONED_TABLES:
        made = {f"{table}_2031_{month}" for month in ("05", "06", "07", "08")}
        assert await months_of(database, table) - before[table] == made
    assert await Rows(database)() == {"events_2031_08": 1}


async def test_a_made_month_is_like_one_of_the_migration(database: Database) -> None:
    await collector(database).make_months()

    statement = text(
        """
        SELECT c.relname, array_agg(DISTINCT replace(pg_get_indexdef(i.indexrelid), c.relname, 'T')) AS indexes,
               (SELECT array_agg(attname || ' ' || format_type(atttypid, atttypmod) || attnotnull ORDER BY attnum)
                FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0) AS columns,
               (SELECT array_agg(pg_get_expr(adbin, adrelid) ORDER BY adnum) FROM pg_attrdef WHERE adrelid = c.oid) AS defaults
        FROM pg_class c LEFT JOIN pg_index i ON i.indrelid = c.oid
        WHERE c.relkind = 'r' AND c.relname ~ '_(rest|2031_05)$' GROUP BY c.oid, c.relname
        """
    )
    async with database.read() as connection:
        found = {row.relname: (row.indexes, row.columns, row.defaults) for row in await connection.execute(statement)}
    assert len(found) == 2 * len(PARTITIONED_TABLES)
    for table in PARTITIONED_TABLES:
        assert found[f"{table}_2031_05"] == found[f"{table}_rest"]


async def test_rows_that_came_before_their_month_was_made_move_into_it(database: Database) -> None:
    for at in (THEN, datetime(2031, 6, 1, tzinfo=UTC), datetime(2033, 1, 1, tzinfo=UTC)):
        await add_event(database, at)

    await collector(database).make_months()

    assert await Rows(database)() == {MAY.name: 1, JUNE.name: 1, "events_rest": 1}


async def test_a_table_in_use_gets_its_month_later(database: Database) -> None:
    async with database.write() as connection:
        await connection.execute(text("LOCK TABLE events_rest IN ACCESS SHARE MODE"))
        await collector(database).make_months()
        meanwhile = await months_of(database), await months_of(database, "steps")
    await collector(database).make_months()

    assert MAY.name not in meanwhile[0]
    assert "steps_2031_05" in meanwhile[1]
    assert MAY.name in await months_of(database)


def test_every_partitioned_table_has_a_default_one() -> None:
    made = "\n".join(fixed_partitions())

    assert all(f"{table}_rest PARTITION OF {table} DEFAULT" in made for table in PARTITIONED_TABLES)


# --- past -----------------------------------------------------------------------------------------------------------------------


async def forward(database: Database, **later: int) -> tuple[Removed, Removed]:
    """What a preview says and what goes."""
    at = THEN + timedelta(**later)
    return await preview(database, STORE, AGES, clock=ManualClock(at)), await collector(database, at).drop_months()


@pytest.fixture
async def may(database: Database) -> Database:
    """With the partitions of May 2031, and those of the months that the migration has made dropped."""
    await collector(database).make_months()
    await collector(database).drop_months()
    return database


async def test_an_old_month_of_whose_runs_none_is_left_goes_but_for_what_was_paid(may: Database) -> None:
    foreseen, removed = await forward(may, days=50)

    assert dropped(foreseen) == dropped(removed) == 4
    assert foreseen["months of old runs"] == removed["months of old runs"]
    assert MAY.name not in await months_of(may)
    assert "llm_attempts_2031_05" in await months_of(may, "llm_attempts")


async def test_a_month_stays_until_its_journals_are_past_their_age(may: Database) -> None:
    assert [dropped(removed) for removed in await forward(may, days=44)] == [0, 0]


async def test_a_month_with_runs_keeps_their_history(may: Database) -> None:
    run_id = await add_run(may, THEN)

    foreseen, removed = await forward(may, days=50)

    assert dropped(foreseen) == dropped(removed) == 2
    assert MAY.name in await months_of(may)
    assert "steps_2031_05" in await months_of(may, "steps")
    assert "llm_calls_2031_05" not in await months_of(may, "llm_calls")
    assert run_id


async def test_a_month_with_a_journal_stays_whole(may: Database) -> None:
    await add_run(may, THEN, retention=0)

    at = THEN + timedelta(days=50)
    removed = await collector(may, at).drop_months()
    foreseen = await preview(may, STORE, AGES, clock=ManualClock(at))

    assert dropped(removed) == 0
    assert dropped(foreseen) == 2  # its journal goes before


async def test_a_month_whose_run_is_retried_at_the_last_moment_stays(may: Database) -> None:
    """Between the look and the drop: whoever comes later writes into the default partition."""
    run_id = await add_run(may, THEN)
    gc = collector(may, THEN + timedelta(days=50))
    async with may.write() as connection:
        await connection.execute(update(runs).where(runs.c.id == run_id).values(retention=0))
        waiting = await gc.drop_months()

    later = await gc.drop_months()

    assert dropped(waiting) == 2  # not yet committed: its journal is written into the default partition
    assert dropped(later) == 0


async def test_a_month_in_use_is_dropped_later(may: Database) -> None:
    gc = collector(may, THEN + timedelta(days=50))
    async with may.write() as connection:
        await connection.execute(text("LOCK TABLE ONLY events IN ACCESS SHARE MODE"))
        meanwhile = await gc.drop_months()

    assert dropped(meanwhile) == 3
    assert dropped(await gc.drop_months()) == 1


async def test_a_late_row_of_a_dropped_month_is_stored(may: Database) -> None:
    await forward(may, days=50)

    await add_event(may, THEN)

    assert (await Rows(may)()) == {"events_rest": 1}
