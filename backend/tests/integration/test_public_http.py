"""The client for strangers' addresses against real sockets of this machine, which it must never reach."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpcore
import httpx
import pytest

from shadowgraph.core import http
from shadowgraph.core.http import BlockedAddress, PublicBackend, fetch, is_public, public_client

PUBLIC = "93.184.216.34"


@dataclass
class LocalServer:
    port: int = 0
    requests: list[str] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readline()).split()[1].decode()
        while (await reader.readline()).strip():
            pass
        self.requests.append(path)
        try:
            await self._answer(path, writer)
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def _answer(self, path: str, writer: asyncio.StreamWriter) -> None:
        if path == "/redirect":
            location = f"Location: http://127.0.0.1:{self.port}/secret\r\nContent-Length: 0\r\n\r\n"
            writer.write(b"HTTP/1.1 302 Found\r\n" + location.encode())
        elif path == "/big":
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            for _ in range(400):
                writer.write(b"x" * 65_536)
                await writer.drain()
        else:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
        await writer.drain()


@pytest.fixture
async def local() -> AsyncIterator[LocalServer]:
    server = LocalServer()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    yield server
    listening.close()
    await listening.wait_closed()


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/",
        "http://localhost:{port}/",
        "http://0.0.0.0:{port}/",
        "http://[::1]:{port}/",
        "http://2130706433:{port}/",
        "http://0x7f.1:{port}/",
        "http://0177.0.0.1:{port}/",
        "http://127.1:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://[64:ff9b::7f00:1]:{port}/",
        "http://169.254.169.254/latest/meta-data/",
        "http://[fd00:ec2::254]/",
        "http://10.0.0.1/",
        "http://100.64.0.1/",
        "http://224.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_x",
        "http://user:password@127.0.0.1:{port}/",
        "not a url",
        "http://[::1",
    ],
)
async def test_no_spelling_of_a_private_address_is_reached(local: LocalServer, url: str) -> None:
    async with public_client(ports={80, local.port}) as client:
        with pytest.raises(BlockedAddress):
            await fetch(client, url.format(port=local.port))

    assert not local.requests


@pytest.mark.parametrize(
    "address", ["2002:7f00:1::", "2001::1", "::127.0.0.1", "fe80::1%eth0", "192.168.1.1", "240.0.0.1"]
)
def test_addresses_that_hide_or_reserve_are_not_public(address: str) -> None:
    assert not is_public(address)


def test_ordinary_addresses_are_public() -> None:
    assert is_public(PUBLIC)
    assert is_public("2606:2800:220:1:248:1893:25c8:1946")


class RecordingNetwork(httpcore.AsyncMockBackend):
    def __init__(self) -> None:
        super().__init__([])
        self.connected: list[str] = []

    async def connect_tcp(self, host: str, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:
        self.connected.append(host)
        return await super().connect_tcp(host, *args, **kwargs)


def _answers(*answers: Sequence[str]) -> http.Resolve:
    remaining = iter(answers)

    async def resolve(host: str, port: int) -> Sequence[str]:
        return next(remaining)

    return resolve


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to() -> None:
    network = RecordingNetwork()
    backend = PublicBackend(network, ports={80}, resolve=_answers([PUBLIC], ["127.0.0.1"]))

    await backend.connect_tcp("rebinding.example", 80)
    with pytest.raises(BlockedAddress):
        await backend.connect_tcp("rebinding.example", 80)

    assert network.connected == [PUBLIC]


async def test_one_private_answer_among_public_ones_is_enough_to_refuse() -> None:
    network = RecordingNetwork()
    backend = PublicBackend(network, ports={80}, resolve=_answers([PUBLIC, "127.0.0.1"]))

    with pytest.raises(BlockedAddress):
        await backend.connect_tcp("mixed.example", 80)

    assert not network.connected


async def test_other_ports_are_refused() -> None:
    backend = PublicBackend(RecordingNetwork(), ports=http.WEB_PORTS, resolve=_answers([PUBLIC]))

    with pytest.raises(BlockedAddress, match="port 22"):
        await backend.connect_tcp("public.example", 22)


async def test_sockets_of_the_machine_are_refused() -> None:
    with pytest.raises(BlockedAddress):
        await PublicBackend(RecordingNetwork(), ports={80}, resolve=_answers()).connect_unix_socket("/run/x.sock")


class _LocalIsPublic(httpcore.AnyIOBackend):
    """Lets the name public.example stand for the server of this test."""

    async def connect_tcp(self, host: str, *args: Any, **kwargs: Any) -> httpcore.AsyncNetworkStream:
        return await super().connect_tcp("127.0.0.1" if host == PUBLIC else host, *args, **kwargs)


def _client_that_sees(local: LocalServer) -> httpx.AsyncClient:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return [PUBLIC] if host == "public.example" else [host]

    return public_client(ports={local.port}, resolve=resolve, network=_LocalIsPublic())


async def test_a_public_host_is_reached(local: LocalServer) -> None:
    async with _client_that_sees(local) as client:
        fetched = await fetch(client, f"http://public.example:{local.port}/page")

    assert (fetched.status, fetched.body, local.requests) == (200, b"secret", ["/page"])


async def test_a_redirect_into_the_machine_is_not_followed(local: LocalServer) -> None:
    async with _client_that_sees(local) as client:
        with pytest.raises(BlockedAddress):
            await fetch(client, f"http://public.example:{local.port}/redirect")

    assert local.requests == ["/redirect"]


async def test_a_long_answer_is_cut_off(local: LocalServer) -> None:
    async with _client_that_sees(local) as client:
        with pytest.raises(BlockedAddress) as caught:
            await fetch(client, f"http://public.example:{local.port}/big", max_bytes=100_000)

    assert caught.value.code == "response_too_large"


async def test_a_proxy_of_the_environment_is_ignored(local: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{local.port}")

    async with public_client() as client:
        with pytest.raises(BlockedAddress):
            await fetch(client, "http://10.0.0.1/")

    assert not local.requests
