"""What versions are made of: manifests, differences, archives."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.api.deps import NO_PARAMETERS, IfNoneMatchHeader, Services
from shadowgraph.api.etags import tagged_response
from shadowgraph.api.files import disposition
from shadowgraph.api.problem_responses import problems
from shadowgraph.api.release_views import build_diff, build_snapshot
from shadowgraph.api.schemas.versions import Diff, DiffParameters, Snapshot, VerifyParameter
from shadowgraph.api.uploads import ARCHIVE_TYPE, blob_files
from shadowgraph.api.version_deps import VERSIONING, DigestPath, is_digest
from shadowgraph.core.errors import NotFound
from shadowgraph.versioning import repository, service
from shadowgraph.versioning.archive import write_archive

router = APIRouter(tags=["snapshots"], dependencies=VERSIONING)

KNOWN = ("snapshot_not_found", "versioning_disabled")
WHOLE = (*KNOWN, "snapshot_damaged", "version_purged")
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "The client has it already."}}


class SnapshotFileNotFound(NotFound):
    code = "snapshot_file_not_found"


def _body(media_type: str, description: str, **schema: str) -> dict[int | str, dict[str, Any]]:
    content = {media_type: {"schema": {"type": "string", **schema}}}
    return {200: {"description": description, "content": content}}


@router.get(
    "/snapshots/diff",
    response_model=Diff,
    summary="Compare two snapshots",
    responses=problems(*KNOWN, "version_not_found", "ambiguous_version", "different_workflows"),
)
async def compare_snapshots(parameters: Annotated[DiffParameters, Query()], services: Services) -> Diff:
    """Two versions of a workflow: nodes, files, prompts word by word, parameters, tools, the graph, and what it takes to run the second."""
    async with services.database.read() as connection:
        before, after = [
            await _digest_of(connection, name, parameters.workflow) for name in (parameters.a, parameters.b)
        ]
        return build_diff(before, after, await service.compare_snapshots(connection, before, after))


async def _digest_of(connection: AsyncConnection, name: str, workflow: str | None) -> str:
    if is_digest(name):
        return name
    return (await service.require_version(connection, name, workflow=workflow)).snapshot_digest


@router.get("/snapshots/{digest}", response_model=Snapshot, summary="Show a snapshot", responses=problems(*KNOWN))
async def get_snapshot(
    digest: DigestPath, parameters: Annotated[VerifyParameter, Query()], services: Services
) -> Snapshot:
    """Its manifest, and where it was built first. With `verify` everything that is stored of it is checked."""
    async with services.database.read() as connection:
        row, manifest = await repository.require_snapshot(connection, digest)
        problems_found = await service.verify_snapshot(connection, digest) if parameters.verify else None
    return build_snapshot(row, manifest, problems=problems_found)


@router.get(
    "/snapshots/{digest}/export.zip",
    response_class=Response,
    summary="Export a snapshot",
    dependencies=NO_PARAMETERS,
    responses=problems(*WHOLE) | NOT_MODIFIED | _body(ARCHIVE_TYPE, "The archive.", format="binary"),
)
async def export_snapshot(digest: DigestPath, services: Services, if_none_match: IfNoneMatchHeader = None) -> Response:
    """The same bytes from every installation. `versions import` takes it."""
    async with services.database.read() as connection:
        snapshot = await service.load_snapshot(connection, blob_files(services), digest)
    name = f"{snapshot.manifest.workflow}-{digest[:12]}.zip"
    return tagged_response(
        await asyncio.to_thread(write_archive, snapshot),
        if_none_match=if_none_match,
        media_type=ARCHIVE_TYPE,
        digest=digest,
        headers={"Content-Disposition": disposition("attachment", name)},
    )


@router.get(
    "/snapshots/{digest}/files/{path:path}",
    response_class=Response,
    summary="Show a file of a snapshot",
    dependencies=NO_PARAMETERS,
    responses=problems(*WHOLE, "snapshot_file_not_found") | NOT_MODIFIED | _body("text/plain", "The file's text."),
)
async def get_snapshot_file(
    digest: DigestPath,
    path: Annotated[str, Path(description="As the manifest says.", examples=["prompts/coder.md"])],
    services: Services,
    if_none_match: IfNoneMatchHeader = None,
) -> Response:
    """Such as a prompt, to edit it into a new version."""
    async with services.database.read() as connection:
        snapshot = await service.load_snapshot(connection, blob_files(services), digest)
    file = snapshot.manifest.files.get(path)
    if file is None:
        raise SnapshotFileNotFound(f"the snapshot has no file {path[:200]!r}", digest=digest)
    return tagged_response(
        snapshot.blobs[file.digest],
        if_none_match=if_none_match,
        media_type="text/plain; charset=utf-8",
        digest=file.digest,
        headers={"Content-Disposition": disposition("inline", path.rpartition("/")[2])},
    )
