import asyncio
from collections.abc import Awaitable, Callable

import httpx

from shadowgraph.api.services import ReadinessCheck
from shadowgraph.core.errors import Unavailable
from tests.support.api import ApiParts, client_of, require_problem


async def _works() -> None:
    """Nothing is wrong."""


async def _breaks() -> None:
    raise Unavailable("connection refused")


async def _get(parts: ApiParts, *checks: ReadinessCheck) -> httpx.Response:
    async with client_of(parts.services(checks=checks)) as client:
        return await client.get("/readyz")


def _check(name: str, probe: Callable[[], Awaitable[None]], *, is_required: bool = True) -> ReadinessCheck:
    return ReadinessCheck(name, probe, hint=f"start the {name}", is_required=is_required)


async def test_a_process_that_answers_is_alive(client: httpx.AsyncClient) -> None:
    response = await client.get("/healthz")

    assert response.status_code == 200
    assert (response.json()["status"], response.json()["name"]) == ("ok", "shadowgraph")


async def test_a_server_with_all_parts_is_ready(parts: ApiParts) -> None:
    response = await _get(parts, _check("database", _works), _check("broker", _works))

    assert response.status_code == 200
    assert response.json()["status"] == "ready"
    assert [check["ok"] for check in response.json()["checks"]] == [True, True]


async def test_a_missing_part_is_named_with_what_mends_it(parts: ApiParts) -> None:
    response = await _get(parts, _check("database", _breaks), _check("storage", _works))

    problem = require_problem(response, 503, "not_ready")
    assert problem["detail"] == "database: connection refused"
    assert problem["hint"] == "start the database"
    assert [(check["name"], check["ok"]) for check in problem["checks"]] == [("database", False), ("storage", True)]
    assert int(response.headers["retry-after"]) > 0


async def test_a_part_without_which_work_goes_on_is_only_reported(parts: ApiParts) -> None:
    response = await _get(parts, _check("broker", _breaks, is_required=False))

    assert (response.status_code, response.json()["status"]) == (200, "degraded")
    assert response.json()["checks"][0]["hint"] == "start the broker"


async def test_a_part_that_hangs_counts_as_missing(parts: ApiParts) -> None:
    async def hang() -> None:
        await asyncio.Event().wait()

    response = await _get(parts, _check("database", hang))

    assert "no answer" in require_problem(response, 503, "not_ready")["detail"]


async def test_a_server_that_stops_is_not_ready(parts: ApiParts) -> None:
    services = parts.services()
    services.stopping.set()
    async with client_of(services) as client:
        response = await client.get("/readyz")
        alive = await client.get("/healthz")

    require_problem(response, 503, "not_ready")
    assert alive.status_code == 200
