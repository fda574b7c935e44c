"""Delete runs and threads."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.api.deps import RunIdPath, Services
from shadowgraph.api.problem_responses import problems
from shadowgraph.api.routes.threads import ThreadIdPath
from shadowgraph.api.schemas.deletion import Deleted, DeleteParameters
from shadowgraph.api.services import ApiServices
from shadowgraph.core.ids import RunId
from shadowgraph.db.scrubbing import AT_ONCE_BYTES, scrub
from shadowgraph.engine.checkpoints import retention
from shadowgraph.runs import deletion
from shadowgraph.runs.deletion import Forks
from shadowgraph.runs.service import LOCAL_OWNER

router = APIRouter()


@router.delete(
    "/runs/{run_id}",
    tags=["runs"],
    response_model=Deleted,
    summary="Delete a run",
    responses=problems("run_not_found", "wrong_state", "thread_continues", "has_forks", "origin_not_allowed"),
)
async def delete_run(
    run_id: RunIdPath, parameters: Annotated[DeleteParameters, Query()], services: Services
) -> Deleted:
    """With every text of it: input, result, steps, events, checkpoints, files (also what `demo` wrote into the storage folder), answers.
    What it cost stays in the sums.

    Only a run that has ended, and that no later run of its thread continues.
    """
    return await _delete(
        services,
        lambda connection: deletion.delete_run(
            connection,
            services.database.dialect,
            run_id,
            erase_checkpoints=retention.erase,
            forks=_forks(parameters),
            who=LOCAL_OWNER,
            clock=services.clock,
        ),
    )


@router.delete(
    "/threads/{thread_id:path}",
    tags=["threads"],
    response_model=Deleted,
    summary="Delete a thread",
    responses=problems("thread_not_found", "wrong_state", "thread_continues", "has_forks", "origin_not_allowed"),
)
async def delete_thread(
    thread_id: ThreadIdPath, parameters: Annotated[DeleteParameters, Query()], services: Services
) -> Deleted:
    """All its runs, as `DELETE /runs/{run_id}` does it. All of them must have ended."""
    return await _delete(
        services,
        lambda connection: deletion.delete_thread(
            connection,
            services.database.dialect,
            thread_id,
            erase_checkpoints=retention.erase,
            forks=_forks(parameters),
            who=LOCAL_OWNER,
            clock=services.clock,
        ),
    )


def _forks(parameters: DeleteParameters) -> Forks:
    return "delete" if parameters.cascade else "refuse"


async def _delete(services: ApiServices, work: Callable[[AsyncConnection], Awaitable[list[RunId]]]) -> Deleted:
    """The reply comes when the files are clean, too, unless that takes long."""
    async with services.database.write() as connection:
        run_ids = await work(connection)
    for run_id in run_ids:
        await asyncio.to_thread(shutil.rmtree, services.settings.folder_of_run(run_id), ignore_errors=True)
    return Deleted(run_ids=list(run_ids), scrubbed=await scrub(services.database, up_to_bytes=AT_ONCE_BYTES))
