"""The clients and model objects of one provider: built once per event loop and target, because building costs more than asking."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Generic, TypeVar
from weakref import WeakKeyDictionary

import httpx
import orjson

from shadowgraph.llm.offline.calls import CALL_HEADER
from shadowgraph.llm.port import ErrorInAnswer

CONNECT_SECONDS = 5.0
"""No connection by then: the attempt fails."""
SILENT_SECONDS = 300.0
"""Only there for what nobody else ends: the gateway's limits come first."""
MAX_CONNECTIONS = 1_000
"""A call that waits for a free connection would look like a provider that does not answer."""
TIMEOUT = httpx.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS)

Model = TypeVar("Model")


@dataclass(frozen=True, slots=True)
class _Connection(Generic[Model]):
    """Belongs to one event loop."""

    client: Any
    models: dict[str, Model] = field(default_factory=dict)


class Connections(Generic[Model]):
    def __init__(self, build: Callable[[str, Any], Model], *, http: ModuleType = httpx) -> None:
        """`build` gets a model's name and the client. `http`: httpx, or its successor with the same names for a library that takes only that."""
        self._build = build
        self._http = http
        self._connections: WeakKeyDictionary[asyncio.AbstractEventLoop, _Connection[Model]] = WeakKeyDictionary()
        self._heard: dict[str, Mapping[str, str]] = {}

    def model(self, name: str) -> Model:
        loop = asyncio.get_running_loop()
        connection = self._connections.get(loop)
        if connection is None:
            connection = self._connections[loop] = _Connection(self._build_client())
        if name not in connection.models:
            connection.models[name] = self._build(name, connection.client)
        return connection.models[name]

    def take_headers(self, request_headers: Mapping[str, str]) -> Mapping[str, str]:
        """Of the response to the request with these headers. The libraries keep them to themselves, so the client listens."""
        return self._heard.pop(request_headers.get(CALL_HEADER, ""), {})

    async def close(self) -> None:
        """Closes the connections of the current event loop."""
        if connection := self._connections.pop(asyncio.get_running_loop(), None):
            await connection.client.aclose()

    def _build_client(self) -> Any:
        return self._http.AsyncClient(
            timeout=self._http.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS),
            limits=self._http.Limits(max_connections=MAX_CONNECTIONS),
            follow_redirects=True,
            event_hooks={"response": [self._hear]},
        )

    async def _hear(self, response: Any) -> None:
        """Errors: `ErrorInAnswer`."""
        if not response.is_success:
            return
        # No stream, though one was asked for.
        if response.headers.get("content-type", "").startswith("application/json"):
            await response.aread()
            _require_no_error(response.content)
        if call := response.request.headers.get(CALL_HEADER):
            self._heard[call] = response.headers


def _require_no_error(content: bytes) -> None:
    try:
        body = orjson.loads(content)
    except orjson.JSONDecodeError:
        return  # the library says what is wrong with it
    if isinstance(body, dict) and isinstance(error := body.get("error"), dict):
        raise ErrorInAnswer(error)
