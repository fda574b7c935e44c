"""The use cases of releases: a version is added, becomes active, is left, marked. Pointer, marks, event and runs change in one transaction.

The edge opens the transaction, and tells of the change after the commit (`tell`): a hash that nobody outside the database has seen proves
nothing.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.clock import Clock
from shadowgraph.core.ids import VersionId
from shadowgraph.core.json import JsonObject
from shadowgraph.db.dialect import DialectName
from shadowgraph.runs import events as ev
from shadowgraph.runs.idempotency import IdempotencyKey, note_answer, take_key
from shadowgraph.runs.inflight import InFlight, MovedRun, move_runs
from shadowgraph.versioning import release as pointer_machine
from shadowgraph.versioning import repository, service
from shadowgraph.versioning.chain import ReleaseEvent, facts_after, facts_before, sealed
from shadowgraph.versioning.release import Change, Pointer, RevisionConflict, Target, find_last_good, require_revision
from shadowgraph.versioning.repository import Release, Version
from shadowgraph.versioning.service import Added, NewVersion
from shadowgraph.versioning.snapshot import Snapshot

log = logging.getLogger(__name__)

NO_EVENT = 0
"""As a revision: no event has it."""

LAST_GOOD = "last_good"
"""As the target of a rollback: the version that was active last and is neither withdrawn nor revoked."""


@dataclass(frozen=True, slots=True)
class Order:
    """Who wants a change, why, and of what."""

    actor: str
    reason: str = ""
    expected_revision: int | None = None
    """Refuse if the release is at another one; None: act on whatever is there."""
    in_flight: InFlight = InFlight.FINISH
    """For the unfinished runs of the version that is left."""
    idempotency: IdempotencyKey | None = None


@dataclass(frozen=True, slots=True)
class Changed:
    release: Release
    event: ReleaseEvent | None
    """None: it was so already."""
    moved: Sequence[MovedRun] = ()
    replayed: bool = False
    """True: the same request with the same idempotency key was done before, and this is what it did."""


@dataclass(frozen=True, slots=True)
class Deployed:
    added: Added
    event: ReleaseEvent | None
    """Of the workflow's first version, which is active at once."""


@dataclass(frozen=True, slots=True)
class _Desk:
    """What every use case works with."""

    connection: AsyncConnection
    dialect: DialectName
    clock: Clock


async def deploy(
    connection: AsyncConnection, dialect: DialectName, snapshot: Snapshot, new: NewVersion, *, clock: Clock
) -> Deployed:
    """A draft; the first version of a workflow is active at once.

    Errors: `InvalidSnapshot` for a prompt with a variable that its code does not fill in.
    """
    desk = _Desk(connection, dialect, clock)
    added = await service.add_version(connection, dialect, snapshot, new, at=clock.now())
    event = None
    if await repository.find_release(connection, added.version.workflow) is None:
        change = pointer_machine.create(added.version.workflow, added.version.id)
        event = await _write(desk, change, Order(new.author, new.message), moved_runs=0)
    if event is None and added.is_new:
        await _publish(desk, {"workflow": added.version.workflow, "action": "register", "version": added.version.id})
    return Deployed(added, event)


async def promote(
    connection: AsyncConnection, dialect: DialectName, version: Version, order: Order, *, force: bool, clock: Clock
) -> Changed:
    """Errors: `RevisionConflict`, `AlreadyActive`, `VersionRevoked`, `VersionWithdrawn`, `VersionPurged`; of the key as in `runs/idempotency.py`."""

    async def plan(pointer: Pointer) -> Change:
        active, target = await _load_target(connection, pointer.active), await _load_target(connection, version.id)
        return pointer_machine.promote(pointer, target, active=active, force=force)

    return await _change(_Desk(connection, dialect, clock), version.workflow, order, plan)


async def rollback(
    connection: AsyncConnection, dialect: DialectName, workflow: str, to: str, order: Order, *, clock: Clock
) -> Changed:
    """`to`: a version, or `LAST_GOOD`.

    Errors: those of `promote`; `ReleaseNotFound`, `VersionNotFound`, `NeverActive`, `NoGoodVersion`.
    """

    async def plan(pointer: Pointer) -> Change:
        trail = await repository.load_trail(connection, dialect, workflow)
        target = await _find_target(connection, pointer, trail, to)
        active = await _load_target(connection, pointer.active)
        return pointer_machine.rollback(pointer, target, active=active, was_active=trail)

    return await _change(_Desk(connection, dialect, clock), workflow, order, plan)


async def withdraw(
    connection: AsyncConnection, dialect: DialectName, version: Version, order: Order, *, clock: Clock
) -> Changed:
    """Errors: `RevisionConflict`, `VersionInUse`, `VersionRevoked`."""

    async def plan(pointer: Pointer) -> Change | None:
        return pointer_machine.withdraw(pointer, await _load_target(connection, version.id))

    return await _change(_Desk(connection, dialect, clock), version.workflow, order, plan)


async def keep(
    connection: AsyncConnection, dialect: DialectName, version: Version, order: Order, *, is_kept: bool, clock: Clock
) -> Changed:
    """Errors: `RevisionConflict`."""

    async def plan(pointer: Pointer) -> Change | None:
        return pointer_machine.keep(pointer, await _load_target(connection, version.id), is_kept=is_kept)

    return await _change(_Desk(connection, dialect, clock), version.workflow, order, plan)


async def revoke(
    connection: AsyncConnection, dialect: DialectName, version: Version, order: Order, *, clock: Clock
) -> Changed:
    """For good. The active version is rolled back to the last good one.

    Errors: `RevisionConflict`, `VersionInUse`, `NoGoodVersion`.
    """

    async def plan(pointer: Pointer) -> Change | None:
        target, fallback = await _load_target(connection, version.id), None
        if target.id == pointer.active:
            trail = await repository.load_trail(connection, dialect, version.workflow)
            fallback = await _find_target(connection, pointer, trail, LAST_GOOD)
        return pointer_machine.revoke(pointer, target, fallback=fallback)

    return await _change(_Desk(connection, dialect, clock), version.workflow, order, plan)


async def _change(
    desk: _Desk, workflow: str, order: Order, plan: Callable[[Pointer], Awaitable[Change | None]]
) -> Changed:
    if (earlier := await _find_done(desk, order)) is not None:
        return earlier
    release = await repository.lock_release(desk.connection, workflow)
    require_revision(release.pointer, order.expected_revision)
    change = await plan(release.pointer)
    if change is None:
        await _note(desk, order, workflow, NO_EVENT)
        return Changed(release, None)
    moved: list[MovedRun] = []
    if change.leaves is not None:
        moved = await move_runs(desk.connection, change.leaves, order.in_flight, at=desk.clock.now())
    event = await _write(desk, change, order, moved_runs=len(moved))
    if event is None:
        raise RevisionConflict("somebody else changed the release just now", hint="look at it again, and then decide")
    await _note(desk, order, workflow, event.revision)
    return Changed(Release(change.after, event.at), event, moved)


async def _write(desk: _Desk, change: Change, order: Order, *, moved_runs: int) -> ReleaseEvent | None:
    """None: somebody else changed the pointer since it was read."""
    now, workflow = desk.clock.now(), change.after.workflow
    if not await repository.write_pointer(desk.connection, desk.dialect, change, at=now):
        return None
    await repository.write_marks(desk.connection, change, reason=order.reason, at=now)
    event = sealed(
        ReleaseEvent(
            workflow=workflow,
            revision=change.after.revision,
            at=now,
            action=change.action,
            actor=order.actor,
            reason=order.reason,
            before=facts_before(change),
            after=facts_after(change),
            evidence_rollout=None,
            in_flight=None if change.leaves is None else order.in_flight,
            moved_runs=moved_runs,
            prev_hash=await repository.find_hash(desk.connection, workflow, change.after.revision - 1),
        )
    )
    await repository.insert_event(desk.connection, event)
    payload: JsonObject = {
        "workflow": workflow,
        "action": event.action,
        "revision": event.revision,
        "active_version": change.after.active,
        "actor": event.actor,
        "hash": event.hash,
    }
    await _publish(desk, payload)
    return event


async def _publish(desk: _Desk, payload: JsonObject) -> None:
    event = ev.NewEvent(ev.VERSION_CHANGED, payload)
    await ev.append_system_event(desk.connection, desk.dialect, event, at=desk.clock.now())


def tell(event: ReleaseEvent | None) -> None:
    """Of a change that was committed: the head of the chain leaves the database."""
    if event is not None:
        log.info(
            "release of %s: revision %s, %s by %s, active %s, hash %s",
            *(event.workflow, event.revision, event.action, event.actor, event.after["active_version"], event.hash),
        )


# --- what a change needs to know ------------------------------------------------------------------------------------------------


async def _load_target(connection: AsyncConnection, version_id: VersionId) -> Target:
    """As it is now that the release is locked: whoever marked the version before has committed."""
    return (await repository.load_versions(connection, [version_id]))[version_id].target


async def _find_target(connection: AsyncConnection, pointer: Pointer, trail: Sequence[VersionId], to: str) -> Target:
    if to != LAST_GOOD:
        return (await service.require_version(connection, to, workflow=pointer.workflow)).target
    known = await repository.load_versions(connection, trail)
    return find_last_good(pointer, trail, {version_id: version.target for version_id, version in known.items()})


# --- the same request twice -----------------------------------------------------------------------------------------------------


async def _find_done(desk: _Desk, order: Order) -> Changed | None:
    """Takes the order's key, if it has one; what was done under it before."""
    if order.idempotency is None:
        return None
    earlier = await take_key(
        desk.connection, desk.dialect, order.idempotency, scope=order.actor, answer={}, clock=desk.clock
    )
    if earlier is None:
        return None
    workflow, revision = earlier["workflow"], earlier["revision"]
    event = await repository.find_event(desk.connection, workflow, revision)
    release = repository.require_release(await repository.find_release(desk.connection, workflow), workflow)
    return Changed(release, event, replayed=True)


async def _note(desk: _Desk, order: Order, workflow: str, revision: int) -> None:
    if order.idempotency is not None:
        answer: JsonObject = {"workflow": workflow, "revision": revision}
        await note_answer(desk.connection, order.idempotency, scope=order.actor, answer=answer)
