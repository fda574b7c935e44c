from pathlib import Path
from typing import Any

import httpx
import pytest

from shadowgraph.api.hosts import InsecureBind, require_safe_bind
from shadowgraph.core.settings import Settings, load_settings
from tests.support.api import V1, ApiParts, client_of, require_problem

LOOPBACK = [
    "localhost",
    "localhost:8000",
    "127.0.0.1",
    "127.0.0.1:8000",
    "[::1]",
    "[::1]:8000",
    "app.localhost",
    "LOCALHOST",
]
FOREIGN = [
    "evil.test",
    "evil.test:8000",
    "127.0.0.1.evil.test",
    "localhost.evil.test",
    "192.168.1.5",
    "",
    "0x7f.1",
    "@localhost",
    "[",
    "169.254.169.254",
]
PATHS = [
    "/",
    "/healthz",
    "/docs",
    "/openapi.json",
    f"{V1}/runs",
    f"{V1}/runs/run_019a0000-0000-7000-8000-000000000000/events",
]


@pytest.mark.parametrize("host", LOOPBACK)
async def test_loopback_names_are_answered(client: httpx.AsyncClient, host: str) -> None:
    response = await client.get("/healthz", headers={"Host": host})

    assert response.status_code == 200


@pytest.mark.parametrize("host", FOREIGN)
async def test_foreign_names_are_refused(client: httpx.AsyncClient, host: str) -> None:
    response = await client.get("/healthz", headers={"Host": host})

    require_problem(response, 421, "host_not_allowed")


@pytest.mark.parametrize("path", PATHS)
async def test_foreign_names_are_refused_on_every_route(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path, headers={"Host": "evil.test"})

    require_problem(response, 421, "host_not_allowed")


async def test_a_name_that_was_allowed_is_answered(parts: ApiParts) -> None:
    async with client_of(parts.services(allowed_hosts="api.example.test, Other.Test")) as client:
        allowed = [
            await client.get("/healthz", headers={"Host": host})
            for host in ("api.example.test", "other.test:80", "localhost")
        ]
        refused = await client.get("/healthz", headers={"Host": "evil.test"})

    assert [response.status_code for response in allowed] == [200, 200, 200]
    assert refused.status_code == 421


async def test_a_server_that_others_may_reach_answers_to_any_name_unless_told_which(parts: ApiParts) -> None:
    async with client_of(parts.services(host="0.0.0.0", insecure_bind=True)) as client:
        anything = await client.get("/healthz", headers={"Host": "evil.test"})
    async with client_of(parts.services(host="0.0.0.0", insecure_bind=True, allowed_hosts="api.test")) as client:
        refused = await client.get("/healthz", headers={"Host": "evil.test"})

    assert (anything.status_code, refused.status_code) == (200, 421)


@pytest.mark.parametrize("origin", ["http://evil.test", "null", "http://localhost:5173", "https://localhost.evil.test"])
async def test_a_page_of_another_origin_may_not_change_anything(client: httpx.AsyncClient, origin: str) -> None:
    path = f"{V1}/runs/run_019a0000-0000-7000-8000-000000000000/cancel"

    response = await client.post(path, headers={"Origin": origin})

    require_problem(response, 403, "origin_not_allowed")


async def test_a_page_of_this_server_or_of_an_allowed_origin_may(parts: ApiParts) -> None:
    async with client_of(parts.services(allowed_origins="http://localhost:5173")) as client:
        own = await client.post(f"{V1}/runs", json={}, headers={"Origin": "http://localhost"})
        allowed = await client.post(f"{V1}/runs", json={}, headers={"Origin": "http://localhost:5173"})
        preflight = await client.options(
            f"{V1}/runs",
            headers={"Origin": "http://localhost:5173", "Access-Control-Request-Method": "POST"},
        )

    require_problem(own, 422, "invalid_request")
    require_problem(allowed, 422, "invalid_request")
    assert allowed.headers["access-control-allow-origin"] == "http://localhost:5173"
    assert preflight.status_code == 200


async def test_no_origin_may_read_answers_unless_it_was_allowed(client: httpx.AsyncClient) -> None:
    response = await client.get("/healthz", headers={"Origin": "http://evil.test"})

    assert "access-control-allow-origin" not in response.headers


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_a_loopback_bind_is_safe(tmp_path: Path, host: str) -> None:
    require_safe_bind(_settings(tmp_path, host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.test", ""])
def test_another_bind_is_refused_in_one_line(tmp_path: Path, host: str) -> None:
    with pytest.raises(InsecureBind) as refused:
        require_safe_bind(_settings(tmp_path, host=host))

    assert refused.value.code == "insecure_bind"
    assert "INSECURE_BIND" in refused.value.message
    assert "\n" not in refused.value.message


def test_another_bind_may_be_insisted_on(tmp_path: Path) -> None:
    require_safe_bind(_settings(tmp_path, host="0.0.0.0", insecure_bind=True))


def _settings(home: Path, **flags: Any) -> Settings:
    return load_settings({}, home=home, **flags).settings
