import asyncio

import httpx
import pytest

from shadowgraph.db.engine import Database
from shadowgraph.queue.message import Wake
from shadowgraph.runs.repository import list_events
from tests.support.api import V1, ApiParts, create, require_problem
from tests.support.moves import Moves


async def test_a_waiting_run_is_cancelled_at_once(client: httpx.AsyncClient, database: Database) -> None:
    run = await create(client)

    response = await client.post(f"{V1}/runs/{run['id']}/cancel")

    assert response.status_code == 200
    assert (response.json()["status"], response.json()["id"]) == ("CANCELLED", run["id"])
    assert response.json()["finished_at"] is not None
    async with database.read() as connection:
        assert [event.type for event in await list_events(connection, run["id"])] == ["run.queued", "run.finished"]


async def test_the_worker_of_a_running_run_is_asked_to_stop(
    client: httpx.AsyncClient, moves: Moves, parts: ApiParts
) -> None:
    run = await create(client)
    await moves.claim(run["id"])

    async with parts.wakeups.subscribe(run["id"]) as wakes:
        response = await client.post(f"{V1}/runs/{run['id']}/cancel")
        wake = await asyncio.wait_for(anext(wakes), 5)

    assert response.status_code == 202
    assert (response.json()["status"], response.json()["control"]) == ("RUNNING", "cancel")
    assert wake == Wake(run_id=run["id"], control="cancel")


async def test_a_run_that_waits_for_a_person_is_cancelled_at_once(client: httpx.AsyncClient, moves: Moves) -> None:
    run = await create(client)
    await moves.await_human(await moves.claim(run["id"]))

    response = await client.post(f"{V1}/runs/{run['id']}/cancel")

    assert (response.status_code, response.json()["status"]) == (200, "CANCELLED")


async def test_a_run_that_has_ended_cannot_be_cancelled(client: httpx.AsyncClient, moves: Moves) -> None:
    run = await create(client)
    await moves.complete(await moves.claim(run["id"]))

    response = await client.post(f"{V1}/runs/{run['id']}/cancel")

    problem = require_problem(response, 409, "wrong_state")
    assert (problem["state"], problem["possible"]) == ("COMPLETED", [])


async def test_a_run_is_cancelled_once(client: httpx.AsyncClient, moves: Moves) -> None:
    run = await create(client)
    await moves.claim(run["id"])
    await client.post(f"{V1}/runs/{run['id']}/cancel")

    response = await client.post(f"{V1}/runs/{run['id']}/cancel")

    assert require_problem(response, 409, "wrong_state")["state"] == "RUNNING"


@pytest.mark.parametrize("run_id", ["run_019a0000-0000-7000-8000-000000000000", "x"])
async def test_an_unknown_run_cannot_be_cancelled(client: httpx.AsyncClient, run_id: str) -> None:
    response = await client.post(f"{V1}/runs/{run_id}/cancel")

    require_problem(response, 404, "run_not_found")
