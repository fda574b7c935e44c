"""The offline model's HTTP face on a real port, in a thread of the test's own."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from shadowgraph.api.offline_server import HOST, create_offline_app
from shadowgraph.api.server import bind, url_of
from shadowgraph.llm.offline.knobs import parse_knobs

STOP_SECONDS = 10


class Gate:
    """Lets requests to the model pass, or keeps them waiting."""

    def __init__(self) -> None:
        self._is_open = threading.Event()
        self._is_open.set()

    @contextmanager
    def closed(self) -> Iterator[None]:
        self._is_open.clear()
        try:
            yield
        finally:
            self._is_open.set()

    def guarding(self, app: ASGIApp) -> ASGIApp:
        async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
            while scope["method"] == "POST" and not self._is_open.is_set():  # noqa: ASYNC110  another thread opens it
                await asyncio.sleep(0.02)
            await app(scope, receive, send)

        return guarded


@contextmanager
def offline_server(knobs: str = "", *, gate: Gate | None = None) -> Iterator[str]:
    """Gives the base URL, without the API's path."""
    listener = bind(HOST, 0)
    app = (gate or Gate()).guarding(create_offline_app(parse_knobs(knobs)))
    config = uvicorn.Config(app, log_config=None, lifespan="off", access_log=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name="offline server")
    thread.start()  # the socket listens already: a request that comes early waits
    try:
        yield url_of(listener)
    finally:
        server.should_exit = True
        thread.join(STOP_SECONDS)
        assert not thread.is_alive()
