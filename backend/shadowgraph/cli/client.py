"""The HTTP API, as the commands need it."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import quote

import httpx
from httpx_sse import EventSource

from shadowgraph.cli.exits import exit_of_http
from shadowgraph.cli.problem import CommandFailed, Problem, usage
from shadowgraph.cli.server import unreachable
from shadowgraph.core.settings import is_loopback_host

TIMEOUT = httpx.Timeout(30.0, connect=5.0)
STREAM_TIMEOUT = httpx.Timeout(45.0, connect=5.0)
"""The server sends a ping every 15 s; a stream that is silent for longer is dead."""
UNTIL_DONE = httpx.Timeout(None, connect=5.0)
"""For work that is done when the answer comes."""

API = "/api/v1"
Json = dict[str, Any]


class Client:
    """Raises `CommandFailed` for every refused request, with the server's own problem document."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http

    @property
    def url(self) -> str:
        return str(self._http.base_url).rstrip("/")

    async def get(self, path: str, **params: Any) -> Json:
        return await self._json("GET", path, params=_given(params))

    async def post(self, path: str, body: object | None = None, **params: Any) -> Json:
        return await self._json("POST", path, json=body, params=_given(params))

    async def put(self, path: str, body: object) -> Json:
        return await self._json("PUT", path, json=body)

    async def delete(self, path: str, **params: Any) -> Json:
        return await self._json("DELETE", path, params=_given(params))

    async def patch(self, path: str, body: object) -> Json:
        return await self._json("PATCH", path, json=body)

    async def upload(self, path: str, archive: bytes, **params: Any) -> tuple[Json, bool]:
        """What became of it; False when it was there already."""
        headers = {"content-type": "application/zip"}
        response = await self._send("POST", f"{API}{path}", content=archive, headers=headers, params=_given(params))
        return response.json(), response.status_code == httpx.codes.CREATED

    async def get_bytes(self, path: str, **params: Any) -> bytes:
        return (await self._send("GET", f"{API}{path}", params=_given(params))).content

    async def get_run(self, run_id: str) -> Json:
        return await self.get(f"/runs/{segment(run_id)}")

    async def list_all(self, path: str, **params: Any) -> list[Json]:
        """The items of every page."""
        items: list[Json] = []
        cursor: str | None = None
        while True:
            page = await self.get(path, cursor=cursor, **params)
            items += page["items"]
            cursor = page.get("next_cursor")
            if cursor is None:
                return items

    @asynccontextmanager
    async def raw(self, method: str, path: str, *, body: bytes | None = None) -> AsyncIterator[httpx.Response]:
        """Any request at all; its body can be read as it comes. A refused one raises."""
        headers = {"content-type": "application/json"} if body is not None else {}
        with self._translated():
            async with self._http.stream(
                method, path, content=body, headers=headers, timeout=STREAM_TIMEOUT
            ) as response:
                if not response.is_success:
                    await response.aread()
                    raise refusal(response)
                yield response

    @asynccontextmanager
    async def events(self, run_id: str, *, last_event_id: str | None) -> AsyncIterator[EventSource | None]:
        """The run's event stream; None when it has ended and everything was read. Broken streams raise `httpx.TransportError`."""
        headers = {"accept": "text/event-stream", **({"last-event-id": last_event_id} if last_event_id else {})}
        async with self._http.stream(
            "GET", f"{API}/runs/{segment(run_id)}/events", headers=headers, timeout=STREAM_TIMEOUT
        ) as response:
            if response.status_code == httpx.codes.NO_CONTENT:
                yield None
                return
            if not response.is_success:
                await response.aread()
                raise refusal(response)
            yield EventSource(response)

    async def _json(self, method: str, path: str, **options: Any) -> Json:
        answer: Json = (await self._send(method, f"{API}{path}", **options)).json()
        return answer

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        with self._translated():
            response = await self._http.request(method, path, **options)
        if not response.is_success:
            raise refusal(response)
        return response

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise usage(f"{self.url} is not an address: {error}", hint="use http://host:port") from error
        except httpx.TransportError as error:
            raise unreachable(self.url, error) from error


@asynccontextmanager
async def connect(url: str, *, patience: httpx.Timeout = TIMEOUT) -> AsyncIterator[Client]:
    """A proxy of the environment is not asked for this machine's own addresses."""
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise usage(f"{url!r} is not an address: {error}", hint="use http://host:port") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise usage(f"{url!r} is not an address", hint="use http://host:port")
    async with httpx.AsyncClient(
        base_url=parsed, timeout=patience, trust_env=not is_loopback_host(parsed.host)
    ) as http:
        yield Client(http)


def segment(text: str) -> str:
    """One part of a path, whatever is in it."""
    return quote(text, safe="")


def refusal(response: httpx.Response) -> CommandFailed:
    return CommandFailed(_problem_of(response), exit_of_http(response.status_code))


def _problem_of(response: httpx.Response) -> Problem:
    """The server's problem document; something that stands between us and it may answer otherwise."""
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if isinstance(problem, dict) and ("detail" in problem or "title" in problem):
        return problem
    reason = f"HTTP {response.status_code} {response.reason_phrase}".strip()
    return {
        "type": "about:blank",
        "title": reason,
        "status": response.status_code,
        "detail": f"{reason} from {response.url}",
        "code": "unexpected_answer",
    }


def _given(params: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if value not in (None, [], ())}
