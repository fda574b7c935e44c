"""Which version of a workflow is active: show, promote, roll back."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.api.deps import NO_PARAMETERS, IdempotencyHeader, Services
from shadowgraph.api.json_bodies import JsonRoute
from shadowgraph.api.problem_responses import BODY, problems
from shadowgraph.api.release_changes import REPLAYED, carry_out
from shadowgraph.api.release_views import build_release_event, load_release
from shadowgraph.api.schemas.paging import numbered_cursor
from shadowgraph.api.schemas.releases import (
    Broken,
    ChainVerification,
    Promotion,
    Release,
    ReleaseChanged,
    ReleaseEventFilters,
    ReleaseEventPage,
    Rollback,
)
from shadowgraph.api.version_deps import VERSIONING, WorkflowPath, key_of
from shadowgraph.runs import releases
from shadowgraph.runs.inflight import InFlight
from shadowgraph.runs.releases import Changed, Order
from shadowgraph.runs.service import LOCAL_OWNER
from shadowgraph.versioning import repository, service
from shadowgraph.versioning.chain import check_chain

router = APIRouter(tags=["releases"], route_class=JsonRoute, dependencies=VERSIONING)

UNKNOWN = ("release_not_found", "versioning_disabled")
CHANGED = (
    "release_not_found",
    "revision_conflict",
    "idempotency_key_reused",
    "idempotency_in_progress",
    "origin_not_allowed",
)
"""Codes of every change."""
ACTIVATED = ("already_active", "version_revoked", "version_withdrawn", "version_purged")
"""Codes of what makes another version active."""


@router.get(
    "/workflows/{workflow}/release",
    response_model=Release,
    summary="Show a release",
    dependencies=NO_PARAMETERS,
    responses=problems(*UNKNOWN),
)
async def get_release(workflow: WorkflowPath, services: Services) -> Release:
    """Which version of the workflow is active."""
    async with services.database.read() as connection:
        found = repository.require_release(await repository.find_release(connection, workflow), workflow)
        return await load_release(connection, found)


@router.get(
    "/workflows/{workflow}/release/events",
    response_model=ReleaseEventPage,
    summary="List a release's changes",
    responses=problems(*UNKNOWN, "bad_cursor"),
)
async def list_release_events(
    workflow: WorkflowPath, filters: Annotated[ReleaseEventFilters, Query()], services: Services
) -> ReleaseEventPage:
    """Newest first. Each carries the hash of the one before; with `verify` the whole chain is checked."""
    async with services.database.read() as connection:
        repository.require_release(await repository.find_release(connection, workflow), workflow)
        found = await repository.list_events(connection, workflow, before=filters.before, limit=filters.limit + 1)
        verification = await _verify(connection, workflow) if filters.verify else None
    items, more = found[: filters.limit], len(found) > filters.limit
    return ReleaseEventPage(
        items=[build_release_event(event) for event in items],
        next_cursor=numbered_cursor(items[-1].at, items[-1].revision) if more else None,
        verification=verification,
    )


async def _verify(connection: AsyncConnection, workflow: str) -> ChainVerification:
    release = repository.require_release(await repository.find_release(connection, workflow), workflow)
    events = await repository.load_chain(connection, workflow)
    broken = [Broken(revision=item.revision, detail=item.detail) for item in check_chain(events, release.pointer)]
    return ChainVerification(ok=not broken, checked=len(events), problems=broken)


@router.post(
    "/workflows/{workflow}/promote",
    response_model=ReleaseChanged,
    summary="Promote a version",
    dependencies=NO_PARAMETERS,
    responses=problems(*CHANGED, *ACTIVATED, "version_not_found", "not_served_yet", "versioning_disabled", *BODY)
    | REPLAYED,
)
async def promote_version(
    request: Request,
    workflow: WorkflowPath,
    wanted: Promotion,
    services: Services,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """Makes a version active: runs that begin from now on begin with it. Unfinished runs of the one before end on it, unless `in_flight` says
    otherwise; all in one transaction.
    """
    key = await key_of(request, idempotency_key)
    order = Order(LOCAL_OWNER, wanted.reason, wanted.expected_revision, InFlight(wanted.in_flight), key)
    dialect = services.database.dialect

    async def work(connection: AsyncConnection) -> Changed:
        version = await service.require_version(connection, wanted.version, workflow=workflow)
        return await releases.promote(connection, dialect, version, order, force=wanted.force, clock=services.clock)

    return await carry_out(services, work)


@router.post(
    "/workflows/{workflow}/rollback",
    response_model=ReleaseChanged,
    summary="Roll back",
    dependencies=NO_PARAMETERS,
    responses=problems(
        *CHANGED, *ACTIVATED, "never_active", "no_good_version", "version_not_found", "versioning_disabled", *BODY
    )
    | REPLAYED,
)
async def roll_back(
    request: Request,
    workflow: WorkflowPath,
    wanted: Rollback,
    services: Services,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """Back to a version that was active before: a named one, or the last that is neither withdrawn nor revoked. The one that is left is
    withdrawn, so that nobody who rolls back again comes back to it.
    """
    key = await key_of(request, idempotency_key)
    order = Order(LOCAL_OWNER, wanted.reason, wanted.expected_revision, InFlight(wanted.in_flight), key)
    dialect = services.database.dialect

    async def work(connection: AsyncConnection) -> Changed:
        return await releases.rollback(connection, dialect, workflow, wanted.to, order, clock=services.clock)

    return await carry_out(services, work)
