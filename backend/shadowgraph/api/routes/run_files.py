"""What a run produced, to take away: its files, and the whole run as JSON or as a report."""

from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Path, Response
from fastapi.responses import StreamingResponse

from shadowgraph.api.archives import zip_files
from shadowgraph.api.deps import NO_PARAMETERS, IfNoneMatchHeader, RunIdPath, Services
from shadowgraph.api.etags import etag_of, is_fresh, tagged_response
from shadowgraph.api.files import content_type, disposition, file_headers
from shadowgraph.api.problem_responses import problems
from shadowgraph.api.reports import render_report
from shadowgraph.api.schemas.details import ArtifactList, RunExport
from shadowgraph.api.services import ApiServices
from shadowgraph.api.views import build_artifact, load_export
from shadowgraph.core.errors import NotFound
from shadowgraph.core.json import digest
from shadowgraph.runs.inputs import is_storable
from shadowgraph.runs.repository import Artifact, find_artifact, list_artifacts, require_run

router = APIRouter(tags=["files"], dependencies=NO_PARAMETERS)

NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "The client has it already."}}


class ArtifactNotFound(NotFound):
    code = "artifact_not_found"


def _binary(media_type: str, description: str) -> dict[int | str, dict[str, Any]]:
    schema = {"type": "string", "format": "binary"}
    return {200: {"description": description, "content": {media_type: {"schema": schema}}}}


@router.get(
    "/runs/{run_id}/artifacts",
    response_model=ArtifactList,
    summary="List a run's files",
    responses=problems("run_not_found"),
)
async def list_run_artifacts(run_id: RunIdPath, services: Services) -> ArtifactList:
    """By path. A file that was written twice is listed once, as it is now."""
    found = await _load_artifacts(services, run_id)
    return ArtifactList(items=[build_artifact(artifact, run_id=run_id) for artifact in found])


@router.get(
    "/runs/{run_id}/artifacts/{path:path}",
    response_class=Response,
    summary="Download a file",
    responses=problems("run_not_found", "artifact_not_found") | NOT_MODIFIED | _binary("*/*", "The file."),
)
async def get_run_artifact(
    run_id: RunIdPath,
    path: Annotated[str, Path(description="As the list of files says.", examples=["snake/game.py"])],
    services: Services,
    if_none_match: IfNoneMatchHeader = None,
) -> Response:
    """The ETag is the file's SHA-256. What could carry scripts is only saved, never shown."""
    async with services.database.read() as connection:
        await require_run(connection, run_id)
        found = await find_artifact(connection, run_id, path) if is_storable(path) else None
    if found is None:
        raise ArtifactNotFound(f"the run has no file {path[:200]!r}", run_id=run_id)
    artifact, body = found
    return tagged_response(
        body,
        if_none_match=if_none_match,
        media_type=content_type(artifact.media_type),
        digest=artifact.sha256,
        headers=file_headers(artifact.path, artifact.media_type),
    )


@router.get(
    "/runs/{run_id}/artifacts.zip",
    response_class=Response,
    summary="Download all files",
    responses=problems("run_not_found") | NOT_MODIFIED | _binary("application/zip", "All files in one archive."),
)
async def download_run_artifacts(
    run_id: RunIdPath, services: Services, if_none_match: IfNoneMatchHeader = None
) -> Response:
    """The same files give the same bytes."""
    found = await _load_artifacts(services, run_id)
    etag = etag_of(digest([[artifact.path, artifact.sha256] for artifact in found]))
    headers = {
        "ETag": etag,
        "Cache-Control": "private, no-cache",
        "Content-Disposition": disposition("attachment", f"{run_id}.zip"),
    }
    if is_fresh(etag, if_none_match):
        return Response(status_code=304, headers=headers)
    return StreamingResponse(
        zip_files(_read_bodies(services, run_id, found)), media_type="application/zip", headers=headers
    )


async def _load_artifacts(services: ApiServices, run_id: str) -> list[Artifact]:
    async with services.database.read() as connection:
        await require_run(connection, run_id)
        return await list_artifacts(connection, run_id)


async def _read_bodies(
    services: ApiServices, run_id: str, artifacts: Sequence[Artifact]
) -> AsyncIterator[tuple[str, bytes]]:
    """One at a time, each with a connection of its own: a slow client holds none."""
    for artifact in artifacts:
        async with services.database.read() as connection:
            found = await find_artifact(connection, run_id, artifact.path)
        if found is not None:
            yield artifact.path, found[1]


@router.get(
    "/runs/{run_id}/export.json",
    response_model=RunExport,
    summary="Export a run as JSON",
    responses=problems("run_not_found"),
)
async def export_run_json(run_id: RunIdPath, services: Services) -> Response:
    """The run with its steps, events, files and calls; without the texts of the calls and the bodies of the files."""
    export = await _load_export(services, run_id)
    headers = {"Content-Disposition": disposition("attachment", f"{run_id}.json")}
    return Response(export.model_dump_json(indent=2), media_type="application/json", headers=headers)


@router.get(
    "/runs/{run_id}/export.md",
    response_class=Response,
    summary="Export a run as a report",
    responses=problems("run_not_found")
    | {200: {"description": "Markdown.", "content": {"text/markdown": {"schema": {"type": "string"}}}}},
)
async def export_run_report(run_id: RunIdPath, services: Services) -> Response:
    """What was asked, what came out, which steps and calls it took."""
    export = await _load_export(services, run_id)
    headers = {"Content-Disposition": disposition("attachment", f"{run_id}.md")}
    return Response(render_report(export), media_type="text/markdown; charset=utf-8", headers=headers)


async def _load_export(services: ApiServices, run_id: str) -> RunExport:
    async with services.database.read() as connection:
        return await load_export(connection, await require_run(connection, run_id))
