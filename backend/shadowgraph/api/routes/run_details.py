"""What hangs on a run: steps and events."""

from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.sse import EventSourceResponse

from shadowgraph.api.deps import NO_PARAMETERS, AcceptHeader, LastEventIdHeader, RunIdPath, Services
from shadowgraph.api.problem_responses import problems
from shadowgraph.api.schemas.details import EventPage, EventParameters, StepList
from shadowgraph.api.services import ApiServices
from shadowgraph.api.streams import RunStream
from shadowgraph.api.views import build_event, load_steps
from shadowgraph.runs.repository import list_events, require_run

router = APIRouter(tags=["runs"])

STREAM_HEADERS: Mapping[str, str] = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
"""No proxy may hold events back."""

FRAME_SCHEMA = {
    "description": "One event of the stream.",
    "type": "object",
    "properties": {
        "id": {"type": "string", "description": "The number; absent for live text."},
        "event": {"type": "string"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": {"$ref": "#/components/schemas/RunEvent"},
        },
    },
    "required": ["event", "data"],
}

EVENT_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A stream of server-sent events (`id:` is the number, `event:` the type, `data:` a RunEvent), "
        "or a page of them as JSON.",
        "content": {
            "text/event-stream": {
                "schema": FRAME_SCHEMA,
                "example": 'event: run.queued\ndata: {"run_id":"run_…","seq":1,"type":"run.queued","at":"…","data":{}}\nid: 1\n\n',
            }
        },
    },
    204: {"description": "The run has ended and the client has seen all of it: do not come back."},
}


@router.get(
    "/runs/{run_id}/steps",
    response_model=StepList,
    summary="List a run's steps",
    dependencies=NO_PARAMETERS,
    responses=problems("run_not_found"),
)
async def list_run_steps(run_id: RunIdPath, services: Services) -> StepList:
    """Every try of every node, in the order in which they began."""
    async with services.database.read() as connection:
        await require_run(connection, run_id)
        return StepList(items=await load_steps(connection, run_id))


@router.get(
    "/runs/{run_id}/events",
    response_model=EventPage,
    summary="Follow a run",
    responses=problems("run_not_found") | EVENT_RESPONSES,
)
async def follow_run(
    run_id: RunIdPath,
    parameters: Annotated[EventParameters, Query()],
    services: Services,
    last_event_id: LastEventIdHeader = None,
    accept: AcceptHeader = "text/event-stream",
) -> Response | EventPage:
    """What happened to the run and what happens now, until it ends.

    The stream begins after `Last-Event-ID` or `after`, repeats nothing and leaves nothing out; live text comes as `output.live` without a
    number. It ends after `run.finished`, which carries the whole run. With `Accept: application/json` the answer is a page instead.
    """
    after = parameters.after if last_event_id is None else last_event_id
    if wants_json(accept):
        return await _event_page(services, run_id, after=after, limit=parameters.limit)
    async with services.database.read() as connection:
        run = await require_run(connection, run_id)
    if run.has_ended and after >= run.event_seq:
        return Response(status_code=204)
    return EventSourceResponse(RunStream(services, run_id, after=after).frames(), headers=STREAM_HEADERS)


def wants_json(accept: str) -> bool:
    """A stream is what everybody gets who does not ask for JSON alone."""
    return "application/json" in accept and "text/event-stream" not in accept


async def _event_page(services: ApiServices, run_id: str, *, after: int, limit: int) -> EventPage:
    async with services.database.read() as connection:
        await require_run(connection, run_id)
        found = await list_events(connection, run_id, after=after, limit=limit + 1)
    items = [build_event(event) for event in found[:limit]]
    return EventPage(items=items, next_cursor=str(items[-1].seq) if len(found) > limit else None)
