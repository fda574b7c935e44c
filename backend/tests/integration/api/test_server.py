"""The server behind a real socket."""

import asyncio
import socket
from collections.abc import AsyncIterator

import httpx
import pytest

from shadowgraph.api.app import create_app
from shadowgraph.api.server import HttpServer, PortTaken, bind, url_of
from tests.support.api import V1, ApiParts, count_runs, require_problem, served

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

SECONDS = 10
JSON = {"Content-Type": "application/json"}


@pytest.fixture
async def live(parts: ApiParts) -> AsyncIterator[httpx.AsyncClient]:
    async with served(parts.services()) as client:
        yield client


async def test_a_body_above_the_limit_gets_its_answer(live: httpx.AsyncClient, parts: ApiParts) -> None:
    response = await live.post(f"{V1}/runs", json={"query": "x" * 2_000_000})

    require_problem(response, 413, "body_too_large")
    assert response.headers["connection"] == "close"
    assert await count_runs(parts.database) == 0


async def test_a_body_without_a_length_is_stopped_at_the_limit(live: httpx.AsyncClient) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(3_000):
            yield b"x" * 1024

    response = await live.post(f"{V1}/runs", content=endless(), headers=JSON)

    require_problem(response, 413, "body_too_large")


async def test_a_hundred_megabytes_are_not_swallowed(live: httpx.AsyncClient) -> None:
    """The server reads a little more than it answers for, then hangs up."""
    sent = await _send_and_count(live, b"POST /runs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 104857600\r\n\r\n")

    assert sent < 50_000_000


async def _send_and_count(live: httpx.AsyncClient, head: bytes) -> int:
    _reader, writer = await asyncio.open_connection(live.base_url.host, live.base_url.port)
    writer.write(head)
    sent = 0
    try:
        while sent < 100_000_000:
            writer.write(b"x" * 65_536)
            sent += 65_536
            await asyncio.wait_for(writer.drain(), SECONDS)
    except ConnectionError:
        pass
    finally:
        writer.transport.abort()
    return sent


async def test_a_client_that_asks_first_is_refused_before_it_sends(live: httpx.AsyncClient) -> None:
    reader, writer = await asyncio.open_connection(live.base_url.host, live.base_url.port)
    writer.write(
        b"POST /runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 2000000\r\nExpect: 100-continue\r\n\r\n"
    )

    answer = await asyncio.wait_for(reader.read(), SECONDS)
    writer.close()

    assert answer.startswith(b"HTTP/1.1 413 ")


async def test_a_client_that_hangs_up_while_it_sends_stores_nothing(live: httpx.AsyncClient, parts: ApiParts) -> None:
    _reader, writer = await asyncio.open_connection(live.base_url.host, live.base_url.port)
    writer.write(
        b"POST /runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
    )
    await writer.drain()
    writer.close()
    await writer.wait_closed()

    assert (await live.get("/healthz")).status_code == 200
    assert await count_runs(parts.database) == 0


async def test_a_foreign_name_is_refused_on_an_event_stream_too(live: httpx.AsyncClient) -> None:
    path = f"{V1}/runs/run_019a0000-0000-7000-8000-000000000000/events"

    response = await live.get(path, headers={"Host": "evil.test", "Accept": "text/event-stream"})

    require_problem(response, 421, "host_not_allowed")


async def test_a_port_that_is_taken_is_said_so(parts: ApiParts) -> None:
    services = parts.services()
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(PortTaken) as refused:
        async with HttpServer(create_app(services), services).listening("127.0.0.1", other.getsockname()[1]):
            pass

    assert refused.value.code == "port_taken"


async def test_the_server_says_nothing_of_itself(live: httpx.AsyncClient) -> None:
    assert "server" not in (await live.get("/healthz")).headers


@pytest.mark.parametrize(("host", "expected"), [("127.0.0.1", "http://127.0.0.1:"), ("0.0.0.0", "http://127.0.0.1:")])
def test_the_url_is_one_that_this_machine_can_open(host: str, expected: str, database_url: str) -> None:
    with bind(host, 0) as listener:
        url = url_of(listener)

    assert url.startswith(expected)
