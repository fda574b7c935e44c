"""What a run was at each checkpoint, and how it differs from another."""

from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Path, Query

from shadowgraph.api.checkpoints import list_checkpoints, require_checkpoint
from shadowgraph.api.deps import NO_PARAMETERS, OtherRunIdPath, RunIdPath, Services
from shadowgraph.api.problem_responses import problems
from shadowgraph.api.schemas import history
from shadowgraph.api.schemas.paging import PageParameters
from shadowgraph.api.views import parent_checkpoint_of
from shadowgraph.runs import comparing
from shadowgraph.runs.cursors import Cursor
from shadowgraph.runs.repository import require_run
from shadowgraph.runs.run import Run

router = APIRouter(tags=["runs"])


@router.get(
    "/runs/{run_id}/checkpoints",
    response_model=history.CheckpointPage,
    summary="List a run's checkpoints",
    responses=problems("run_not_found", "bad_cursor"),
)
async def list_run_checkpoints(
    run_id: RunIdPath, parameters: Annotated[PageParameters, Query()], services: Services
) -> history.CheckpointPage:
    """Newest first, without their states. A fork begins at one of them."""
    async with services.database.read() as connection:
        run = await require_run(connection, run_id)
    before = parameters.place.id if parameters.place else None
    found = await list_checkpoints(services, run, before=before, limit=parameters.limit + 1)
    items = [history.Checkpoint.model_validate(asdict(item)) for item in found[: parameters.limit]]
    cursor = _cursor_after(items[-1]) if len(found) > parameters.limit else None
    return history.CheckpointPage(items=items, next_cursor=cursor)


def _cursor_after(last: history.Checkpoint) -> str:
    return Cursor(datetime.fromisoformat(last.created_at), last.checkpoint_id).encode()


@router.get(
    "/runs/{run_id}/checkpoints/{checkpoint_id}",
    response_model=history.CheckpointState,
    summary="Show a checkpoint",
    dependencies=NO_PARAMETERS,
    responses=problems("run_not_found", "checkpoint_not_found"),
)
async def get_run_checkpoint(
    run_id: RunIdPath,
    checkpoint_id: Annotated[history.CheckpointId, Path(examples=["1f0c0f2e-0000-6000-8000-000000000000"])],
    services: Services,
) -> history.CheckpointState:
    """With the state of the graph, as JSON."""
    async with services.database.read() as connection:
        run = await require_run(connection, run_id)
    return history.CheckpointState.model_validate(asdict(await require_checkpoint(services, run, checkpoint_id)))


@router.get(
    "/runs/{run_id}/diff/{other_id}",
    response_model=history.RunDiff,
    summary="Compare two runs",
    dependencies=NO_PARAMETERS,
    responses=problems("run_not_found"),
)
async def diff_runs(run_id: RunIdPath, other_id: OtherRunIdPath, services: Services) -> history.RunDiff:
    """What differs in input, output, files and steps, and how the runs are related."""
    async with services.database.read() as connection:
        found = await comparing.compare_runs(connection, run_id, other_id)
    return history.RunDiff(
        run=_side(found.run),
        other=_side(found.other),
        lineage=history.Lineage(**asdict(found.lineage)),
        input=[history.ValueChange(**asdict(item)) for item in found.input],
        output=[history.ValueChange(**asdict(item)) for item in found.output],
        files=[history.FileChange(**asdict(item)) for item in found.files],
        steps=[history.StepChange(**asdict(item)) for item in found.steps],
    )


def _side(run: Run) -> history.RunSide:
    return history.RunSide(
        id=run.id,
        status=run.status,
        workflow=run.workflow,
        parent_run_id=run.parent_run_id,
        parent_checkpoint_id=parent_checkpoint_of(run),
    )
