"""Versions of workflows: add, list, show and mark them."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.api.deps import IdempotencyHeader, Services
from shadowgraph.api.json_bodies import JsonRoute
from shadowgraph.api.problem_responses import BODY, problems
from shadowgraph.api.release_changes import REPLAYED, carry_out
from shadowgraph.api.release_views import load_version, load_versions, version_path
from shadowgraph.api.routes.releases import CHANGED
from shadowgraph.api.schemas.paging import numbered_cursor
from shadowgraph.api.schemas.releases import Keeping, ReleaseChanged, Revocation, Withdrawal
from shadowgraph.api.schemas.versions import (
    NewVersion,
    UploadParameters,
    VersionDetail,
    VersionFilters,
    VersionPage,
    WorkflowParameter,
)
from shadowgraph.api.uploads import ARCHIVE_TYPE, blob_files, receive
from shadowgraph.api.version_deps import VERSIONING, VersionPath, WorkflowPath, key_of
from shadowgraph.runs import releases
from shadowgraph.runs.inflight import InFlight
from shadowgraph.runs.releases import Changed, Order
from shadowgraph.runs.service import LOCAL_OWNER
from shadowgraph.versioning import service
from shadowgraph.versioning.repository import list_versions as list_rows

uploads = APIRouter(tags=["versions"], dependencies=VERSIONING)
"""Its bodies are archives or JSON, and larger than others."""
router = APIRouter(tags=["versions"], route_class=JsonRoute, dependencies=VERSIONING)

NAMED = ("version_not_found", "ambiguous_version", "versioning_disabled")
LOCATION = {"Location": {"description": "Where the version is.", "schema": {"type": "string"}}}
UPLOAD_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": NewVersion.model_json_schema()},
            ARCHIVE_TYPE: {"schema": {"type": "string", "format": "binary"}},
        },
    }
}


@uploads.post(
    "/workflows/{workflow}/versions",
    status_code=201,
    response_model=VersionDetail,
    summary="Add a version",
    response_description="A draft; active at once if it is the workflow's first.",
    openapi_extra=UPLOAD_BODY,
    responses=problems(
        "invalid_snapshot",
        "secret_in_snapshot",
        "code_upload_refused",
        "release_not_found",
        "snapshot_damaged",
        "version_purged",
        "origin_not_allowed",
        *NAMED,
        *BODY,
    )
    | {
        200: {
            "model": VersionDetail,
            "description": "There is a version with this content: this one.",
            "headers": LOCATION,
        },
        201: {"headers": LOCATION},
    },
)
async def create_version(
    request: Request,
    workflow: WorkflowPath,
    parameters: Annotated[UploadParameters, Query()],
    services: Services,
) -> Response:
    """Send an archive (application/zip) as `versions deploy` and `versions export` write it, or JSON with other texts for the prompts and
    parameters of a version. Everything is checked before anything is stored. No run begins on it until it is promoted.

    The same content gives the same version, so the request can be repeated.
    """
    upload = await receive(request, services, workflow, parameters)
    await service.keep_copies(blob_files(services), upload.snapshot.blobs)
    database = services.database
    async with database.write() as connection:
        deployed = await releases.deploy(
            connection, database.dialect, upload.snapshot, upload.new, clock=services.clock
        )
        version = await load_version(connection, database.dialect, deployed.added.version)
    releases.tell(deployed.event)
    return Response(
        version.model_dump_json(),
        status_code=201 if deployed.added.is_new else 200,
        headers={"Location": version_path(version.id)},
        media_type="application/json",
    )


@router.get(
    "/workflows/{workflow}/versions",
    response_model=VersionPage,
    summary="List versions",
    responses=problems("release_not_found", "versioning_disabled", "bad_cursor"),
)
async def list_versions(
    workflow: WorkflowPath, filters: Annotated[VersionFilters, Query()], services: Services
) -> VersionPage:
    """Newest first. Empty for a workflow without versions."""
    async with services.database.read() as connection:
        found = await list_rows(connection, workflow, before=filters.before, limit=filters.limit + 1)
        items = await load_versions(connection, services.database.dialect, found[: filters.limit])
    more = len(found) > filters.limit
    return VersionPage(items=items, next_cursor=numbered_cursor(items[-1].created_at, items[-1].seq) if more else None)


@router.get("/versions/{version}", response_model=VersionDetail, summary="Show a version", responses=problems(*NAMED))
async def get_version(
    version: VersionPath, parameters: Annotated[WorkflowParameter, Query()], services: Services
) -> VersionDetail:
    """With the digests of its nodes, and where it was built."""
    async with services.database.read() as connection:
        found = await service.require_version(connection, version, workflow=parameters.workflow)
        return await load_version(connection, services.database.dialect, found)


@router.post(
    "/versions/{version}/withdraw",
    response_model=ReleaseChanged,
    summary="Withdraw a version",
    responses=problems(*NAMED, *CHANGED, "version_in_use", "version_revoked", *BODY) | REPLAYED,
)
async def withdraw_version(
    request: Request,
    version: VersionPath,
    parameters: Annotated[WorkflowParameter, Query()],
    wanted: Withdrawal,
    services: Services,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """No rollback goes to it, and promoting it needs force. The active version is withdrawn by a rollback that leaves it."""
    key = await key_of(request, idempotency_key)
    order = Order(LOCAL_OWNER, wanted.reason, wanted.expected_revision, idempotency=key)
    dialect = services.database.dialect

    async def work(connection: AsyncConnection) -> Changed:
        found = await service.require_version(connection, version, workflow=parameters.workflow)
        return await releases.withdraw(connection, dialect, found, order, clock=services.clock)

    return await carry_out(services, work)


@router.post(
    "/versions/{version}/revoke",
    response_model=ReleaseChanged,
    summary="Revoke a version",
    responses=problems(*NAMED, *CHANGED, "version_in_use", "no_good_version", *BODY) | REPLAYED,
)
async def revoke_version(
    request: Request,
    version: VersionPath,
    parameters: Annotated[WorkflowParameter, Query()],
    wanted: Revocation,
    services: Services,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """For good: it is never active again. The active version is rolled back to the last good one; its runs are held unless you say otherwise."""
    key = await key_of(request, idempotency_key)
    order = Order(LOCAL_OWNER, wanted.reason, wanted.expected_revision, InFlight(wanted.in_flight), key)
    dialect = services.database.dialect

    async def work(connection: AsyncConnection) -> Changed:
        found = await service.require_version(connection, version, workflow=parameters.workflow)
        return await releases.revoke(connection, dialect, found, order, clock=services.clock)

    return await carry_out(services, work)


@router.post(
    "/versions/{version}/keep",
    response_model=ReleaseChanged,
    summary="Keep a version",
    responses=problems(*NAMED, *CHANGED, *BODY) | REPLAYED,
)
async def keep_version(
    request: Request,
    version: VersionPath,
    parameters: Annotated[WorkflowParameter, Query()],
    wanted: Keeping,
    services: Services,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """Its files are never collected, until `{"keep": false}`."""
    key = await key_of(request, idempotency_key)
    order = Order(LOCAL_OWNER, wanted.reason, wanted.expected_revision, idempotency=key)
    dialect = services.database.dialect

    async def work(connection: AsyncConnection) -> Changed:
        found = await service.require_version(connection, version, workflow=parameters.workflow)
        return await releases.keep(connection, dialect, found, order, is_kept=wanted.keep, clock=services.clock)

    return await carry_out(services, work)
