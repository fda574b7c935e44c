"""Every error is a problem, whoever finds it."""

import inspect
import logging
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from shadowgraph.api.app import AT_ROOT, RESOURCES, create_app
from shadowgraph.api.error_docs import ERROR_DOCS
from shadowgraph.core.errors import Conflict, ShadowgraphError
from tests.support.api import LOCALHOST, V1, ApiParts, require_problem

RUN = f"{V1}/runs/run_019a0000-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    "path", ["/nothing", f"{V1}", f"{V1}/runs/a/b/c", "/docs/assets/../../secret", "/errors/nothing"]
)
async def test_an_unknown_path_is_not_found(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)

    require_problem(response, 404, "not_found")


async def test_a_slash_too_many_is_pointed_out(client: httpx.AsyncClient) -> None:
    problem = require_problem(await client.get(f"{V1}/runs/"), 404, "not_found")

    assert "slash" in problem["hint"]


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", f"{V1}/runs", "GET, POST"),
        ("PUT", "/runs", "GET, POST"),
        ("POST", RUN, "DELETE, GET"),
        ("GET", f"{RUN}/cancel", "POST"),
        ("POST", "/healthz", "GET"),
        ("PATCH", f"{RUN}/artifacts/a/b.py", "GET"),
    ],
)
async def test_a_method_that_a_path_does_not_know_is_refused(
    client: httpx.AsyncClient, method: str, path: str, allowed: str
) -> None:
    response = await client.request(method, path)

    require_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == allowed


async def test_a_database_that_is_away_is_503_and_says_when_to_come_back(client: httpx.AsyncClient) -> None:
    response = await client.post(f"{V1}/runs", json={"query": "x"})

    problem = require_problem(response, 503, "database_unavailable")
    assert problem["retryable"] is True
    assert int(response.headers["retry-after"]) > 0
    assert "sqlite" not in response.text.lower()


async def test_a_defect_is_500_with_its_traceback_in_the_log_only(
    parts: ApiParts, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(parts.services())

    @app.get("/defect")
    async def defect() -> None:
        raise ZeroDivisionError("the secret is 42")

    async with _client(app) as client:
        response = await client.get("/defect", headers={"X-Request-Id": "abc"})

    require_problem(response, 500, "internal")
    assert "42" not in response.text
    record = next(record for record in caplog.records if record.levelno == logging.ERROR)
    assert "the secret is 42" in str(record.exc_info)
    assert record.__dict__["request_id"] == "abc"


async def test_an_answer_that_breaks_off_is_cut_and_not_ended(parts: ApiParts) -> None:
    app = create_app(parts.services())

    @app.get("/half")
    async def half() -> StreamingResponse:
        async def chunks() -> AsyncIterator[bytes]:
            yield b"half"
            raise ZeroDivisionError

        return StreamingResponse(chunks())

    async with _client(app) as client:
        with pytest.raises(ZeroDivisionError):  # what the server needs to see to cut the connection
            await client.get("/half")


async def test_facts_of_an_error_are_members_but_cannot_replace_the_standard_ones(parts: ApiParts) -> None:
    app = create_app(parts.services())

    @app.get("/conflict")
    async def conflict() -> None:
        raise Conflict("taken", code="wrong_state", state="RUNNING", status=200, retry_after=7)

    async with _client(app) as client:
        response = await client.get("/conflict")

    assert require_problem(response, 409, "wrong_state")["state"] == "RUNNING"
    assert response.headers["retry-after"] == "7"


@pytest.mark.parametrize("status", [400, 401, 418, 501])
async def test_whatever_the_framework_raises_is_a_problem(parts: ApiParts, status: int) -> None:
    app = create_app(parts.services())

    @app.get("/raise")
    async def refuse() -> None:
        raise HTTPException(status, "because")

    async with _client(app) as client:
        response = await client.get("/raise")

    require_problem(response, status, "internal" if status >= 500 else "invalid_request")


@pytest.mark.parametrize(
    ("given", "kept"), [("abc-123", True), ("a" * 129, False), ("a b", False), ("a\tb", False), ("", False)]
)
async def test_a_request_id_is_kept_when_it_is_a_plain_token(client: httpx.AsyncClient, given: str, kept: bool) -> None:
    response = await client.get("/healthz", headers={"X-Request-Id": given})

    assert (response.headers["x-request-id"] == given) is kept
    assert re.fullmatch(r"[\w.:/+=@-]{1,128}", response.headers["x-request-id"])


@pytest.mark.parametrize("path", ["/healthz", "/nothing", "/docs", "/"])
async def test_every_answer_has_its_safety_headers(client: httpx.AsyncClient, path: str) -> None:
    headers = (await client.get(path)).headers

    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["content-security-policy"].startswith("default-src 'none'")


async def test_the_type_of_a_problem_is_a_page_that_exists(client: httpx.AsyncClient) -> None:
    for code in ERROR_DOCS:
        page = await client.get(f"/errors/{code}")
        data = await client.get(f"/errors/{code}", headers={"Accept": "application/json"})

        assert page.status_code == 200
        assert page.headers["content-type"].startswith("text/html")
        assert code in page.text
        assert data.json()["code"] == code
        assert data.json()["remedy"]


def test_every_error_that_a_route_can_raise_has_a_page() -> None:
    """Those of the API itself, and those of the use cases that it calls."""
    ours = {
        error.code: error
        for error in _subclasses(ShadowgraphError)
        if error.__module__.startswith(("shadowgraph.api", "shadowgraph.runs")) and error.__module__ != __name__
    }

    outside = {"illegal_transition", "port_taken", "release_moved"}  # a defect; a failure to start; a worker's own
    missing = ours.keys() - ERROR_DOCS.keys() - outside
    assert not missing
    assert len(ours) > 10


def test_every_route_documents_its_errors() -> None:
    routes = [route for router in (*RESOURCES, *AT_ROOT) for route in router.routes if isinstance(route, APIRoute)]

    undocumented = [
        route.path for route in routes if route.include_in_schema and not {422, 500, 503} <= route.responses.keys()
    ]
    assert undocumented == []


def _subclasses(kind: type[ShadowgraphError]) -> set[type[ShadowgraphError]]:
    found = {kind}
    for child in kind.__subclasses__():
        if inspect.isclass(child):
            found |= _subclasses(child)
    return found


def _client(app: FastAPI) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=LOCALHOST)
