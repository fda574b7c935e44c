"""Puts versions, snapshots and releases into the shapes of the wire. `load_*` read, `build_*` are pure."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any
from urllib.parse import quote

from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.api.schemas import releases, versions
from shadowgraph.api.schemas.common import API_PREFIX
from shadowgraph.core.ids import VersionId
from shadowgraph.db.dialect import DialectName
from shadowgraph.runs.inflight import count_pinned, count_runs
from shadowgraph.runs.releases import Changed
from shadowgraph.versioning import repository
from shadowgraph.versioning.chain import ReleaseEvent
from shadowgraph.versioning.diff import Diff
from shadowgraph.versioning.errors import Place
from shadowgraph.versioning.manifest import Manifest
from shadowgraph.versioning.release import Pointer, state_of
from shadowgraph.versioning.repository import Release, SnapshotRow, Version


def version_path(version_id: str) -> str:
    return f"{API_PREFIX}/versions/{version_id}"


def snapshot_path(digest: str) -> str:
    return f"{API_PREFIX}/snapshots/{digest}"


def workflow_path(workflow: str) -> str:
    return f"{API_PREFIX}/workflows/{quote(workflow, safe='')}"


async def load_versions(
    connection: AsyncConnection, dialect: DialectName, found: Sequence[Version]
) -> list[versions.Version]:
    """All of one workflow."""
    if not found:
        return []
    workflow = found[0].workflow
    release = await repository.find_release(connection, workflow)
    trail = await repository.load_trail(connection, dialect, workflow)
    ids = [version.id for version in found]
    pinned, begun = await count_pinned(connection, ids), await count_runs(connection, ids)
    pointer = release.pointer if release else None
    return [
        versions.Version(
            **_version(version, pointer, trail), unfinished_runs=pinned[version.id], runs=begun[version.id]
        )
        for version in found
    ]


async def load_version(connection: AsyncConnection, dialect: DialectName, version: Version) -> versions.VersionDetail:
    [plain] = await load_versions(connection, dialect, [version])
    row, _ = await repository.require_snapshot(connection, version.snapshot_digest)
    return versions.VersionDetail(
        **plain.model_dump(), facets=row.facets, nodes=row.nodes, size=row.size, provenance=row.provenance
    )


def _version(version: Version, pointer: Pointer | None, was_active: Collection[VersionId]) -> dict[str, Any]:
    marks = version.target.marks
    return {
        "id": version.id,
        "label": version.label,
        "workflow": version.workflow,
        "seq": version.seq,
        "state": state_of(version.id, marks, pointer, was_active),
        "withdrawn": marks.withdrawn,
        "revoke_reason": version.revoke_reason,
        "keep": version.keep,
        "purged": version.is_purged,
        "snapshot_digest": version.snapshot_digest,
        "message": version.message,
        "author": version.author,
        "created_at": version.created_at,
        "withdrawn_at": version.withdrawn_at,
        "revoked_at": version.revoked_at,
        "links": {
            "self": version_path(version.id),
            "snapshot": snapshot_path(version.snapshot_digest),
            "export": f"{snapshot_path(version.snapshot_digest)}/export.zip",
            "release": f"{workflow_path(version.workflow)}/release",
        },
    }


def build_snapshot(row: SnapshotRow, manifest: Manifest, *, problems: Sequence[Place] | None) -> versions.Snapshot:
    """`problems`: None when nobody asked."""
    path = snapshot_path(row.digest)
    return versions.Snapshot(
        digest=row.digest,
        workflow=row.workflow,
        manifest=manifest.to_json(),
        size=row.size,
        provenance=row.provenance,
        created_at=row.created_at,
        purged_at=row.purged_at,
        verification=None if problems is None else build_verification(problems),
        links={"self": path, "export": f"{path}/export.zip"},
    )


def build_verification(problems: Sequence[Place]) -> versions.Verification:
    return versions.Verification(ok=not problems, problems=[versions.Place(**problem) for problem in problems])


def build_diff(before: str, after: str, diff: Diff) -> versions.Diff:
    return versions.Diff.model_validate({"a": before, "b": after, **asdict(diff)})


async def load_release(connection: AsyncConnection, release: Release) -> releases.Release:
    pointer = release.pointer
    ids = [found for found in (pointer.active, pointer.previous, pointer.candidate) if found is not None]
    known = await repository.load_versions(connection, ids)
    path = workflow_path(pointer.workflow)
    return releases.Release(
        workflow=pointer.workflow,
        revision=pointer.revision,
        active=_released(known[pointer.active]),
        previous=None if pointer.previous is None else _released(known[pointer.previous]),
        candidate=None if pointer.candidate is None else _released(known[pointer.candidate]),
        shadow_bp=pointer.shadow_bp,
        updated_at=release.updated_at,
        hash=await repository.find_hash(connection, pointer.workflow, pointer.revision),
        links={
            "self": f"{path}/release",
            "events": f"{path}/release/events",
            "versions": f"{path}/versions",
            "promote": f"{path}/promote",
            "rollback": f"{path}/rollback",
        },
    )


def _released(version: Version) -> releases.ReleasedVersion:
    return releases.ReleasedVersion(id=version.id, label=version.label, snapshot_digest=version.snapshot_digest)


def build_release_event(event: ReleaseEvent) -> releases.ReleaseEvent:
    return releases.ReleaseEvent(**asdict(event))


async def load_change(connection: AsyncConnection, changed: Changed) -> releases.ReleaseChanged:
    return releases.ReleaseChanged(
        release=await load_release(connection, changed.release),
        event=None if changed.event is None else build_release_event(changed.event),
        moved=_by_status(changed),
    )


def _by_status(changed: Changed) -> Mapping[str, int]:
    return Counter(str(moved.status) for moved in changed.moved)
