"""Questions and approvals that wait for a person. They are answered with `POST /runs/{run_id}/answer`."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from shadowgraph.api.deps import NO_PARAMETERS, Services
from shadowgraph.api.problem_responses import problems
from shadowgraph.api.schemas.interactions import Interaction, InteractionFilters, InteractionPage
from shadowgraph.api.views import build_interaction
from shadowgraph.runs.inputs import is_storable
from shadowgraph.runs.interactions import (
    InteractionNotFound,
    InteractionQuery,
    list_interactions,
    require_interaction,
)

router = APIRouter(tags=["interactions"])


def get_interaction_id(
    interaction_id: Annotated[
        str, Path(description="Begins with int_.", examples=["int_019a0000-0000-7000-8000-000000000000"])
    ],
) -> str:
    """Errors: `InteractionNotFound` for what no database could hold."""
    if not is_storable(interaction_id):
        raise InteractionNotFound(f"there is no interaction {interaction_id[:80]!r}")
    return interaction_id


@router.get("/interactions", response_model=InteractionPage, summary="List questions", responses=problems("bad_cursor"))
async def list_questions(filters: Annotated[InteractionFilters, Query()], services: Services) -> InteractionPage:
    """Who waits longest comes first."""
    query = InteractionQuery(
        status=filters.status,
        run_id=filters.run_id,
        workflow=filters.workflow,
        cursor=filters.place,
        limit=filters.limit,
    )
    async with services.database.read() as connection:
        page = await list_interactions(connection, query)
    return InteractionPage(
        items=[build_interaction(item) for item in page.items],
        next_cursor=page.next_cursor.encode() if page.next_cursor else None,
    )


@router.get(
    "/interactions/{interaction_id}",
    response_model=Interaction,
    summary="Show a question",
    dependencies=NO_PARAMETERS,
    responses=problems("interaction_not_found"),
)
async def get_question(interaction_id: Annotated[str, Depends(get_interaction_id)], services: Services) -> Interaction:
    """With its answer, once there is one."""
    async with services.database.read() as connection:
        return build_interaction(await require_interaction(connection, interaction_id))
