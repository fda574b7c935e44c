import asyncio

import pytest
from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError

from shadowgraph.core.clock import ManualClock
from shadowgraph.core.ids import RunId, WorkerId, new_worker_id
from shadowgraph.core.json import digest
from shadowgraph.db.dialect import now_ms
from shadowgraph.db.engine import Database, build_sync_engine
from shadowgraph.models.outbox import outbox
from shadowgraph.models.runs import runs
from shadowgraph.models.workers import workers
from shadowgraph.models.workflows import workflows
from shadowgraph.runs import repository
from shadowgraph.runs.claims import extend_leases
from shadowgraph.runs.idempotency import IdempotencyKey, IdempotencyKeyReused
from shadowgraph.runs.inputs import InvalidInput
from shadowgraph.runs.run import Run
from shadowgraph.runs.service import RunSpec, WrongState, cancel_run, create_run
from shadowgraph.runs.states import TRANSITIONS, Status
from shadowgraph.runs.sweeper import AbsenceWatch, Grace, Sweeper, SweepSettings, resend_stale
from shadowgraph.runs.takeover import MAX_CRASH_STREAK, MAX_TAKEOVERS, take_expired, take_orphans
from tests.support.runs import CLOCK, claim, start_run, try_claim


async def reread(database: Database, run: Run) -> Run:
    async with database.read() as connection:
        return await repository.require_run(connection, run.id)


async def set_run(database: Database, run: Run, **values: object) -> None:
    async with database.write() as connection:
        await connection.execute(update(runs).where(runs.c.id == run.id).values(**values))


async def test_sixteen_claimants_never_get_the_same_run(database: Database) -> None:
    started = {(await start_run(database)).id for _ in range(40)}

    async def work() -> list[RunId]:
        mine = []
        while run := await try_claim(database):
            mine.append(run.id)
        return mine

    claimed = [run_id for mine in await asyncio.gather(*(work() for _ in range(16))) for run_id in mine]

    assert sorted(claimed) == sorted(started)


async def test_the_most_urgent_run_comes_first_and_waiting_counts(database: Database) -> None:
    plain = await start_run(database)
    urgent = await start_run(database, priority=2)
    old = await start_run(database, priority=-2)
    await set_run(database, old, available_at=now_ms() - 10 * 60_000)

    order = [(await claim(database)).id for _ in range(3)]

    assert order == [old.id, urgent.id, plain.id]


async def test_a_parked_run_is_not_claimed_before_its_time(database: Database) -> None:
    run = await start_run(database)
    await set_run(database, run, available_at=now_ms() + 60_000)

    assert await try_claim(database) is None


async def test_a_worker_claims_only_what_it_has_loaded(database: Database) -> None:
    await start_run(database, workflow="theirs")
    row = {
        "name": "theirs",
        "project": "p",
        "code_digest": "d",
        "input_schema": {},
        "output_schema": {},
        "graph": {},
        "description": "",
        "seen_at": CLOCK.now(),
    }
    async with database.write() as connection:
        await connection.execute(workflows.insert().values(row))

    assert await try_claim(database, "ours") is None
    assert await try_claim(database, "theirs") is not None


async def test_a_heartbeat_extends_its_own_leases_and_reads_what_is_wanted(database: Database) -> None:
    worker_id = new_worker_id()
    await start_run(database)
    await start_run(database)
    mine = await claim(database, worker_id=worker_id, lease_ms=1000)
    lost = await claim(database, worker_id=worker_id, lease_ms=1000)
    await set_run(database, mine, control="cancel")
    await set_run(database, lost, lease_token=lost.lease_token + 1)
    engine = build_sync_engine(database.url)

    with engine.begin() as connection:
        held = extend_leases(connection, worker_id, [(mine.id, mine.lease_token), (lost.id, lost.lease_token)], 60_000)
    engine.dispose()

    assert [(item.run_id, item.control) for item in held] == [(mine.id, "cancel")]
    extended = (await reread(database, mine)).lease_expires_at
    assert extended is not None
    assert mine.lease_expires_at is not None
    assert extended > mine.lease_expires_at + 50_000


async def test_a_run_that_progresses_between_its_workers_deaths_fails_at_last_and_claims_do_not_count(
    database: Database,
) -> None:
    run = await start_run(database)
    statuses = []

    for takeovers in (0, MAX_TAKEOVERS - 1):
        await claim(database)
        await set_run(
            database, run, lease_expires_at=now_ms() - 1, claims=10 * MAX_TAKEOVERS, takeovers=takeovers, crash_streak=0
        )
        async with database.write() as connection:
            statuses += [item.status for item in await take_expired(connection, clock=CLOCK)]

    assert statuses == [Status.QUEUED, Status.FAILED]


async def test_an_expired_run_goes_back_and_one_that_kills_its_workers_fails(database: Database) -> None:
    run = await start_run(database)
    statuses = []

    for _ in range(MAX_CRASH_STREAK):
        await claim(database)
        await set_run(database, run, lease_expires_at=now_ms() - 1)
        async with database.write() as connection:
            taken = await take_expired(connection, clock=CLOCK)
        statuses += [item.status for item in taken]

    ended = await reread(database, run)
    assert statuses == [Status.QUEUED, Status.QUEUED, Status.FAILED]
    assert (ended.status, ended.reason, ended.lease_token) == (Status.FAILED, "worker_lost", 2 * MAX_CRASH_STREAK)
    assert ended.error is not None
    assert ended.error["code"] == "worker_lost"
    async with database.read() as connection:
        kinds = [event.type for event in await repository.list_events(connection, run.id)]
    assert kinds.count("run.finished") == 1


async def test_a_live_lease_is_left_alone(database: Database) -> None:
    await start_run(database)
    run = await claim(database)

    async with database.write() as connection:
        assert await take_expired(connection, clock=CLOCK) == []

    assert await reread(database, run) == run


async def test_the_database_refuses_every_transition_that_is_not_named(database: Database) -> None:
    run = await start_run(database)
    refused = set()

    for after in Status:
        lease = 1 if after is Status.RUNNING else None
        try:
            async with database.write() as connection:
                await connection.execute(
                    update(runs).where(runs.c.id == run.id).values(status=after, lease_expires_at=lease)
                )
                raise Undo
        except Undo:
            pass
        except DBAPIError:
            refused.add(after)

    legal = {after for before, after in TRANSITIONS if before is Status.QUEUED} | {Status.QUEUED}
    assert refused == set(Status) - legal


class Undo(Exception):
    """Rolls the transaction back."""


async def test_cancelling_a_queued_run_ends_it_and_twice_is_refused(database: Database) -> None:
    run = await start_run(database)

    async with database.write() as connection:
        cancelled = await cancel_run(connection, run.id, clock=CLOCK)
    with pytest.raises(WrongState) as refused:
        async with database.write() as connection:
            await cancel_run(connection, run.id, clock=CLOCK)

    assert cancelled.status is Status.CANCELLED
    assert cancelled.finished_at is not None
    assert refused.value.facts["state"] == Status.CANCELLED


async def test_cancelling_a_running_run_asks_its_worker(database: Database) -> None:
    await start_run(database)
    run = await claim(database)

    async with database.write() as connection:
        asked = await cancel_run(connection, run.id, clock=CLOCK)

    assert (asked.status, asked.control) == (Status.RUNNING, "cancel")


async def test_a_cancelled_run_whose_worker_died_ends_as_cancelled(database: Database) -> None:
    await start_run(database)
    run = await claim(database)
    await set_run(database, run, control="cancel")

    async with database.write() as connection:
        taken = await take_orphans(connection, clock=CLOCK)

    assert [item.status for item in taken] == [Status.CANCELLED]
    assert (await reread(database, run)).status is Status.CANCELLED


async def test_the_same_key_and_body_give_the_same_run(database: Database) -> None:
    spec = RunSpec(workflow="shapes", input={"text": "a"}, idempotency=IdempotencyKey("k", digest("body")))

    accepted = []
    for _ in range(2):
        async with database.write() as connection:
            accepted.append(await create_run(connection, database.dialect, spec, clock=CLOCK))

    assert [item.replayed for item in accepted] == [False, True]
    assert accepted[0].run.id == accepted[1].run.id


async def test_the_same_key_with_another_body_is_refused_and_stores_nothing(database: Database) -> None:
    for body in ("one", "two"):
        spec = RunSpec(workflow="shapes", input={"text": body}, idempotency=IdempotencyKey("k", digest(body)))
        if body == "one":
            async with database.write() as connection:
                await create_run(connection, database.dialect, spec, clock=CLOCK)
            continue
        with pytest.raises(IdempotencyKeyReused):
            async with database.write() as connection:
                await create_run(connection, database.dialect, spec, clock=CLOCK)

    async with database.read() as connection:
        assert len((await connection.execute(select(runs.c.id))).all()) == 1


async def test_a_due_run_that_nobody_took_gets_another_message_once(database: Database) -> None:
    run = await start_run(database)
    await set_run(database, run, available_at=now_ms() - 60_000)
    async with database.write() as connection:
        await connection.execute(update(outbox).values(available_at=now_ms() - 60_000))

    resent = []
    for _ in range(2):
        async with database.write() as connection:
            resent.append(await resend_stale(connection, at=CLOCK.now()))

    assert resent == [1, 0]


async def test_search_finds_words_of_the_request(database: Database) -> None:
    snake = await start_run(database, value={"text": "Build a snake_game in “Python”"})
    await start_run(database, value={"text": "Write a poem"})

    found = {}
    for text in ("snake", "SNAKE gam", "python", "snake poem", "'; DROP TABLE runs; --", '"', "sna* OR poem"):
        async with database.read() as connection:
            page = await repository.list_runs(connection, database.dialect, repository.RunQuery(text=text))
        found[text] = [run.id for run in page.items]

    assert found == {
        "snake": [snake.id],
        "SNAKE gam": [snake.id],
        "python": [snake.id],
        "snake poem": [],
        "'; DROP TABLE runs; --": [],
        '"': [],
        "sna* OR poem": [],
    }


async def test_pages_follow_each_other_without_gap_or_double(database: Database) -> None:
    started = [(await start_run(database)).id for _ in range(7)]

    seen: list[str] = []
    cursor = None
    while True:
        async with database.read() as connection:
            query = repository.RunQuery(limit=3, cursor=cursor)
            page = await repository.list_runs(connection, database.dialect, query)
        seen += [run.id for run in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break

    assert seen == started[::-1]


def test_leases_are_not_judged_right_after_an_outage() -> None:
    clock = ManualClock()
    grace = Grace(lease_seconds=10, clock=clock)

    assert grace.contact()
    clock.advance(1)
    assert grace.contact()
    clock.advance(30)  # the database was away
    assert not grace.contact()
    for _ in range(9):
        clock.advance(1)
        assert not grace.contact()
    clock.advance(1.1)
    assert grace.contact()


def test_a_worker_counts_as_gone_when_it_was_missing_twice_in_a_row() -> None:
    watch = AbsenceWatch()

    seen = [watch.observe(missing) for missing in ({"a", "b"}, {"a"}, set(), {"a"})]

    assert seen == [frozenset(), frozenset({"a"}), frozenset(), frozenset()]


async def test_a_worker_whose_session_lock_is_gone_loses_its_runs_at_the_second_look(postgresql_url: str) -> None:
    database = Database(postgresql_url)
    worker_id = WorkerId("wrk_gone")
    row = {
        "id": worker_id,
        "host": "h",
        "pid": 1,
        "build": "b",
        "pools": [],
        "slots": 1,
        "started_at": CLOCK.now(),
        "seen_at": 0,
        "presence": 4711,
    }
    async with database.write() as connection:
        await connection.execute(workers.insert().values(row))
    await start_run(database)
    run = await claim(database, worker_id=worker_id)
    sweeper = Sweeper(database, SweepSettings(lease_seconds=30, presence_grace_seconds=0), clock=CLOCK)

    first = await sweeper.sweep_once()
    second = await sweeper.sweep_once()

    assert first == []
    assert [(item.run_id, item.status) for item in second] == [(run.id, Status.QUEUED)]
    await database.close()


async def test_an_input_with_text_that_no_database_can_store_is_refused(database: Database) -> None:
    with pytest.raises(InvalidInput):
        await start_run(database, value={"text": "a\x00b"})
