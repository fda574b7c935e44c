"""Start, find and end runs."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.api.deps import (
    NO_PARAMETERS,
    IdempotencyHeader,
    IfNoneMatchHeader,
    RunIdPath,
    Services,
    require_costs,
)
from shadowgraph.api.edge import traceparent_of
from shadowgraph.api.etags import tagged_response
from shadowgraph.api.json_bodies import JsonRoute
from shadowgraph.api.problem_responses import ADMISSION, BODY, problems
from shadowgraph.api.schemas.new_runs import NewRun, WaitParameter
from shadowgraph.api.schemas.runs import Run, RunFilters, RunPage
from shadowgraph.api.services import ApiServices
from shadowgraph.api.version_deps import require_versioning
from shadowgraph.api.views import build_run, load_label, load_run, load_summaries, run_path
from shadowgraph.api.watching import SETTLED, wait_until_settled
from shadowgraph.core.json import digest
from shadowgraph.core.money import to_nano
from shadowgraph.queue.message import Wake
from shadowgraph.runs import repository, service
from shadowgraph.runs.admission import require_room
from shadowgraph.runs.idempotency import IdempotencyKey
from shadowgraph.runs.service import RunSpec

router = APIRouter(tags=["runs"], route_class=JsonRoute)

ACCEPTED_HEADERS = {
    "Location": {"description": "Where the run is.", "schema": {"type": "string"}},
    "Idempotency-Replayed": {
        "description": "`true`: the key and body came before, and this is their run.",
        "schema": {"type": "string"},
    },
}


@router.post(
    "/runs",
    status_code=202,
    response_model=Run,
    summary="Start a run",
    response_description="Accepted and stored; it is not over yet.",
    responses=problems(
        "unknown_workflow",
        "invalid_input",
        "version_not_found",
        "version_revoked",
        "version_purged",
        "versioning_disabled",
        "not_served_yet",
        "costs_disabled",
        "idempotency_key_reused",
        "idempotency_in_progress",
        *ADMISSION,
        "origin_not_allowed",
        *BODY,
    )
    | {
        200: {
            "model": Run,
            "description": "With `wait`: it ended, or waits for a person.",
            "headers": ACCEPTED_HEADERS,
        },
        202: {"headers": ACCEPTED_HEADERS},
    },
)
async def create_run(
    request: Request,
    new: NewRun,
    parameters: Annotated[WaitParameter, Query()],
    services: Services,
    idempotency_key: IdempotencyHeader = None,
) -> Response:
    """Stores the run and answers at once; a worker takes it from there.

    Send `{"workflow", "input"}`, or `{"query"}` for the built-in pipeline. With `?wait=30` the answer comes when the run ended or needs a
    person (200), at the latest after that many seconds (202). A client that leaves does not cancel its run.
    """
    body = await request.json()
    key = IdempotencyKey(idempotency_key, digest(body)) if idempotency_key else None
    if new.budget_usd is not None:
        require_costs(services)
    if new.version is not None:
        require_versioning(services)
    traceparent = traceparent_of(request.headers)
    spec = new.to_spec(traceparent=traceparent, idempotency=key, settings=services.settings)
    run, is_replay = await _accept(services, spec)
    services.nudge_relay()
    if parameters.wait:
        run = await _wait(services, request, run.id, seconds=parameters.wait)
    headers = {"Location": run_path(run.id)} | ({"Idempotency-Replayed": "true"} if is_replay else {})
    status = 200 if parameters.wait and run.status in SETTLED else 202
    return Response(run.model_dump_json(), status_code=status, headers=headers, media_type="application/json")


async def _accept(services: ApiServices, spec: RunSpec) -> tuple[Run, bool]:
    """Committed when this returns: the reply may promise the run."""
    database = services.database
    async with database.write() as connection:
        accepted = await service.create_run(connection, database.dialect, spec, clock=services.clock)
        if accepted.replayed:
            return await load_run(connection, accepted.run), True
        await require_room(connection, accepted.run, services.limits)
        version = await load_label(connection, accepted.run)
    limit = None if accepted.budget_usd is None else to_nano(accepted.budget_usd)
    return build_run(accepted.run, input_=spec.input, version=version, limit=limit), False


async def _wait(services: ApiServices, request: Request, run_id: str, *, seconds: float) -> Run:
    settled = await wait_until_settled(services, run_id, seconds=seconds, is_gone=request.is_disconnected)
    async with services.database.read() as connection:
        return await load_run(connection, settled)


@router.get("/runs", response_model=RunPage, summary="List runs", responses=problems("bad_cursor"))
async def list_runs(filters: Annotated[RunFilters, Query()], services: Services) -> RunPage:
    """Newest first, a page at a time. `metadata.KEY=VALUE` finds runs by their labels."""
    query = filters.to_query()
    async with services.database.read() as connection:
        page = await repository.list_runs(connection, services.database.dialect, query)
        items = await load_summaries(connection, page.items)
    return RunPage(items=items, next_cursor=page.next_cursor.encode() if page.next_cursor else None)


@router.get(
    "/runs/{run_id}",
    response_model=Run,
    summary="Show a run",
    dependencies=NO_PARAMETERS,
    responses=problems("run_not_found") | {304: {"description": "The client has it already."}},
)
async def get_run(run_id: RunIdPath, services: Services, if_none_match: IfNoneMatchHeader = None) -> Response:
    """With its input and result. The ETag changes with anything that is shown."""
    async with services.database.read() as connection:
        run = await _load(connection, run_id)
    return tagged_response(run.model_dump_json().encode(), if_none_match=if_none_match, media_type="application/json")


@router.post(
    "/runs/{run_id}/cancel",
    response_model=Run,
    summary="Cancel a run",
    response_description="It is cancelled.",
    dependencies=NO_PARAMETERS,
    responses=problems("run_not_found", "wrong_state", "origin_not_allowed")
    | {202: {"model": Run, "description": "A worker has it; it was asked to stop, and does within a heartbeat."}},
)
async def cancel_run(run_id: RunIdPath, services: Services) -> Response:
    """What the run has stored so far stays; a call that is cut may still be billed by its provider."""
    async with services.database.write() as connection:
        cancelled = await service.cancel_run(connection, run_id, clock=services.clock)
        run = await load_run(connection, cancelled)
    if cancelled.has_ended:
        await services.wakeups.publish(Wake(run_id=run_id, seq=cancelled.event_seq))
    else:
        await services.wakeups.publish(Wake(run_id=run_id, control="cancel"))
    return Response(
        run.model_dump_json(), status_code=200 if cancelled.has_ended else 202, media_type="application/json"
    )


async def _load(connection: AsyncConnection, run_id: str) -> Run:
    return await load_run(connection, await repository.require_run(connection, run_id))
