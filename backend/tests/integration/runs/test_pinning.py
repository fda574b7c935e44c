"""The first claim pins a run to the version that is active then; who may claim it follows from the code that the version needs."""

import asyncio

import pytest
from sqlalchemy import select, text

from shadowgraph.core.ids import new_worker_id
from shadowgraph.db.engine import Database
from shadowgraph.engine.claim import Claim
from shadowgraph.models.runs import runs
from shadowgraph.queue.inprocess import InProcessWakeups
from shadowgraph.runs.claims import Claimant, ReleaseMoved, claim_run
from shadowgraph.runs.inflight import InFlight
from shadowgraph.runs.pools import pool_of
from shadowgraph.runs.releases import Order, promote
from shadowgraph.runs.repository import list_events
from shadowgraph.runs.run import Run
from shadowgraph.runs.takeover import take_from_worker
from shadowgraph.runs.workers import WorkflowInfo, register_workflow
from shadowgraph.versioning.digests import code_digest_of
from shadowgraph.versioning.repository import Version
from shadowgraph.versioning.snapshot import Snapshot
from tests.support.moves import Moves
from tests.support.releases import Releases
from tests.support.runs import CLOCK, LEASE_MS, NOWHERE, claim, start_run, try_claim
from tests.support.snapshots import make_snapshot
from tests.support.waiting import wait_until


def code_of(snapshot: Snapshot) -> str:
    return code_digest_of(snapshot.manifest.facets)


OTHER_CODE = make_snapshot({"nodes.py": "import helper\n# changed\n"})
OTHER_PACKAGES = make_snapshot({"requirements.txt": "langgraph\nhttpx\n"})
CODES = {"agent": code_of(make_snapshot())}
"""Of a worker that has the code of all versions but the other one's."""
OTHER_CODES = {"agent": code_of(OTHER_CODE)}


@pytest.fixture
def releases(database: Database) -> Releases:
    return Releases(database)


async def deploy(releases: Releases, snapshot: Snapshot) -> Version:
    return (await releases.deploy(snapshot)).added.version


async def test_a_run_keeps_the_version_of_its_first_claim_when_another_worker_takes_it_over(
    database: Database, releases: Releases
) -> None:
    first, second = await releases.deploy_many(2)
    run, worker = await start_run(database, "agent"), new_worker_id()
    begun = await claim(database, "agent", worker_id=worker, codes=CODES)

    await releases.promote(second)
    async with database.write() as connection:
        await take_from_worker(connection, worker, cause="killed", clock=CLOCK)
    again = await claim(database, "agent", codes=CODES)
    later = await start_run(database, "agent")
    next_one = await claim(database, "agent", codes=CODES)

    assert [begun.id, again.id, next_one.id] == [run.id, run.id, later.id]
    assert [begun.version_id, again.version_id, next_one.version_id] == [first.id, first.id, second.id]
    assert {begun.snapshot_digest, again.snapshot_digest} == {first.snapshot_digest}


async def test_a_thread_takes_the_version_that_is_active_at_its_next_turn(
    database: Database, releases: Releases
) -> None:
    first, second = await releases.deploy_many(2)
    moves = Moves(database, InProcessWakeups())
    await start_run(database, "agent", thread_id="talk")
    waiting = await start_run(database, "agent", thread_id="talk", on_busy="enqueue")
    turn = await claim(database, "agent", codes=CODES)

    await releases.promote(second)
    await moves.complete(Claim(turn, NOWHERE, turn.event_seq))
    next_turn = await claim(database, "agent", codes=CODES)

    assert turn.version_id == first.id
    assert (next_turn.id, next_turn.version_id) == (waiting.id, second.id)


@pytest.mark.parametrize("changed", [OTHER_CODE, OTHER_PACKAGES], ids=["code", "packages"])
async def test_a_worker_leaves_runs_alone_whose_version_needs_what_it_has_not(
    database: Database, releases: Releases, changed: Snapshot
) -> None:
    await releases.deploy_many(1)
    fresh = await start_run(database, "agent")
    await releases.promote(await deploy(releases, changed))
    pinned = await releases.pin(await deploy(releases, changed))

    assert await try_claim(database, "agent", codes=CODES) is None
    assert await try_claim(database, "agent", codes={}) is None
    claimed = [await claim(database, "agent", codes={"agent": code_of(changed)}) for _ in range(2)]

    assert {run.id for run in claimed} == {fresh.id, pinned.id}
    assert {run.snapshot_digest for run in claimed} == {changed.digest}


async def test_what_has_no_version_is_claimed_by_its_workflow_and_stays_without_one(
    database: Database, releases: Releases
) -> None:
    worker = new_worker_id()
    await start_run(database, "agent")
    begun = await claim(database, "agent", worker_id=worker, codes={})

    await releases.deploy_many(1)
    async with database.write() as connection:
        await take_from_worker(connection, worker, cause="killed", clock=CLOCK)
    again = await claim(database, "agent", codes={})

    assert (begun.id, begun.version_id, begun.snapshot_digest) == (again.id, again.version_id, again.snapshot_digest)
    assert begun.version_id is None


async def test_without_versioning_nothing_is_pinned(database: Database, releases: Releases) -> None:
    await releases.deploy_many(1)
    await start_run(database, "agent")

    assert (await claim(database, "agent", codes=None)).version_id is None


async def test_a_restarted_run_is_pinned_anew(database: Database, releases: Releases) -> None:
    _, second = await releases.deploy_many(2)
    await start_run(database, "agent")
    begun = await claim(database, "agent", codes=CODES)

    await releases.promote(second, in_flight=InFlight.RESTART)
    again = await claim(database, "agent", codes=CODES)

    assert (again.id, again.version_id, again.generation) == (begun.id, second.id, begun.generation + 1)


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)  # on SQLite one writer works at a time
async def test_a_claim_that_waited_for_a_promotion_takes_nothing_that_it_cannot_run(
    database: Database, releases: Releases
) -> None:
    """It has seen v1 active; what it then waits for makes a version active whose code it has not."""
    await releases.deploy_many(1)
    other = await deploy(releases, OTHER_CODE)
    run = await start_run(database, "agent")
    claimant = Claimant(new_worker_id(), {"agent": "files"}, LEASE_MS, CODES)

    async def try_to_claim() -> Run | None:
        async with database.write() as connection:
            return await claim_run(connection, claimant, clock=CLOCK)

    async with database.write() as connection:
        await promote(connection, "postgresql", other, Order("local"), force=False, clock=CLOCK)
        claiming = asyncio.create_task(try_to_claim())
        await wait_until(lambda: is_waiting(database), what="the claim to wait")
    with pytest.raises(ReleaseMoved):
        await claiming

    claimed = await claim(database, "agent", codes=OTHER_CODES)
    assert (claimed.id, claimed.version_id, claimed.claims) == (run.id, other.id, 1)


async def is_waiting(database: Database) -> bool:
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    async with database.read() as connection:
        return bool(await connection.scalar(waiting))


async def test_a_run_is_in_the_pool_of_the_code_that_it_needs(database: Database, releases: Releases) -> None:
    unknown = await start_run(database, "another")
    info = WorkflowInfo("agent", "mine", "files", {}, {}, {}, "")
    async with database.write() as connection:
        await register_workflow(connection, database.dialect, info, at=CLOCK.now())
    before = await start_run(database, "agent", priority=10)
    begun_without = await claim(database, "agent", codes={})
    first, _ = await releases.deploy_many(2)
    await releases.promote(await deploy(releases, OTHER_CODE))
    pinned, fresh = await releases.pin(first), await start_run(database, "agent")

    async with database.read() as connection:
        rows = await connection.execute(select(runs.c.id, pool_of(runs.c.id)))
        pools = {row.id: row.pool for row in rows}

    assert before.id == begun_without.id
    assert pools == {before.id: "mine", unknown.id: None, pinned.id: CODES["agent"], fresh.id: OTHER_CODES["agent"]}


async def test_the_run_says_in_its_events_which_version_it_is_pinned_to(database: Database, releases: Releases) -> None:
    [version] = await releases.deploy_many(1)
    run = await start_run(database, "agent")
    await claim(database, "agent", codes=CODES)

    async with database.read() as connection:
        _, started = await list_events(connection, run.id)
    pinned = {"version_id": version.id, "snapshot_digest": version.snapshot_digest}
    assert started.type == "run.started"
    assert pinned.items() <= dict(started.payload).items()
