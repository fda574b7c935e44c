"""Which version a run gets, and whose code it needs: what claims and dispatch ask of versions."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Select, bindparam, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.ids import VersionId
from shadowgraph.models.releases import releases
from shadowgraph.models.snapshots import snapshots
from shadowgraph.models.versions import versions

_ACTIVE = (
    select(releases.c.workflow, snapshots.c.code_digest)
    .join(versions, versions.c.id == releases.c.active_version)
    .join(snapshots, snapshots.c.digest == versions.c.snapshot_digest)
)
_LOCK_ACTIVE = (
    select(releases.c.active_version).where(releases.c.workflow == bindparam("wanted")).with_for_update(read=True)
)
_PIN = (
    select(versions.c.id, versions.c.snapshot_digest, snapshots.c.code_digest)
    .join(snapshots, snapshots.c.digest == versions.c.snapshot_digest)
    .where(versions.c.id == bindparam("wanted"))
)


@dataclass(frozen=True, slots=True)
class Pin:
    """What a run keeps to its end."""

    version_id: VersionId
    snapshot_digest: str
    code_digest: str | None
    """Of `digests.code_digest_of`; None: stored by an earlier release."""


_known: dict[str, Pin] = {}
"""By id of the version. What a version is never changes; which one is active is never remembered."""


@dataclass(frozen=True, slots=True)
class Needed:
    """Code that runs need."""

    workflow: str
    code: str
    snapshot_digest: str
    """One that has it."""


async def list_active(connection: AsyncConnection) -> list[Needed]:
    """Of the active version of each workflow."""
    columns = (releases.c.workflow, snapshots.c.code_digest.label("code"), snapshots.c.digest.label("snapshot_digest"))
    rows = await connection.execute(_ACTIVE.with_only_columns(*columns).where(snapshots.c.code_digest.is_not(None)))
    return [Needed(**row) for row in rows.mappings()]


async def list_needed(connection: AsyncConnection, digests: Collection[str]) -> list[Needed]:
    """Of these snapshots; one for each code."""
    statement = (
        select(
            snapshots.c.workflow,
            snapshots.c.code_digest.label("code"),
            func.max(snapshots.c.digest).label("snapshot_digest"),
        )
        .where(snapshots.c.digest.in_(digests), snapshots.c.code_digest.is_not(None))
        .group_by(snapshots.c.workflow, snapshots.c.code_digest)
    )
    return [Needed(**row) for row in (await connection.execute(statement)).mappings()]


async def take_pin(connection: AsyncConnection, workflow: str) -> Pin | None:
    """To the version that is active, and stays so until this transaction ends. None: the workflow has none."""
    active = await hold_active(connection, workflow)
    if active is None:
        return None
    if active in _known:
        return _known[active]
    # Not in one statement with the lock: PostgreSQL would join the row that it waited for with the version that was active before.
    row = (await connection.execute(_PIN, {"wanted": active})).one()
    pin = Pin(VersionId(row.id), row.snapshot_digest, row.code_digest)
    if pin.code_digest is not None:
        _known[active] = pin
    return pin


async def hold_active(connection: AsyncConnection, workflow: str) -> str | None:
    """The active version; until this transaction ends no other takes its place, and none is revoked or purged."""
    active: str | None = await connection.scalar(_LOCK_ACTIVE, {"wanted": workflow})
    return active


def released_workflows() -> Select[Any]:
    return select(releases.c.workflow)


def workflows_active_with(codes: Collection[str]) -> Select[Any]:
    """Those whose active version has one of these codes."""
    return _ACTIVE.with_only_columns(releases.c.workflow).where(snapshots.c.code_digest.in_(codes))


def has_code(snapshot_digest: ColumnElement[Any], codes: Collection[str]) -> ColumnElement[bool]:
    """For a statement over rows with snapshots."""
    return exists().where(snapshots.c.digest == snapshot_digest, snapshots.c.code_digest.in_(codes))


def code_of(snapshot_digest: ColumnElement[Any]) -> Select[Any]:
    return select(snapshots.c.code_digest).where(snapshots.c.digest == snapshot_digest)


def active_code_of(workflow: ColumnElement[Any]) -> Select[Any]:
    return _ACTIVE.with_only_columns(snapshots.c.code_digest).where(releases.c.workflow == workflow)
