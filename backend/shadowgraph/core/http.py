"""An HTTP client for addresses that somebody else chose: it reaches public hosts only.

The address that is really connected to is the one that was checked, on every redirect again, so a name that resolves differently the second
time gains nothing.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import httpcore
import httpx

from shadowgraph.core.errors import Forbidden

WEB_PORTS = frozenset({80, 443})
MAX_REDIRECTS = 3
CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 10.0
TOTAL_TIMEOUT_SECONDS = 20.0
"""Of one `fetch`, redirects and body included; a server that trickles is cut off here."""
MAX_BODY_BYTES = 2_000_000

_EMBEDDED_IPV4 = tuple(
    ipaddress.IPv6Network(network)
    for network in ("::ffff:0:0/96", "::/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16", "2001::/32")
)
"""IPv4-mapped, IPv4-compatible, NAT64 (two), 6to4, Teredo: a private address could hide in each."""

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""(host, port) → addresses."""


class BlockedAddress(Forbidden):
    """The URL leads somewhere that a stranger's URL must not reach."""

    code = "blocked_address"


@dataclass(frozen=True, slots=True)
class Fetched:
    status: int
    body: bytes


def is_public(address: str) -> bool:
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address) and any(parsed in network for network in _EMBEDDED_IPV4):
        return False
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


async def fetch(client: httpx.AsyncClient, url: str, *, max_bytes: int = MAX_BODY_BYTES) -> Fetched:
    """The body as sent, not decompressed: a small body cannot become a large one.

    Errors: `BlockedAddress`; `httpx.HTTPError` for what goes wrong on the way; `TimeoutError`.
    """
    require_web_url(url)
    body = bytearray()
    async with (
        asyncio.timeout(TOTAL_TIMEOUT_SECONDS),
        client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response,
    ):
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > max_bytes:
                raise BlockedAddress(f"the answer is longer than {max_bytes:,} bytes", code="response_too_large")
    return Fetched(response.status_code, bytes(body))


def require_web_url(url: str) -> None:
    """Errors: `BlockedAddress` for another scheme, credentials, or no URL at all."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise BlockedAddress("this is no URL") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise BlockedAddress("only http and https addresses are allowed")
    if parsed.userinfo:
        raise BlockedAddress("an address must not carry a user name or password")


def public_client(
    *,
    ports: Collection[int] = WEB_PORTS,
    resolve: Resolve | None = None,
    network: httpcore.AsyncNetworkBackend | None = None,
) -> httpx.AsyncClient:
    """Takes no proxy or certificate settings from the environment; the caller closes it."""
    backend = PublicBackend(network or httpcore.AnyIOBackend(), ports=ports, resolve=resolve or _resolve)
    return httpx.AsyncClient(
        transport=_PublicTransport(backend),
        trust_env=False,
        follow_redirects=True,
        max_redirects=MAX_REDIRECTS,
        timeout=httpx.Timeout(READ_TIMEOUT_SECONDS, connect=CONNECT_TIMEOUT_SECONDS),
    )


class _PublicTransport(httpx.AsyncHTTPTransport):
    """httpx takes no network backend of ours, so its pool is replaced by one that does."""

    def __init__(self, backend: httpcore.AsyncNetworkBackend) -> None:
        super().__init__(trust_env=False)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=httpx.create_ssl_context(trust_env=False), network_backend=backend
        )


class PublicBackend(httpcore.AsyncNetworkBackend):
    """Resolves once, refuses when any answer is not public, and connects to the checked address. Host header and TLS name stay those of the URL."""

    def __init__(self, network: httpcore.AsyncNetworkBackend, *, ports: Collection[int], resolve: Resolve) -> None:
        self._network = network
        self._ports = ports
        self._resolve = resolve

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's interface
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        if port not in self._ports:
            raise BlockedAddress(f"port {port} is not allowed")
        addresses = await self._resolve(host, port)
        if not addresses or not all(map(is_public, addresses)):
            raise BlockedAddress(f"{host} does not lead to a public address", host=host)
        return await self._network.connect_tcp(addresses[0], port, timeout, local_address, socket_options)

    async def connect_unix_socket(self, *_: Any, **__: Any) -> httpcore.AsyncNetworkStream:
        raise BlockedAddress("sockets of this machine are not allowed")

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


async def _resolve(host: str, port: int) -> Sequence[str]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise httpcore.ConnectError(f"{host} cannot be resolved") from error
    return [str(item[4][0]) for item in found]
