"""What other packages do with snapshots and versions. Each function works on the connection that it is given and never commits."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.errors import Internal, Invalid
from shadowgraph.core.ids import new_version_id
from shadowgraph.core.json import JsonObject, sha256
from shadowgraph.db.dialect import DialectName
from shadowgraph.versioning import repository
from shadowgraph.versioning.diff import Diff, compare, texts_needed
from shadowgraph.versioning.editing import unknown_variables
from shadowgraph.versioning.errors import MAX_SHOWN, Place, place, refuse, summary_of
from shadowgraph.versioning.manifest import Manifest, digest_of
from shadowgraph.versioning.release import VersionPurged
from shadowgraph.versioning.repository import Version, VersionNotFound
from shadowgraph.versioning.snapshot import Snapshot
from shadowgraph.versioning.store import BlobFiles

log = logging.getLogger(__name__)

COMPARED_VERSIONS = 50
"""How many versions with the same code say which variables that code fills in."""


class AmbiguousVersion(Invalid):
    """A label without a workflow, where several have versions; `workflows` names them."""

    code = "ambiguous_version"


class DifferentWorkflows(Invalid):
    """Snapshots of two workflows have nothing to compare."""

    code = "different_workflows"


class SnapshotDamaged(Internal):
    """What is stored is not what its digest says; `errors` names each place."""

    code = "snapshot_damaged"


@dataclass(frozen=True, slots=True)
class NewVersion:
    """Why a version is made, and by whom."""

    message: str = ""
    author: str = "local"
    provenance: JsonObject = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Added:
    version: Version
    is_new: bool
    """False: the workflow had a version with this content already, and this is it."""


async def add_version(
    connection: AsyncConnection, dialect: DialectName, snapshot: Snapshot, new: NewVersion, *, at: datetime
) -> Added:
    """Stores the snapshot and numbers it.

    Errors: `InvalidSnapshot` for a prompt with a variable that its code does not fill in.
    """
    workflow = snapshot.manifest.workflow
    await repository.lock_workflow(connection, dialect, workflow)
    await _check_variables(connection, snapshot)
    await repository.store_blobs(connection, dialect, snapshot.blobs, at=at)
    await repository.store_snapshot(
        connection, dialect, snapshot.digest, snapshot.manifest, provenance=new.provenance, at=at
    )
    earlier = await repository.find_version_of(connection, workflow, snapshot.digest)
    if earlier is not None:
        return Added(earlier, is_new=False)
    version = Version(
        id=new_version_id(),
        workflow=workflow,
        seq=await repository.next_seq(connection, workflow),
        snapshot_digest=snapshot.digest,
        message=new.message,
        author=new.author,
        created_at=at,
        withdrawn_at=None,
        revoked_at=None,
        revoke_reason=None,
        keep=False,
        is_purged=False,
    )
    await repository.insert_version(connection, version)
    return Added(version, is_new=True)


async def _check_variables(connection: AsyncConnection, snapshot: Snapshot) -> None:
    """Errors: `InvalidSnapshot`."""
    manifest = snapshot.manifest
    earlier = await repository.load_manifests(
        connection, manifest.workflow, code=manifest.facets["code"], limit=COMPARED_VERSIONS
    )
    hint = "use a variable that it has, or change the code that fills it in along with it"
    refuse(unknown_variables(snapshot, earlier), hint=hint)


async def require_version(connection: AsyncConnection, name: str, *, workflow: str | None = None) -> Version:
    """`name`: an id, or a label (`v7`) or a digest, which mean something within a workflow: the only one unless it is named.

    Errors: `VersionNotFound`, `AmbiguousVersion`.
    """
    if workflow is None and not name.startswith("ver_"):
        workflow = await _only_workflow(connection, name)
    found = await repository.find_version(connection, name, workflow=workflow)
    if found is None:
        of = f" of {workflow!r}" if workflow else ""
        raise VersionNotFound(f"there is no version {name[:80]!r}{of}", version=name[:80])
    return found


async def _only_workflow(connection: AsyncConnection, name: str) -> str | None:
    known = await repository.list_workflows(connection)
    if len(known) > 1:
        hint = f"say of which workflow: {', '.join(known)}"
        raise AmbiguousVersion(f"several workflows may have a version {name[:80]!r}", hint=hint, workflows=known)
    return known[0] if known else None


async def load_snapshot(connection: AsyncConnection, files: BlobFiles, digest: str) -> Snapshot:
    """Whole and as its digest says, or not at all. Files that are missing here are written from the table.

    Errors: `SnapshotNotFound`, `VersionPurged`, `SnapshotDamaged`.
    """
    row, manifest = await repository.require_snapshot(connection, digest)
    if row.purged_at is not None:
        raise VersionPurged(f"the files of snapshot {digest[:12]} were collected", digest=digest)
    wanted = {file.digest for file in manifest.files.values()}
    here = await asyncio.to_thread(files.read, wanted)
    stored = await repository.load_blobs(connection, wanted - here.keys())
    whole = {name: body for name, body in stored.items() if sha256(body) == name}
    problems = _damage(digest, manifest, here.keys() | whole.keys())
    if problems:
        raise SnapshotDamaged(f"snapshot {digest[:12]}: {summary_of(problems)}", errors=problems[:MAX_SHOWN])
    await keep_copies(files, whole)
    return Snapshot(digest, manifest, {**here, **whole})


async def keep_copies(files: BlobFiles, bodies: Mapping[str, bytes]) -> None:
    """In files. Where they cannot be written, the table is enough."""
    try:
        await asyncio.to_thread(files.keep, bodies)
    except OSError as error:
        log.warning("files of a snapshot cannot be copied to %s: %s", files.folder, error)


async def verify_snapshot(connection: AsyncConnection, digest: str) -> Sequence[Place]:
    """What is wrong with what the tables hold: what other hosts would read.

    Errors: `SnapshotNotFound`.
    """
    row, manifest = await repository.require_snapshot(connection, digest)
    if row.purged_at is not None:
        return [place(".", "its files were collected")]
    stored = await repository.load_blobs(connection, {file.digest for file in manifest.files.values()})
    return _damage(digest, manifest, {name for name, body in stored.items() if sha256(body) == name})


def _damage(digest: str, manifest: Manifest, whole: AbstractSet[str]) -> list[Place]:
    problems = [place("manifest", "is not what the digest says")] if digest_of(manifest) != digest else []
    problems += [
        place(path, "its content is missing or damaged")
        for path, file in manifest.files.items()
        if file.digest not in whole
    ]
    return problems


async def compare_snapshots(connection: AsyncConnection, before: str, after: str) -> Diff:
    """By digest.

    Errors: `SnapshotNotFound`, `DifferentWorkflows`.
    """
    _, old = await repository.require_snapshot(connection, before)
    _, new = await repository.require_snapshot(connection, after)
    if old.workflow != new.workflow:
        raise DifferentWorkflows(f"one is of {old.workflow!r}, the other of {new.workflow!r}")
    stored = await repository.load_blobs(connection, texts_needed(old, new))
    return compare(old, new, {digest: body.decode() for digest, body in stored.items()})
