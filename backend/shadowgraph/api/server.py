"""The process's HTTP server."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import uvicorn
from fastapi import FastAPI

from shadowgraph.api.services import ApiServices
from shadowgraph.core.errors import Unavailable

GRACE_SECONDS = 10
"""How long requests may take to end after a stop was asked for; then they are cut."""
START_POLL_SECONDS = 0.005
BACKLOG = 2048


class PortTaken(Unavailable):
    """Another program listens there."""

    code = "port_taken"


class HttpServer:
    def __init__(self, app: FastAPI, services: ApiServices) -> None:
        self._app = app
        self._stopping = services.stopping

    @asynccontextmanager
    async def listening(self, host: str, port: int) -> AsyncIterator[str]:
        """Answers while the block is open; gives the base URL. Port 0: any free one.

        Errors: `PortTaken`.
        """
        listener = bind(host, port)
        url = url_of(listener)
        server = _Server(_config(self._app))
        serving = asyncio.create_task(server.serve(sockets=[listener]), name="http server")
        try:
            await _until_started(server, serving)
            yield url
        finally:
            self._stopping.set()  # open event streams end, else the server would wait for them
            server.should_exit = True
            await serving


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the process, not to one of its parts."""
        yield


def bind(host: str, port: int) -> socket.socket:
    """Errors: `PortTaken`."""
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"cannot listen on {host}:{port}: {error.strerror}", hint="choose another one with --port", port=port
        ) from error
    listener.setblocking(False)
    return listener


def url_of(listener: socket.socket) -> str:
    """An address that this machine can open, also when the server listens on all of them."""
    host, port = listener.getsockname()[:2]
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{reachable}]:{port}" if ":" in reachable else f"http://{reachable}:{port}"


def _config(app: FastAPI) -> uvicorn.Config:
    """Logging stays as the process has set it up; WebSockets are not served; the parser is not whatever happens to be installed beside us."""
    return uvicorn.Config(
        app,
        http="h11",
        log_config=None,
        lifespan="off",
        ws="none",
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )


async def _until_started(server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    while not server.started:
        if serving.done():
            serving.result()
            raise PortTaken("the HTTP server ended while it started")
        await asyncio.sleep(START_POLL_SECONDS)
