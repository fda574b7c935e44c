"""Promote, rollback and their like in the database: pointer, marks, chain, and the runs that are under way, in one transaction."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from shadowgraph.core.errors import Conflict
from shadowgraph.core.ids import SYSTEM_RUN
from shadowgraph.core.json import sha256
from shadowgraph.db.engine import Database
from shadowgraph.engine.claim import Claim, LeaseLost
from shadowgraph.engine.interrupts import Question
from shadowgraph.models.events import events
from shadowgraph.models.interactions import interactions
from shadowgraph.models.llm_calls import llm_attempts, llm_calls
from shadowgraph.models.outbox import outbox
from shadowgraph.models.releases import release_events
from shadowgraph.models.runs import runs
from shadowgraph.models.tool_calls import tool_calls
from shadowgraph.queue.inprocess import InProcessWakeups
from shadowgraph.runs import releases as use_cases
from shadowgraph.runs.deletion import delete_run
from shadowgraph.runs.idempotency import IdempotencyKey, IdempotencyKeyReused
from shadowgraph.runs.inflight import InFlight
from shadowgraph.runs.releases import Changed, tell
from shadowgraph.runs.run import Run
from shadowgraph.runs.states import Status
from shadowgraph.versioning.release import (
    AlreadyActive,
    NeverActive,
    NoGoodVersion,
    RevisionConflict,
    VersionInUse,
    VersionRevoked,
    VersionWithdrawn,
)
from shadowgraph.versioning.repository import ReleaseNotFound, Version
from tests.support.moves import Moves
from tests.support.releases import ORDER, Releases, snapshot_number
from tests.support.runs import CLOCK, claim, start_run
from tests.support.waiting import wait_until


@pytest.fixture
def releases(database: Database) -> Releases:
    return Releases(database)


@pytest.fixture
def moves(database: Database) -> Moves:
    return Moves(database, InProcessWakeups())


async def active(releases: Releases) -> str:
    return (await releases.release()).pointer.active


# --- the pointer ----------------------------------------------------------------------------------------------------------------


async def test_the_first_version_is_active_at_once_and_the_next_is_a_draft(releases: Releases) -> None:
    first = await releases.deploy(snapshot_number(1), message="begin", author="somebody")
    second = await releases.deploy(snapshot_number(2))

    release = await releases.release()
    [event] = await releases.events()
    assert (release.pointer.active, release.pointer.revision) == (first.added.version.id, 1)
    assert (second.event, second.added.version.seq) == (None, 2)
    assert (event.action, event.actor, event.reason, event.before) == ("create", "somebody", "begin", None)
    assert event == first.event


async def test_a_promoted_version_is_active_and_the_one_before_is_the_previous(releases: Releases) -> None:
    one, two = await releases.deploy_many(2)

    changed = await releases.promote(two, reason="better")

    now = await releases.release()
    assert (now.pointer.active, now.pointer.previous, now.pointer.revision) == (two.id, one.id, 2)
    assert changed.release == now
    assert changed.event is not None
    assert (changed.event.reason, changed.event.in_flight) == ("better", "finish")
    assert await releases.broken() == []


async def test_a_rollback_goes_to_the_last_good_version_and_withdraws_what_it_leaves(releases: Releases) -> None:
    one, two, three = await releases.deploy_many(3)
    for version in (two, three):
        await releases.promote(version)

    await releases.rollback()
    first = await active(releases)
    await releases.rollback()

    assert (first, await active(releases)) == (two.id, one.id)
    assert [(await releases.version(v)).withdrawn_at is not None for v in (one, two, three)] == [False, True, True]
    with pytest.raises(NoGoodVersion):
        await releases.rollback()
    assert await releases.broken() == []


async def test_a_rollback_may_name_its_target(releases: Releases) -> None:
    one, two, three = await releases.deploy_many(3)
    for version in (two, three):
        await releases.promote(version)

    await releases.rollback("v1")

    assert await active(releases) == one.id
    with pytest.raises(AlreadyActive):
        await releases.rollback(one.id)
    with pytest.raises(VersionWithdrawn):
        await releases.rollback("v3")
    draft = (await releases.deploy(snapshot_number(9))).added.version
    with pytest.raises(NeverActive):
        await releases.rollback(draft.label)


async def test_a_withdrawn_version_is_promoted_with_force_which_clears_the_mark(releases: Releases) -> None:
    _, two = await releases.deploy_many(2)
    await releases.promote(two)
    await releases.rollback()

    with pytest.raises(VersionWithdrawn):
        await releases.promote(two)
    await releases.promote(two, force=True, reason="undo")

    assert (await releases.version(two)).withdrawn_at is None
    assert await active(releases) == two.id


async def test_marks_are_kept_and_told_in_events(releases: Releases) -> None:
    one, two = await releases.deploy_many(2)

    await releases.withdraw(two, reason="too wordy")
    await releases.keep(two)
    again = await releases.keep(two)

    found = await releases.version(two)
    assert (found.withdrawn_at is not None, found.keep, again.event) == (True, True, None)
    assert [event.action for event in await releases.events()] == ["create", "withdraw", "keep"]
    assert (await releases.events())[1].after["marks"] == {two.id: {"withdrawn": True, "revoked": False, "keep": False}}
    with pytest.raises(VersionInUse):
        await releases.withdraw(one)
    assert await releases.broken() == []


async def test_a_revoked_version_never_comes_back(releases: Releases) -> None:
    one, two, three = await releases.deploy_many(3)
    await releases.promote(two)

    await releases.revoke(two, reason="leaks", in_flight=InFlight.HOLD)

    assert await active(releases) == one.id
    assert (await releases.version(two)).revoke_reason == "leaks"
    with pytest.raises(VersionRevoked):
        await releases.promote(two, force=True)
    with pytest.raises(VersionRevoked):
        await releases.rollback("v2")
    with pytest.raises(NoGoodVersion):
        await releases.revoke(one)
    await releases.revoke(three)
    assert (await releases.revoke(three)).event is None
    assert await releases.broken() == []


async def test_a_workflow_without_versions_has_no_release(releases: Releases) -> None:
    with pytest.raises(ReleaseNotFound):
        await releases.rollback(workflow="nothing")


# --- several operators ----------------------------------------------------------------------------------------------------------


async def both(
    url: str, first: Callable[[Releases], Awaitable[Changed]], second: Callable[[Releases], Awaitable[Changed]]
) -> list[Any]:
    """At once, each with a database of its own: what came of it."""
    databases = [Database(url), Database(url)]
    try:
        works = [work(Releases(database)) for work, database in zip((first, second), databases, strict=True)]
        return list(await asyncio.gather(*works, return_exceptions=True))
    finally:
        for database in databases:
            await database.close()


async def test_of_two_operators_who_expect_the_same_revision_exactly_one_wins(
    releases: Releases, database_url: str
) -> None:
    _, two, three = await releases.deploy_many(3)

    results = await both(
        database_url,
        lambda mine: mine.promote(two, expected_revision=1),
        lambda mine: mine.promote(three, expected_revision=1),
    )

    [lost] = [result for result in results if isinstance(result, RevisionConflict)]
    [won] = [result for result in results if isinstance(result, Changed)]
    assert lost.facts == {"revision": 2, "active_version": won.release.pointer.active}
    assert (await releases.release()).pointer.revision == 2
    assert await releases.broken() == []


async def test_two_who_roll_back_at_once_do_not_end_on_a_withdrawn_version(
    releases: Releases, database_url: str
) -> None:
    versions = await releases.deploy_many(4)
    for version in versions[1:]:
        await releases.promote(version)

    await both(database_url, lambda mine: mine.rollback(), lambda mine: mine.rollback())

    now = (await releases.release()).pointer.active
    assert now == versions[1].id
    assert (await releases.version(versions[1])).withdrawn_at is None


async def test_a_version_that_is_revoked_while_it_is_promoted_does_not_become_active(
    releases: Releases, database: Database, database_url: str
) -> None:
    one, two = await releases.deploy_many(2)
    other = Database(database_url)
    async with database.write() as connection:
        await use_cases.revoke(connection, database.dialect, two, ORDER, clock=CLOCK)
        promoting = asyncio.create_task(Releases(other).promote(two))
        if database.dialect == "postgresql":
            await wait_until(lambda: is_waiting(database), what="the other one to wait")

    with pytest.raises(VersionRevoked):
        await promoting
    await other.close()
    assert await active(releases) == one.id


async def is_waiting(database: Database) -> bool:
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    async with database.read() as connection:
        return bool(await connection.scalar(waiting))


async def act(mine: Releases, version: Version, choose: random.Random) -> Changed:
    """Something that an operator may do."""
    what = choose.randrange(5)
    if what < 2:
        return await mine.promote(version, force=what == 0)
    if what == 2:
        return await mine.rollback()
    return await (mine.withdraw(version) if what == 3 else mine.keep(version, is_kept=choose.random() < 0.5))


async def test_any_number_of_operators_keep_the_chain_whole(releases: Releases, database_url: str) -> None:
    versions = await releases.deploy_many(5)
    databases = [Database(database_url) for _ in range(4)]

    async def operate(database: Database, seed: int) -> int:
        mine, choose, done = Releases(database), random.Random(seed), 0
        for _ in range(12):
            try:
                changed = await act(mine, choose.choice(versions), choose)
            except Conflict:
                continue
            done += changed.event is not None
        return done

    done = await asyncio.gather(*(operate(database, seed) for seed, database in enumerate(databases)))
    for database in databases:
        await database.close()

    now = await releases.release()
    found = await releases.events()
    assert now.pointer.revision == len(found) == sum(done) + 1
    assert await releases.broken() == []
    assert (await releases.version(next(v for v in versions if v.id == now.pointer.active))).withdrawn_at is None


# --- the chain ------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("statement", [update(release_events).values(reason="other"), delete(release_events)])
async def test_events_cannot_be_altered_or_deleted(releases: Releases, database: Database, statement: Any) -> None:
    await releases.deploy_many(1)

    async def change() -> None:
        async with database.write() as connection:
            await connection.execute(statement)

    with pytest.raises(DBAPIError, match="never changed"):
        await change()


async def test_each_hash_leaves_the_database_in_an_event_and_a_log_line(
    releases: Releases, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    _, two = await releases.deploy_many(2)

    changed = await releases.promote(two)
    tell(changed.event)

    async with database.read() as connection:
        statement = select(events.c.payload).where(events.c.run_id == SYSTEM_RUN, events.c.type == "version.changed")
        payloads = list(await connection.scalars(statement.order_by(events.c.id)))
    assert changed.event is not None
    assert [payload["action"] for payload in payloads] == ["create", "register", "promote"]
    assert payloads[-1]["hash"] == changed.event.hash
    assert any(changed.event.hash in record.getMessage() for record in caplog.records)


# --- the same request twice -----------------------------------------------------------------------------------------------------


async def test_the_same_key_twice_is_one_change(releases: Releases) -> None:
    _, two, three = await releases.deploy_many(3)
    key = IdempotencyKey("k1", sha256(b"promote v2"))

    first = await releases.promote(two, idempotency=key)
    await releases.promote(three)
    again = await releases.promote(two, idempotency=key)

    assert (first.replayed, again.replayed) == (False, True)
    assert again.event == first.event
    assert again.release == await releases.release()
    assert await active(releases) == three.id
    with pytest.raises(IdempotencyKeyReused):
        await releases.promote(two, idempotency=IdempotencyKey("k1", sha256(b"another")))


async def test_a_key_of_a_refused_change_can_be_used_again(releases: Releases) -> None:
    one, two = await releases.deploy_many(2)
    key = IdempotencyKey("k1", sha256(b"promote"))
    with pytest.raises(AlreadyActive):
        await releases.promote(one, idempotency=key)

    assert (await releases.promote(two, idempotency=key)).replayed is False


async def test_a_key_of_what_changed_nothing_is_answered_the_same_again(releases: Releases) -> None:
    _, two = await releases.deploy_many(2)
    key = IdempotencyKey("k1", sha256(b"withdraw"))
    await releases.withdraw(two)

    first, again = [await releases.withdraw(two, idempotency=key) for _ in range(2)]

    assert (first.event, again.event, again.replayed) == (None, None, True)


# --- runs under way -------------------------------------------------------------------------------------------------------------


async def leave_second(releases: Releases, policy: InFlight) -> Changed:
    """The release goes from v2 back to v1."""
    return await releases.rollback("v1", in_flight=policy)


async def on_second(releases: Releases) -> Version:
    """v2 is active."""
    _, two = await releases.deploy_many(2)
    await releases.promote(two)
    return two


async def running(releases: Releases, moves: Moves, version: Version) -> Claim:
    run = await releases.pin(version)
    held = await moves.claim(run.id, version.workflow)
    async with releases.database.write() as connection:
        pinned = {"version_id": version.id, "snapshot_digest": version.snapshot_digest}
        await connection.execute(update(runs).where(runs.c.id == run.id).values(**pinned))
    return held


async def test_finish_touches_no_run(releases: Releases, moves: Moves) -> None:
    two = await on_second(releases)
    held = await running(releases, moves, two)

    changed = await leave_second(releases, InFlight.FINISH)
    await moves.complete(held)

    assert list(changed.moved) == []
    assert (await releases.run(held.run)).version_id == two.id


async def test_a_restarted_run_is_fenced_and_starts_over_with_nothing_of_the_old_version(
    releases: Releases, moves: Moves, database: Database
) -> None:
    two = await on_second(releases)
    held = await running(releases, moves, two)
    await moves.step(held, "plan")
    await begin_call(database, held.run)

    changed = await leave_second(releases, InFlight.RESTART)

    run = await releases.run(held.run)
    [moved] = changed.moved
    assert changed.event is not None
    assert (changed.event.moved_runs, changed.event.in_flight) == (1, "restart")
    assert (moved.run_id, moved.status, moved.seq) == (run.id, Status.QUEUED, run.event_seq)
    assert (run.status, run.reason, run.version_id, run.snapshot_digest) == (Status.QUEUED, "restarted", None, None)
    assert (run.generation, run.checkpoint_thread) == (1, f"{run.id}#1")
    assert (run.lease_owner, run.lease_expires_at, run.started_at) == (None, None, None)
    with pytest.raises(LeaseLost):
        await moves.note(held, "still here")
    async with database.read() as connection:
        status = await connection.scalar(select(llm_calls.c.status).where(llm_calls.c.run_id == run.id))
        cost = await connection.scalar(select(llm_attempts.c.tokens_source).where(llm_attempts.c.run_id == run.id))
        why = await connection.scalars(select(outbox.c.payload).order_by(outbox.c.id))
    assert (status, cost) == ("in_doubt", "estimated")
    assert {"run_id": run.id, "why": "restarted"} in list(why)
    again = await claim(database, "agent")
    assert (again.id, again.snapshot_digest, again.lease_token > run.lease_token) == (run.id, "digest", True)


async def begin_call(database: Database, run: Run) -> None:
    key = {"run_id": run.id, "call_key": "0//plan/1//0", "request_hash": "0" * 64}
    who = {"kind": "live", "workflow": run.workflow, "agent": "plan", "owner": "local", "at": CLOCK.now()}
    async with database.write() as connection:
        await connection.execute(insert(llm_calls).values(**key, **who, step_key="k", status="started"))
        attempt = {"n": 1, "status": "started", "provider": "groq", "model": "m", "estimated_prompt_tokens": 7}
        await connection.execute(
            insert(llm_attempts).values(**key, **who, **attempt, estimated_completion_tokens=3, gated=True)
        )


async def test_a_run_that_did_something_irreversible_is_held(
    releases: Releases, moves: Moves, database: Database
) -> None:
    two = await on_second(releases)
    held = [await running(releases, moves, two) for _ in range(2)]
    async with database.write() as connection:
        await connection.execute(
            insert(tool_calls).values(
                run_id=held[0].run_id,
                call_key="k",
                args_hash="h",
                step_key="s",
                tool="pay",
                schema_digest="d",
                effect="irreversible",
                mode="live",
                status="done",
                doubts=0,
                agent="plan",
                args_ref="r",
                at=CLOCK.now(),
            )
        )

    await leave_second(releases, InFlight.RESTART)

    kept, restarted = [await releases.run(claimed.run) for claimed in held]
    assert (kept.status, kept.reason, kept.version_id, kept.generation) == (
        Status.PAUSED,
        "irreversible_effect",
        two.id,
        0,
    )
    assert restarted.status is Status.QUEUED


async def test_every_state_is_moved_as_the_policy_says(releases: Releases, moves: Moves) -> None:
    two = await on_second(releases)
    for policy, expected in (
        (InFlight.HOLD, {"QUEUED": "PAUSED", "RUNNING": "PAUSED", "AWAITING_HUMAN": "PAUSED", "PAUSED": "PAUSED"}),
        (InFlight.CANCEL, dict.fromkeys(("QUEUED", "RUNNING", "AWAITING_HUMAN", "PAUSED"), "CANCELLED")),
        (
            InFlight.RESTART,
            {"QUEUED": "QUEUED", "RUNNING": "QUEUED", "AWAITING_HUMAN": "QUEUED", "PAUSED": "PAUSED"},
        ),
    ):
        pinned = {"QUEUED": await releases.pin(two)}
        for status in ("RUNNING", "AWAITING_HUMAN", "PAUSED"):
            held = await running(releases, moves, two)
            pinned[status] = held.run
            if status == "AWAITING_HUMAN":
                await moves.ask(held, Question("q", "?", None, None, deadline_seconds=60, node="plan"))
            if status == "PAUSED":
                await moves.pause(held)

        await leave_second(releases, policy)

        found = {status: await releases.run(run) for status, run in pinned.items()}
        assert {status: str(run.status) for status, run in found.items()} == expected
        assert {run.lease_expires_at for run in found.values()} == {None}
        if policy is InFlight.RESTART:
            assert {run.version_id for run in found.values()} == {None}
            assert {run.generation for run in found.values()} == {1}
        await releases.promote(two, force=True, in_flight=InFlight.FINISH)
        await cancel_all(releases)


async def cancel_all(releases: Releases) -> None:
    async with releases.database.write() as connection:
        unfinished = runs.c.status.in_(["QUEUED", "PAUSED", "AWAITING_HUMAN"])
        await connection.execute(update(runs).where(unfinished).values(status="CANCELLED", finished_at=CLOCK.now()))


@pytest.mark.parametrize(
    ("policy", "status"), [(InFlight.HOLD, "open"), (InFlight.RESTART, "closed"), (InFlight.CANCEL, "closed")]
)
async def test_open_questions_are_closed_unless_the_run_is_held(
    releases: Releases, moves: Moves, database: Database, policy: InFlight, status: str
) -> None:
    two = await on_second(releases)
    held = await running(releases, moves, two)
    await moves.ask(held, Question("q", "?", None, None, deadline_seconds=60, node="plan"))

    await leave_second(releases, policy)

    async with database.read() as connection:
        assert await connection.scalar(select(interactions.c.status)) == status


async def test_runs_that_belong_to_other_versions_or_to_none_are_left_alone(
    releases: Releases, moves: Moves, database: Database
) -> None:
    one, two = await releases.deploy_many(2)
    await releases.promote(two)
    waiting = [await start_run(database, "agent") for _ in range(3)]
    others = [await running(releases, moves, one), await running(releases, moves, two)]
    ended = await running(releases, moves, two)
    await moves.complete(ended)

    changed = await leave_second(releases, InFlight.CANCEL)

    assert [moved.run_id for moved in changed.moved] == [others[1].run_id]
    assert {(await releases.run(run)).status for run in waiting} == {Status.QUEUED}
    assert (await releases.run(others[0].run)).status is Status.RUNNING
    assert (await releases.run(ended.run)).status is Status.COMPLETED


async def test_revoking_moves_the_runs_of_that_version_also_when_it_is_not_active(
    releases: Releases, moves: Moves
) -> None:
    one, two = await releases.deploy_many(2)
    await releases.promote(two)
    held = await running(releases, moves, one)

    changed = await releases.revoke(one, in_flight=InFlight.HOLD)

    assert changed.event is not None
    assert (changed.event.moved_runs, changed.event.in_flight) == (1, "hold")
    assert (await releases.run(held.run)).status is Status.PAUSED


async def test_nothing_is_moved_when_the_change_is_refused(releases: Releases, moves: Moves) -> None:
    two = await on_second(releases)
    held = await running(releases, moves, two)

    with pytest.raises(RevisionConflict):
        await releases.rollback("v1", in_flight=InFlight.CANCEL, expected_revision=1)

    assert (await releases.run(held.run)).status is Status.RUNNING


async def test_hundreds_of_runs_move_at_once(releases: Releases, database: Database) -> None:
    two = await on_second(releases)
    template = await releases.pin(two)
    async with database.write() as connection:
        row = dict((await connection.execute(select(runs).where(runs.c.id == template.id))).mappings().one())
        many = [{**row, "id": f"run_x{n:035}", "thread_id": f"run_x{n:035}"} for n in range(1_200)]
        await connection.execute(insert(runs), many)

    changed = await leave_second(releases, InFlight.RESTART)

    async with database.read() as connection:
        left = await connection.scalar(select(func.count()).where(runs.c.version_id == two.id))
        told = await connection.scalar(
            select(func.count()).where(events.c.type == "run.queued", events.c.run_id > "run_x")
        )
    assert (len(changed.moved), left) == (1_201, 0)
    assert told == 1_200


async def test_deleting_a_restarted_run_erases_all_its_checkpoint_threads(
    releases: Releases, moves: Moves, database: Database
) -> None:
    two = await on_second(releases)
    held = await running(releases, moves, two)
    await leave_second(releases, InFlight.RESTART)
    await moves.complete(await moves.claim(held.run_id, "agent"))
    erased: list[str] = []

    async def erase(_connection: Any, _dialect: Any, threads: Any) -> None:
        erased.extend(threads)

    async with database.write() as connection:
        await delete_run(connection, database.dialect, held.run_id, erase_checkpoints=erase, who="local", clock=CLOCK)

    assert set(erased) == {held.run_id, f"{held.run_id}#1"}
