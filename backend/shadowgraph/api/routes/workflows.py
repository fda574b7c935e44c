"""Which graphs can be run. Workers say it; the API never imports a project's code."""

from typing import Annotated

from fastapi import APIRouter, Path

from shadowgraph.api.deps import NO_PARAMETERS, Services
from shadowgraph.api.problem_responses import problems
from shadowgraph.api.schemas.workflows import Workflow, WorkflowList
from shadowgraph.api.views import build_broken_project, build_workflow
from shadowgraph.core.errors import NotFound
from shadowgraph.runs import repository
from shadowgraph.runs.alerts import BAD_PROJECT, list_open_alerts
from shadowgraph.runs.inputs import is_storable
from shadowgraph.runs.workers import count_serving
from shadowgraph.versioning.repository import load_active_labels

router = APIRouter(tags=["workflows"], dependencies=NO_PARAMETERS)


class WorkflowNotFound(NotFound):
    code = "workflow_not_found"


@router.get("/workflows", response_model=WorkflowList, summary="List workflows", responses=problems())
async def list_workflows(services: Services) -> WorkflowList:
    """By name, and the projects that could not be loaded. Empty until the first worker has started."""
    async with services.database.read() as connection:
        found = await repository.list_workflows(connection)
        serving = await count_serving(connection, within_seconds=services.settings.lease_seconds)
        active = await load_active_labels(connection)
        broken = await list_open_alerts(connection, kind=BAD_PROJECT)
    return WorkflowList(
        items=[build_workflow(workflow, serving=serving, active=active) for workflow in found],
        broken_projects=[build_broken_project(alert) for alert in broken],
    )


@router.get(
    "/workflows/{name}", response_model=Workflow, summary="Show a workflow", responses=problems("workflow_not_found")
)
async def get_workflow(name: Annotated[str, Path(examples=["pipeline"])], services: Services) -> Workflow:
    """With the schemas of its input and output, and its graph."""
    async with services.database.read() as connection:
        workflow = await repository.find_workflow(connection, name) if is_storable(name) else None
        serving = await count_serving(connection, within_seconds=services.settings.lease_seconds)
        active = await load_active_labels(connection)
    if workflow is None:
        raise WorkflowNotFound(f"there is no workflow {name[:100]!r}", workflow=name[:100])
    return build_workflow(workflow, serving=serving, active=active)
