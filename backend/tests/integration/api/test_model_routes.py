from typing import Any

import httpx
import pytest

from shadowgraph.db.engine import Database
from shadowgraph.reliability.breaker import THRESHOLD, Breakers
from shadowgraph.runs.breakers import SqlBreakers
from tests.support.api import V1, ApiParts, client_of, require_problem
from tests.support.runs import CLOCK

GROQ = "groq:openai/gpt-oss-120b"
KEY = "gsk_test"


def targets(*models: str) -> dict[str, Any]:
    return {"targets": [{"model": model} for model in models]}


async def test_without_a_key_the_offline_model_answers_and_the_api_says_so(client: httpx.AsyncClient) -> None:
    [route] = (await client.get(f"{V1}/routes")).json()["items"]

    assert (route["name"], route["number"], route["answered_by"]) == ("default", 0, "offline")
    assert [target["model"] for target in route["targets"]] == [GROQ, "groq:openai/gpt-oss-20b"]
    assert {target["missing"] for target in route["targets"]} == {"set GROQ_API_KEY"}


async def test_a_route_is_changed_as_a_whole_and_counts_its_changes(parts: ApiParts) -> None:
    async with client_of(parts.services(groq_api_key=KEY)) as client:
        first = await client.put("/routes/default", json={**targets(GROQ), "rate_limit": "30/minute"})
        second = await client.put("/routes/default", json=targets("openai_compatible:llama3", GROQ))
        shown = (await client.get("/routes/default")).json()

    assert (first.status_code, first.json()["number"], first.json()["rate_limit"]) == (200, 1, "30/minute")
    assert second.json() == shown
    assert (shown["number"], shown["rate_limit"], shown["changed_by"]) == (2, None, "local")
    assert shown["answered_by"] == GROQ, "the first one that is set up"
    assert [target["set_up"] for target in shown["targets"]] == [False, True]


async def test_a_route_that_is_removed_is_gone_and_the_default_one_as_before(client: httpx.AsyncClient) -> None:
    before = (await client.get("/routes/default")).json()
    for name in ("default", "cheap"):
        await client.put(f"/routes/{name}", json=targets(GROQ))

    removed = [(await client.delete(f"/routes/{name}")).json() for name in ("default", "cheap")]

    assert removed == [{"name": "default", "removed": True}, {"name": "cheap", "removed": True}]
    after = (await client.get("/routes/default")).json()
    assert (after["targets"], after["number"]) == (before["targets"], 2)
    require_problem(await client.get("/routes/cheap"), 404, "route_not_found")
    require_problem(await client.delete("/routes/cheap"), 404, "route_not_found")


async def test_a_route_that_wants_all_keys_says_that_nobody_answers(client: httpx.AsyncClient) -> None:
    route = (await client.put("/routes/strict", json={**targets(GROQ), "when_no_key": "fail"})).json()

    assert route["answered_by"] is None


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"targets": []}, "/targets"),
        (targets("gpt-5"), "/targets/0/model"),
        (targets("nobody:model"), "/targets/0/model"),
        (targets("offline:offline-demo-1"), "/targets/0/model"),
        (targets(GROQ, GROQ), "/targets"),
        ({**targets(GROQ), "rate_limit": "often"}, "/rate_limit"),
        ({**targets(GROQ), "rate_limit": "0/minute"}, "/rate_limit"),
        ({"targets": [{"model": GROQ, "total_seconds": 0}]}, "/targets/0/total_seconds"),
        ({**targets(GROQ), "weight": 1}, "/weight"),
    ],
)
async def test_what_is_no_route_is_refused(client: httpx.AsyncClient, body: dict[str, Any], pointer: str) -> None:
    problem = require_problem(await client.put("/routes/default", json=body), 422, "invalid_request")

    assert [error["pointer"] for error in problem["errors"]] == [pointer]


async def test_an_open_breaker_is_shown_with_its_target(client: httpx.AsyncClient, database: Database) -> None:
    assert (await client.get("/health/breakers")).json()["items"] == []
    breakers = Breakers(SqlBreakers(database, clock=CLOCK), clock=CLOCK)
    for _ in range(THRESHOLD):
        permit = await breakers.admit(("groq", "openai/gpt-oss-120b"), probe_seconds=60)
        await breakers.record(permit, "failure", error="status 500")

    [breaker] = (await client.get(f"{V1}/health/breakers")).json()["items"]

    assert (breaker["state"], breaker["failures"], breaker["error"]) == ("open", THRESHOLD, "status 500")
    assert 0 < breaker["open_seconds"] <= 30
    route = (await client.get("/routes/default")).json()
    assert [target["breaker"] for target in route["targets"]] == ["open", "closed"]
