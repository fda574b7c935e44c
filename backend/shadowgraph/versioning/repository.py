"""Snapshots, versions and releases in the database. Nothing else queries these tables, but for claims (`pinning.py`)."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping, Select, delete, func, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.errors import NotFound
from shadowgraph.core.ids import VersionId
from shadowgraph.core.json import JsonObject
from shadowgraph.db.dialect import DialectName, insert, json_text
from shadowgraph.models.blobs import blobs
from shadowgraph.models.releases import release_events, releases
from shadowgraph.models.snapshots import snapshots
from shadowgraph.models.versions import versions
from shadowgraph.versioning.aging import Aged
from shadowgraph.versioning.chain import ReleaseEvent
from shadowgraph.versioning.digests import code_digest_of
from shadowgraph.versioning.manifest import Manifest, load
from shadowgraph.versioning.release import Change, Marks, Pointer, Target

LOCK_SPACE = 8
"""Of the advisory locks by which versions of one workflow are numbered one at a time. (Threads: 7.)"""


class SnapshotNotFound(NotFound):
    code = "snapshot_not_found"


class VersionNotFound(NotFound):
    code = "version_not_found"


class ReleaseNotFound(NotFound):
    """The workflow has no version yet."""

    code = "release_not_found"


@dataclass(frozen=True, slots=True)
class Version:
    """One row of `versions`; the columns' comments say what each field means."""

    id: VersionId
    workflow: str
    seq: int
    snapshot_digest: str
    message: str
    author: str
    created_at: datetime
    withdrawn_at: datetime | None
    revoked_at: datetime | None
    revoke_reason: str | None
    keep: bool
    is_purged: bool

    @property
    def label(self) -> str:
        return label_of(self.seq)

    @property
    def target(self) -> Target:
        marks = Marks(withdrawn=self.withdrawn_at is not None, revoked=self.revoked_at is not None, keep=self.keep)
        return Target(self.id, self.label, marks, self.is_purged)


@dataclass(frozen=True, slots=True)
class SnapshotRow:
    """One row of `snapshots`, without its manifest."""

    digest: str
    workflow: str
    facets: Mapping[str, str]
    nodes: Mapping[str, str]
    size: int
    provenance: JsonObject
    created_at: datetime
    purged_at: datetime | None


@dataclass(frozen=True, slots=True)
class Release:
    pointer: Pointer
    updated_at: datetime


_VERSION_COLUMNS = (
    *(versions.c[field.name] for field in fields(Version) if field.name != "is_purged"),
    snapshots.c.purged_at.is_not(None).label("is_purged"),
)
_VERSIONS = select(*_VERSION_COLUMNS).join(snapshots, snapshots.c.digest == versions.c.snapshot_digest)
_SNAPSHOT_COLUMNS = tuple(snapshots.c[field.name] for field in fields(SnapshotRow))
_EVENT_COLUMNS = tuple(release_events.c[field.name] for field in fields(ReleaseEvent))


def label_of(seq: int) -> str:
    return f"v{seq}"


# --- blobs ----------------------------------------------------------------------------------------------------------------------


async def store_blobs(
    connection: AsyncConnection, dialect: DialectName, bodies: Mapping[str, bytes], *, at: datetime
) -> None:
    """Adds those that are not there yet, in one order, so that two processes cannot lock each other out; marks the others as in use."""
    in_order = select(blobs.c.digest).where(blobs.c.digest.in_(sorted(bodies))).order_by(blobs.c.digest)
    known = set(await connection.scalars(in_order.with_for_update()))
    if known:
        await connection.execute(update(blobs).where(blobs.c.digest.in_(known)).values(last_marked_at=at))
    rows = [
        {"digest": digest, "size": len(bodies[digest]), "body": bodies[digest], "stored_at": at, "last_marked_at": at}
        for digest in sorted(bodies.keys() - known)
    ]
    if rows:
        await connection.execute(insert(blobs, dialect).on_conflict_do_nothing(), rows)


async def load_blobs(connection: AsyncConnection, digests: Collection[str]) -> dict[str, bytes]:
    """Those that are there."""
    rows = await connection.execute(select(blobs.c.digest, blobs.c.body).where(blobs.c.digest.in_(sorted(digests))))
    return {row.digest: bytes(row.body) for row in rows}


# --- snapshots ------------------------------------------------------------------------------------------------------------------


async def store_snapshot(
    connection: AsyncConnection,
    dialect: DialectName,
    digest: str,
    manifest: Manifest,
    *,
    provenance: JsonObject,
    at: datetime,
) -> None:
    """The first one to store it says where it comes from; one whose files were collected is there again."""
    row = {
        "digest": digest,
        "workflow": manifest.workflow,
        "manifest": manifest.to_json(),
        "facets": dict(manifest.facets),
        "code_digest": code_digest_of(manifest.facets),
        "nodes": dict(manifest.nodes),
        "size": manifest.size_bytes,
        "provenance": dict(provenance),
        "created_at": at,
        "registered_at": at,
    }
    statement = insert(snapshots, dialect).values(row)
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=["digest"], set_={"purged_at": None, "registered_at": at, "code_digest": row["code_digest"]}
        )
    )


async def require_snapshot(connection: AsyncConnection, digest: str) -> tuple[SnapshotRow, Manifest]:
    """Errors: `SnapshotNotFound`."""
    statement = select(*_SNAPSHOT_COLUMNS, snapshots.c.manifest).where(snapshots.c.digest == digest)
    row = (await connection.execute(statement)).mappings().first()
    if row is None:
        raise SnapshotNotFound(f"there is no snapshot {digest}", digest=digest)
    values = {field.name: row[field.name] for field in fields(SnapshotRow)}
    return SnapshotRow(**values), load(row["manifest"])


async def load_manifests(connection: AsyncConnection, workflow: str, *, code: str, limit: int) -> list[Manifest]:
    """Of the workflow's newest versions with this code facet."""
    of_version = select(snapshots.c.digest, snapshots.c.facets, versions.c.seq).join(
        versions, versions.c.snapshot_digest == snapshots.c.digest
    )
    rows = await connection.execute(of_version.where(versions.c.workflow == workflow).order_by(versions.c.seq.desc()))
    digests = [row.digest for row in rows if row.facets["code"] == code][:limit]
    found = await connection.scalars(select(snapshots.c.manifest).where(snapshots.c.digest.in_(digests)))
    return [load(value) for value in found]


# --- versions -------------------------------------------------------------------------------------------------------------------


async def lock_workflow(connection: AsyncConnection, dialect: DialectName, workflow: str) -> None:
    """Nobody else adds a version of it until this transaction ends."""
    if dialect == "postgresql":  # SQLite has one writer anyway
        await connection.execute(
            text("SELECT pg_advisory_xact_lock(hashtextextended(:workflow, :space))"),
            {"workflow": workflow, "space": LOCK_SPACE},
        )


async def next_seq(connection: AsyncConnection, workflow: str) -> int:
    """With the workflow locked."""
    last = await connection.scalar(select(func.max(versions.c.seq)).where(versions.c.workflow == workflow))
    return (last or 0) + 1


async def insert_version(connection: AsyncConnection, version: Version) -> None:
    values = {name: value for name, value in asdict(version).items() if name != "is_purged"}
    await connection.execute(versions.insert().values(values))


async def find_version_of(connection: AsyncConnection, workflow: str, snapshot_digest: str) -> Version | None:
    statement = _VERSIONS.where(versions.c.workflow == workflow, versions.c.snapshot_digest == snapshot_digest)
    return _version((await connection.execute(statement)).mappings().first())


async def find_version(connection: AsyncConnection, name: str, *, workflow: str | None = None) -> Version | None:
    """`name`: an id, or with a workflow its label or the digest of its snapshot."""
    statement = _VERSIONS.where(versions.c.id == name)
    if workflow is not None:
        own = or_(versions.c.id == name, versions.c.snapshot_digest == name, versions.c.seq == _seq_of(name))
        statement = _VERSIONS.where(versions.c.workflow == workflow, own)
    return _version((await connection.execute(statement)).mappings().first())


def _seq_of(label: str) -> int:
    """0, which no version has, for anything but `v7`."""
    digits = label.removeprefix("v")
    return int(digits) if digits != label and digits.isascii() and digits.isdecimal() and len(digits) < 10 else 0


async def list_versions(connection: AsyncConnection, workflow: str, *, before: int | None, limit: int) -> list[Version]:
    """Newest first; `before`: a seq."""
    statement = _VERSIONS.where(versions.c.workflow == workflow).order_by(versions.c.seq.desc()).limit(limit)
    if before is not None:
        statement = statement.where(versions.c.seq < before)
    return [Version(**row) for row in (await connection.execute(statement)).mappings()]


async def load_versions(connection: AsyncConnection, ids: Iterable[str]) -> dict[VersionId, Version]:
    statement = _VERSIONS.where(versions.c.id.in_(sorted(set(ids))))
    found = [Version(**row) for row in (await connection.execute(statement)).mappings()]
    return {version.id: version for version in found}


async def find_revocation(connection: AsyncConnection, version_id: str) -> str | None:
    """Which version it is and why it was revoked, for people; None: it was not."""
    c = versions.c
    statement = select(c.seq, c.revoke_reason).where(c.id == version_id, c.revoked_at.is_not(None))
    row = (await connection.execute(statement)).first()
    return f"{label_of(row.seq)} was revoked: {row.revoke_reason}" if row else None


async def load_labels(connection: AsyncConnection, ids: Iterable[str]) -> dict[str, str]:
    rows = await connection.execute(select(versions.c.id, versions.c.seq).where(versions.c.id.in_(sorted(set(ids)))))
    return {row.id: label_of(row.seq) for row in rows}


async def find_active(connection: AsyncConnection, workflow: str) -> Version | None:
    release = await find_release(connection, workflow)
    if release is None:
        return None
    return (await load_versions(connection, [release.pointer.active]))[release.pointer.active]


async def load_active_labels(connection: AsyncConnection) -> dict[str, str]:
    """By workflow."""
    of_active = select(releases.c.workflow, versions.c.seq).join(versions, versions.c.id == releases.c.active_version)
    return {row.workflow: label_of(row.seq) for row in await connection.execute(of_active)}


def ids_of_versions(names: Collection[str]) -> Select[tuple[str]]:
    """`names`: ids, or labels, which may stand for versions of several workflows."""
    seqs = [seq for name in names if (seq := _seq_of(name))]
    return select(versions.c.id).where(or_(versions.c.id.in_(names), versions.c.seq.in_(seqs)))


async def list_workflows(connection: AsyncConnection) -> list[str]:
    """Those that have versions."""
    return list(await connection.scalars(select(releases.c.workflow).order_by(releases.c.workflow)))


def _version(row: RowMapping | None) -> Version | None:
    return Version(**row) if row else None


# --- what is old ----------------------------------------------------------------------------------------------------------------


async def load_aged(connection: AsyncConnection, workflow: str) -> list[Aged]:
    """Versions that still have their files."""
    statement = (
        select(versions.c.id, versions.c.seq, versions.c.snapshot_digest, snapshots.c.registered_at, versions.c.keep)
        .join(snapshots, snapshots.c.digest == versions.c.snapshot_digest)
        .where(versions.c.workflow == workflow, snapshots.c.purged_at.is_(None))
    )
    return [Aged(**row) for row in (await connection.execute(statement)).mappings()]


async def find_concerned(connection: AsyncConnection, workflow: str, *, since: datetime) -> set[str]:
    """Versions that a change since then made active, left or marked."""
    c = release_events.c
    rows = await connection.execute(select(c.before, c.after).where(c.workflow == workflow, c.at >= since))
    facts = [found for row in rows for found in (row.before, row.after) if found is not None]
    return {version_id for found in facts for version_id in (found["active_version"], *found["marks"])}


async def purge(connection: AsyncConnection, digests: Collection[str], *, at: datetime) -> None:
    if digests:
        await connection.execute(update(snapshots).where(snapshots.c.digest.in_(sorted(digests))).values(purged_at=at))


async def delete_unreferenced(connection: AsyncConnection, *, before: datetime) -> list[int]:
    """Blobs that no snapshot with files refers to and that nobody registered since; their sizes."""
    old = set(await connection.scalars(select(blobs.c.digest).where(blobs.c.last_marked_at < before)))
    if not old:
        return []
    manifests = await connection.stream_scalars(select(snapshots.c.manifest).where(snapshots.c.purged_at.is_(None)))
    async for manifest in manifests:
        old -= {file["digest"] for file in manifest["files"].values()}
    doomed = delete(blobs).where(blobs.c.digest.in_(sorted(old)), blobs.c.last_marked_at < before)
    return list(await connection.scalars(doomed.returning(blobs.c.size)))


async def find_blobs(connection: AsyncConnection, digests: Collection[str]) -> set[str]:
    """Those that are there."""
    return set(await connection.scalars(select(blobs.c.digest).where(blobs.c.digest.in_(sorted(digests)))))


# --- releases -------------------------------------------------------------------------------------------------------------------


async def find_release(connection: AsyncConnection, workflow: str) -> Release | None:
    return _release((await connection.execute(_select_release(workflow))).mappings().first())


async def lock_release(connection: AsyncConnection, workflow: str) -> Release:
    """Nobody else changes it until this transaction ends; claims that read it wait.

    Errors: `ReleaseNotFound`.
    """
    row = (await connection.execute(_select_release(workflow).with_for_update())).mappings().first()
    return require_release(_release(row), workflow)


def require_release(found: Release | None, workflow: str) -> Release:
    """Errors: `ReleaseNotFound`."""
    if found is None:
        raise ReleaseNotFound(f"the workflow {workflow!r} has no version", workflow=workflow)
    return found


def _select_release(workflow: str) -> Any:
    return select(releases).where(releases.c.workflow == workflow)


def _release(row: RowMapping | None) -> Release | None:
    if row is None:
        return None
    pointer = Pointer(
        row["workflow"],
        row["revision"],
        VersionId(row["active_version"]),
        previous=row["previous_version"],
        candidate=row["candidate_version"],
        rollout_id=row["rollout_id"],
        shadow_bp=row["shadow_bp"],
    )
    return Release(pointer, row["updated_at"])


async def write_pointer(connection: AsyncConnection, dialect: DialectName, change: Change, *, at: datetime) -> bool:
    """False: somebody else changed it since it was read."""
    row = {**change.after.facts(), "revision": change.after.revision, "updated_at": at}
    if change.before is None:
        first = insert(releases, dialect).values({**row, "workflow": change.after.workflow})
        made = await connection.scalar(first.on_conflict_do_nothing().returning(releases.c.workflow))
        return made is not None
    swap = (
        update(releases)
        .where(releases.c.workflow == change.before.workflow, releases.c.revision == change.before.revision)
        .values(row)
    )
    return (await connection.execute(swap)).rowcount == 1


async def write_marks(connection: AsyncConnection, change: Change, *, reason: str, at: datetime) -> None:
    for version_id, marks in change.marks_after.items():
        before = change.marks_before[version_id]
        values: dict[str, Any] = {"keep": marks.keep}
        if marks.withdrawn != before.withdrawn:
            values["withdrawn_at"] = at if marks.withdrawn else None
        if marks.revoked and not before.revoked:
            values |= {"revoked_at": at, "revoke_reason": reason}
        await connection.execute(update(versions).where(versions.c.id == version_id).values(values))


async def find_hash(connection: AsyncConnection, workflow: str, revision: int) -> str:
    """Of the event with this revision; empty when there is none."""
    c = release_events.c
    found: str | None = await connection.scalar(select(c.hash).where(c.workflow == workflow, c.revision == revision))
    return found or ""


async def insert_event(connection: AsyncConnection, event: ReleaseEvent) -> None:
    await connection.execute(release_events.insert().values(asdict(event)))


async def find_event(connection: AsyncConnection, workflow: str, revision: int) -> ReleaseEvent | None:
    c = release_events.c
    statement = select(*_EVENT_COLUMNS).where(c.workflow == workflow, c.revision == revision)
    row = (await connection.execute(statement)).mappings().first()
    return ReleaseEvent(**row) if row else None


async def list_events(
    connection: AsyncConnection, workflow: str, *, before: int | None = None, limit: int
) -> list[ReleaseEvent]:
    """Newest first; `before`: a revision."""
    c = release_events.c
    statement = select(*_EVENT_COLUMNS).where(c.workflow == workflow).order_by(c.revision.desc()).limit(limit)
    if before is not None:
        statement = statement.where(c.revision < before)
    return [ReleaseEvent(**row) for row in (await connection.execute(statement)).mappings()]


async def load_chain(connection: AsyncConnection, workflow: str) -> list[ReleaseEvent]:
    """All events, oldest first."""
    c = release_events.c
    statement = select(*_EVENT_COLUMNS).where(c.workflow == workflow).order_by(c.revision)
    return [ReleaseEvent(**row) for row in (await connection.execute(statement)).mappings()]


async def load_trail(connection: AsyncConnection, dialect: DialectName, workflow: str) -> Sequence[VersionId]:
    """The versions that were active, latest first, each once."""
    c = release_events.c
    active = json_text(c.after, "active_version", dialect)
    statement = select(active).where(c.workflow == workflow).group_by(active).order_by(func.max(c.revision).desc())
    return [VersionId(found) for found in await connection.scalars(statement)]
