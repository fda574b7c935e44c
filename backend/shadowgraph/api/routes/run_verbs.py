"""What people do to a run under way: pause, resume, retry, fork, answer. (Cancel: `runs.py`.)"""

from fastapi import APIRouter, Response

from shadowgraph.api.checkpoints import require_checkpoint
from shadowgraph.api.deps import NO_PARAMETERS, RunIdPath, Services
from shadowgraph.api.json_bodies import JsonRoute
from shadowgraph.api.problem_responses import ADMISSION, BODY, problems
from shadowgraph.api.schemas.history import NewFork
from shadowgraph.api.schemas.interactions import NewAnswer
from shadowgraph.api.schemas.runs import Run
from shadowgraph.api.services import ApiServices
from shadowgraph.api.views import load_run, run_path
from shadowgraph.queue.message import Wake
from shadowgraph.runs import lifecycle
from shadowgraph.runs.admission import require_room
from shadowgraph.runs.answers import answer_run
from shadowgraph.runs.lifecycle import ForkSpec
from shadowgraph.runs.repository import require_run
from shadowgraph.runs.run import Run as RunRow
from shadowgraph.runs.service import LOCAL_OWNER
from shadowgraph.runs.states import Status

router = APIRouter(tags=["runs"], route_class=JsonRoute, dependencies=NO_PARAMETERS)

GOES_ON = frozenset({Status.QUEUED, Status.RUNNING})
"""202: something happens next without a person."""


@router.post(
    "/runs/{run_id}/pause",
    response_model=Run,
    summary="Pause a run",
    response_description="It is PAUSED.",
    responses=problems("run_not_found", "wrong_state", "origin_not_allowed")
    | {202: {"model": Run, "description": "A worker has it; it was asked to stop at the next node boundary."}},
)
async def pause_run(run_id: RunIdPath, services: Services) -> Response:
    """A node that has begun is finished first. What the run has done stays; `resume` goes on from there."""
    async with services.database.write() as connection:
        row = await lifecycle.pause_run(connection, run_id, who=LOCAL_OWNER, clock=services.clock)
        run = await load_run(connection, row)
    if row.status is Status.PAUSED:
        return await _tell(services, row, run)
    await services.wakeups.publish(Wake(run_id=run_id, control="pause"))
    return _answer(run)


@router.post(
    "/runs/{run_id}/resume",
    response_model=Run,
    summary="Resume a run",
    response_description="It waits for the answer to its question, as before the pause.",
    responses=problems("run_not_found", "wrong_state", "budget_still_exceeded", "origin_not_allowed")
    | {202: {"model": Run, "description": "It is QUEUED and goes on from its last checkpoint."}},
)
async def resume_run(run_id: RunIdPath, services: Services) -> Response:
    """A PAUSED run goes on where it was, and so does a BUDGET_EXCEEDED one whose limit was raised."""
    async with services.database.write() as connection:
        row = await lifecycle.resume_run(connection, run_id, who=LOCAL_OWNER, clock=services.clock)
        run = await load_run(connection, row)
    return await _tell(services, row, run)


@router.post(
    "/runs/{run_id}/retry",
    status_code=202,
    response_model=Run,
    summary="Retry a failed run",
    response_description="It is QUEUED and goes on from its last checkpoint.",
    responses=problems("run_not_found", "wrong_state", "origin_not_allowed"),
)
async def retry_run(run_id: RunIdPath, services: Services) -> Response:
    """In place: nodes that finished are not run again, and calls that finished are not paid again."""
    async with services.database.write() as connection:
        row = await lifecycle.retry_run(connection, run_id, who=LOCAL_OWNER, clock=services.clock)
        run = await load_run(connection, row)
    return await _tell(services, row, run)


@router.post(
    "/runs/{run_id}/fork",
    status_code=202,
    response_model=Run,
    summary="Fork a run",
    response_description="The new run, QUEUED.",
    responses=problems(
        "run_not_found",
        "checkpoint_not_found",
        "wrong_state",
        "invalid_input",
        *ADMISSION,
        "origin_not_allowed",
        *BODY,
    )
    | {202: {"headers": {"Location": {"description": "Where the new run is.", "schema": {"type": "string"}}}}},
)
async def fork_run(run_id: RunIdPath, new: NewFork, services: Services) -> Response:
    """A new run that begins at a checkpoint of this one, with its state edited or as it is.

    Nodes after the checkpoint are run, and paid, anew; this run is left alone. A `state` that does not fit the graph fails the new run
    with `invalid_seed`: only a worker knows the graph.
    """
    await _require_checkpoint(services, run_id, new.checkpoint_id)
    spec = ForkSpec(new.checkpoint_id, new.state)
    database = services.database
    async with database.write() as connection:
        row = await lifecycle.fork_run(
            connection, database.dialect, run_id, spec, who=LOCAL_OWNER, clock=services.clock
        )
        await require_room(connection, row, services.limits)
        run = await load_run(connection, row)
    response = await _tell(services, row, run)
    response.headers["Location"] = run_path(row.id)
    return response


@router.post(
    "/runs/{run_id}/answer",
    response_model=Run,
    summary="Answer a run's question",
    response_description="The answer is stored; the run still waits for a person.",
    responses=problems(
        "run_not_found",
        "interaction_not_found",
        "already_answered",
        "wrong_state",
        "invalid_answer",
        "ambiguous_answer",
        "invalid_input",
        "origin_not_allowed",
        *BODY,
    )
    | {202: {"model": Run, "description": "The answer is stored, and the run goes on."}},
)
async def answer_question(run_id: RunIdPath, new: NewAnswer, services: Services) -> Response:
    """Used once: a second answer gets 409 with who gave the first. Other open questions of the run stay open."""
    async with services.database.write() as connection:
        row = await answer_run(connection, run_id, new.interaction_id, new.value, who=LOCAL_OWNER, clock=services.clock)
        run = await load_run(connection, row)
    return await _tell(services, row, run)


async def _require_checkpoint(services: ApiServices, run_id: str, checkpoint_id: str) -> None:
    async with services.database.read() as connection:
        run = await require_run(connection, run_id)
    if run.started_at is not None:  # else the fork itself says that there is no checkpoint yet
        await require_checkpoint(services, run, checkpoint_id)


async def _tell(services: ApiServices, row: RunRow, run: Run) -> Response:
    """After the commit: whoever follows the run looks at it, and a worker finds it."""
    services.nudge_relay()
    await services.wakeups.publish(Wake(run_id=row.id, seq=row.event_seq))
    return _answer(run)


def _answer(run: Run) -> Response:
    status = 202 if run.status in GOES_ON else 200
    return Response(run.model_dump_json(), status_code=status, media_type="application/json")
