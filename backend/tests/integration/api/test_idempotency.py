import asyncio

import httpx
import pytest
from sqlalchemy import text

from shadowgraph.db.engine import Database
from tests.support.api import V1, count_runs, require_problem

KEY = {"Idempotency-Key": "order 7/a"}


async def test_the_same_key_and_body_give_the_same_run(client: httpx.AsyncClient, database: Database) -> None:
    first = await client.post(f"{V1}/runs", content=b'{"query":"x","priority":1}', headers=KEY | _JSON)
    second = await client.post(f"{V1}/runs", content=b'{ "priority": 1, "query": "x" }', headers=KEY | _JSON)

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json() == second.json()
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert second.headers["location"] == first.headers["location"]
    assert await count_runs(database) == 1


async def test_a_key_with_another_body_is_refused(client: httpx.AsyncClient, database: Database) -> None:
    await client.post(f"{V1}/runs", json={"query": "x"}, headers=KEY)

    response = await client.post(f"{V1}/runs", json={"query": "y"}, headers=KEY)

    require_problem(response, 422, "idempotency_key_reused")
    assert await count_runs(database) == 1


async def test_a_refused_request_does_not_use_its_key_up(client: httpx.AsyncClient, database: Database) -> None:
    refused = await client.post(f"{V1}/runs", json={"query": "x", "colour": "red"}, headers=KEY)
    accepted = await client.post(f"{V1}/runs", json={"query": "x"}, headers=KEY)

    assert (refused.status_code, accepted.status_code) == (422, 202)


async def test_many_at_once_give_one_run(client: httpx.AsyncClient, database: Database) -> None:
    responses = await asyncio.gather(*(client.post(f"{V1}/runs", json={"query": "x"}, headers=KEY) for _ in range(8)))

    assert {response.status_code for response in responses} == {202}
    assert len({response.json()["id"] for response in responses}) == 1
    assert await count_runs(database) == 1


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_request_whose_twin_does_not_end_is_told_to_come_back(
    client: httpx.AsyncClient, database: Database
) -> None:
    async with database.write() as other:
        await other.execute(
            text(
                "INSERT INTO idempotency_keys (scope, key, request_hash, response, created_at) "
                "VALUES ('local', :key, 'h', '{}', now())"
            ),
            {"key": KEY["Idempotency-Key"]},
        )
        response = await client.post(f"{V1}/runs", json={"query": "x"}, headers=KEY)
        await other.rollback()

    problem = require_problem(response, 409, "idempotency_in_progress")
    assert response.headers["retry-after"] == "1"
    assert problem["retryable"] is True
    assert await count_runs(database) == 0


_JSON = {"Content-Type": "application/json"}
