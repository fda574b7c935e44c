import httpx
import pytest
from sqlalchemy import select, update

from shadowgraph.core.ids import new_worker_id
from shadowgraph.db.engine import Database
from shadowgraph.models.runs import runs
from shadowgraph.models.workers import workers
from shadowgraph.models.workflows import workflows
from shadowgraph.runs.alerts import BAD_PROJECT, raise_alert
from shadowgraph.runs.workers import WorkerInfo, register_worker
from tests.support.api import QUERY_SCHEMA, V1, ApiParts, add_workflow, client_of, require_problem
from tests.support.runs import CLOCK


async def test_workflows_are_listed_by_name(client: httpx.AsyncClient, database: Database) -> None:
    await add_workflow(database, "pipeline")
    await add_workflow(database, "agent")

    answer = (await client.get(f"{V1}/workflows")).json()

    assert [workflow["name"] for workflow in answer["items"]] == ["agent", "pipeline"]
    assert answer["next_cursor"] is None


async def test_a_workflow_shows_how_many_workers_can_run_it(client: httpx.AsyncClient, database: Database) -> None:
    await add_workflow(database, "pipeline")
    await add_workflow(database, "agent")
    for pools in (["agent"], ["agent", "pipeline"]):
        async with database.write() as connection:
            await register_worker(
                connection, WorkerInfo(new_worker_id(), "host", 1, "build", pools, 1, CLOCK.now(), None)
            )
    silent = WorkerInfo(new_worker_id(), "host", 1, "build", ["agent"], 1, CLOCK.now(), None)
    async with database.write() as connection:
        await register_worker(connection, silent)
        await connection.execute(update(workers).where(workers.c.id == silent.id).values(seen_at=0))

    listed = (await client.get("/workflows")).json()["items"]

    assert {workflow["name"]: workflow["workers"] for workflow in listed} == {"agent": 2, "pipeline": 1}
    assert (await client.get("/workflows/agent")).json()["workers"] == 2


async def test_a_project_that_could_not_be_loaded_is_listed(client: httpx.AsyncClient, database: Database) -> None:
    errors = [{"pointer": "agent.py:2", "detail": "import nothing"}]
    async with database.write() as connection:
        await raise_alert(
            connection,
            database.dialect,
            kind=BAD_PROJECT,
            subject="mine",
            message="it cannot be imported",
            at=CLOCK.now(),
            data={"hint": None, "errors": errors},
        )

    [broken] = (await client.get("/workflows")).json()["broken_projects"]

    assert (broken["project"], broken["message"]) == ("mine", "it cannot be imported")
    assert broken["errors"] == errors


@pytest.mark.parametrize(("named", "deadline"), [({}, 30.0), ({"timeout_s": 5}, 5.0)])
async def test_a_run_has_the_time_limit_of_its_workflow_unless_it_names_one(
    client: httpx.AsyncClient, database: Database, named: dict[str, float], deadline: float
) -> None:
    await add_workflow(database, "pipeline")
    async with database.write() as connection:
        await connection.execute(update(workflows).values(timeout_s=30.0))

    run = (await client.post("/runs", json={"query": "x", **named})).json()

    async with database.read() as connection:
        left = await connection.scalar(select(runs.c.deadline_at - runs.c.available_at))
    assert run["deadline_at"] is not None
    assert left is not None
    assert left // 1000 == deadline  # the database's clock may move within the statement


@pytest.mark.parametrize(
    ("named", "of_workflow", "tracked", "budget"),
    [
        ({"budget_usd": 3}, 500_000_000, True, 3),
        ({}, 500_000_000, True, 0.5),
        ({}, None, True, 7),
        ({}, 500_000_000, False, None),
    ],
)
async def test_a_run_that_names_no_budget_has_that_of_its_workflow_else_that_of_the_server(
    parts: ApiParts, named: dict[str, float], of_workflow: int | None, tracked: bool, budget: float | None
) -> None:
    await add_workflow(parts.database, "pipeline")
    async with parts.database.write() as connection:
        await connection.execute(update(workflows).values(default_budget_nano_usd=of_workflow))

    async with client_of(parts.services(max_run_cost="7", cost_tracking_enabled=tracked)) as client:
        run = (await client.post("/runs", json={"query": "x", **named})).json()
        shown = (await client.get("/workflows/pipeline")).json()["default_budget_usd"]

    assert run["budget_usd"] == budget
    assert shown == (None if of_workflow is None else 0.5)


async def test_a_workflow_shows_what_it_takes(client: httpx.AsyncClient, database: Database) -> None:
    await add_workflow(database, "pipeline")

    workflow = (await client.get("/workflows/pipeline")).json()

    assert workflow["input_schema"] == QUERY_SCHEMA
    assert workflow["graph"] == {"nodes": [{"name": "a"}], "edges": []}
    assert workflow["description"] == "What pipeline does."
    assert workflow["links"] == {"self": f"{V1}/workflows/pipeline"}


@pytest.mark.parametrize("name", ["nothing", "%00", "a b"])
async def test_an_unknown_workflow_is_not_found(client: httpx.AsyncClient, name: str) -> None:
    response = await client.get(f"{V1}/workflows/{name}")

    require_problem(response, 404, "workflow_not_found")
