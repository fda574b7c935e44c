"""Conversations: runs that continue each other on one thread."""

from collections.abc import Sequence
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query

from shadowgraph.api.checkpoints import find_checkpoint
from shadowgraph.api.deps import NO_PARAMETERS, Services
from shadowgraph.api.problem_responses import problems
from shadowgraph.api.schemas.common import API_PREFIX
from shadowgraph.api.schemas.paging import PageParameters
from shadowgraph.api.schemas.threads import Thread, ThreadDetails, ThreadLinks, ThreadPage
from shadowgraph.api.views import load_summaries, thread_path
from shadowgraph.runs import threads
from shadowgraph.runs.inputs import is_storable
from shadowgraph.runs.run import Run
from shadowgraph.runs.states import Status
from shadowgraph.runs.threads import ThreadNotFound

router = APIRouter(tags=["threads"])

MAX_SHOWN_RUNS = 100


def get_thread_id(thread_id: Annotated[str, Path(description="As the runs name it.", examples=["order 7"])]) -> str:
    """Errors: `ThreadNotFound` for what no database could hold."""
    if not is_storable(thread_id):
        raise ThreadNotFound(f"there is no thread {thread_id[:80]!r}")
    return thread_id


ThreadIdPath = Annotated[str, Depends(get_thread_id)]


@router.get("/threads", response_model=ThreadPage, summary="List threads", responses=problems("bad_cursor"))
async def list_threads(parameters: Annotated[PageParameters, Query()], services: Services) -> ThreadPage:
    """The one with the newest run first. A run that names no thread has one of its own."""
    async with services.database.read() as connection:
        page = await threads.list_threads(connection, cursor=parameters.place, limit=parameters.limit)
    return ThreadPage(
        items=[Thread(**_facts(thread)) for thread in page.items],
        next_cursor=page.next_cursor.encode() if page.next_cursor else None,
    )


@router.get(
    "/threads/{thread_id:path}",
    response_model=ThreadDetails,
    summary="Show a thread",
    dependencies=NO_PARAMETERS,
    responses=problems("thread_not_found"),
)
async def get_thread(thread_id: ThreadIdPath, services: Services) -> ThreadDetails:
    """Its runs, and the state that its next run would continue."""
    async with services.database.read() as connection:
        found = await threads.require_thread_runs(connection, thread_id)
        shown = await load_summaries(connection, found[: -MAX_SHOWN_RUNS - 1 : -1])
    last = next((run for run in reversed(found) if run.status is Status.COMPLETED), None)
    checkpoint = await find_checkpoint(services, last) if last else None
    return ThreadDetails(
        **_facts(_summarise(found)),
        runs=shown,
        state_run_id=last.id if last else None,
        state=dict(checkpoint.state) if checkpoint and checkpoint.state is not None else None,
    )


def _summarise(runs: Sequence[Run]) -> threads.Thread:
    """`runs`: all of the thread, oldest first."""
    first, last = runs[0], runs[-1]
    return threads.Thread(last.thread_id, last.workflow, len(runs), first.created_at, last.created_at)


def _facts(thread: threads.Thread) -> dict[str, Any]:
    query = quote(thread.thread_id, safe="")
    return {
        "thread_id": thread.thread_id,
        "workflow": thread.workflow,
        "run_count": thread.runs,
        "created_at": thread.created_at,
        "updated_at": thread.updated_at,
        "links": ThreadLinks(self=thread_path(thread.thread_id), runs=f"{API_PREFIX}/runs?thread_id={query}"),
    }
