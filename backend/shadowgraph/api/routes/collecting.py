"""Remove what is old."""

from typing import Annotated

from fastapi import APIRouter, Query

from shadowgraph.api.deps import Services
from shadowgraph.api.problem_responses import problems
from shadowgraph.api.schemas.collecting import Collected, CollectParameters, RemovedRows
from shadowgraph.api.services import ApiServices
from shadowgraph.db.scrubbing import AT_ONCE_BYTES, shrink
from shadowgraph.engine.checkpoints.retention import STORE
from shadowgraph.runs.amounts import Removed
from shadowgraph.runs.collecting import PAUSE_SECONDS, Collector
from shadowgraph.runs.previewing import preview
from shadowgraph.runs.retention import Ages

router = APIRouter()


@router.post(
    "/gc",
    tags=["upkeep"],
    response_model=Collected,
    summary="Remove what is old",
    responses=problems("origin_not_allowed"),
)
async def collect_garbage(parameters: Annotated[CollectParameters, Query()], services: Services) -> Collected:
    """Checkpoints, recorded calls and the like that are past their age. The server does the same by itself once an hour; the answer comes
    at the end, which can take minutes. A request that is given up stops between two batches, or is finished.
    """
    removed = await (_preview if parameters.preview else _collect)(services)
    rows = [RemovedRows(kind=kind, rows=amount.rows, bytes=amount.bytes) for kind, amount in removed.items()]
    return Collected(preview=parameters.preview, removed=rows)


async def _preview(services: ApiServices) -> Removed:
    return await preview(services.database, STORE, _ages(services), clock=services.clock)


async def _collect(services: ApiServices) -> Removed:
    collector = Collector(services.database, STORE, _ages(services), clock=services.clock, pause_seconds=PAUSE_SECONDS)
    removed = await collector.collect()
    await shrink(services.database, up_to_bytes=AT_ONCE_BYTES)
    return removed


def _ages(services: ApiServices) -> Ages:
    return Ages.of_days(services.settings.checkpoint_days)
