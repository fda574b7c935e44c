"""The API around a database, in this process or behind a socket."""

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from httpx_sse import EventSource, ServerSentEvent
from sqlalchemy import func, insert, select

from shadowgraph.api.app import create_app
from shadowgraph.api.server import HttpServer
from shadowgraph.api.services import ApiServices, ReadinessCheck, StreamTimes
from shadowgraph.core.clock import SystemClock
from shadowgraph.core.settings import load_settings
from shadowgraph.db.engine import Database
from shadowgraph.models.runs import runs
from shadowgraph.models.workflows import workflows
from shadowgraph.queue.inprocess import InProcessWakeups
from tests.support.runs import CLOCK

V1 = "/api/v1"
LOCALHOST = "http://localhost"
ANSWER_SECONDS = 30.0
"""How long a test waits for an answer before it fails."""

QUERY_SCHEMA = {
    "type": "object",
    "properties": {"query": {"type": "string", "minLength": 1}},
    "required": ["query"],
    "additionalProperties": False,
}


@dataclass
class Nudges:
    """Counts how often the relay was told to look."""

    count: int = 0

    def __call__(self) -> None:
        self.count += 1


@dataclass
class ApiParts:
    database: Database
    home: Path
    wakeups: InProcessWakeups = field(default_factory=InProcessWakeups)
    nudges: Nudges = field(default_factory=Nudges)

    def services(
        self,
        *,
        checks: tuple[ReadinessCheck, ...] = (),
        times: StreamTimes | None = None,
        **settings: Any,
    ) -> ApiServices:
        return ApiServices(
            database=self.database,
            clock=SystemClock(),
            settings=load_settings({}, home=self.home, **settings).settings,
            wakeups=self.wakeups,
            nudge_relay=self.nudges,
            checks=checks,
            stream_times=times or StreamTimes(),
        )


def client_of(services: ApiServices, *, base_url: str = LOCALHOST) -> httpx.AsyncClient:
    """Speaks to the app without a socket."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(create_app(services)), base_url=base_url)


@asynccontextmanager
async def served(services: ApiServices) -> AsyncIterator[httpx.AsyncClient]:
    """A real server on a free loopback port, and a client of it."""
    async with (
        HttpServer(create_app(services), services).listening("127.0.0.1", 0) as url,
        httpx.AsyncClient(base_url=url, timeout=ANSWER_SECONDS) as client,
    ):
        yield client


@asynccontextmanager
async def open_events(
    client: httpx.AsyncClient, run_id: str, *, last_event_id: int | None = None, **params: Any
) -> AsyncIterator[AsyncIterator[ServerSentEvent]]:
    headers = {"Accept": "text/event-stream"} | ({} if last_event_id is None else {"Last-Event-ID": str(last_event_id)})
    async with client.stream("GET", f"{V1}/runs/{run_id}/events", headers=headers, params=params) as response:
        assert response.status_code == 200, await response.aread()
        yield aiter(EventSource(response).aiter_sse())


async def create(client: httpx.AsyncClient, query: str = "Build a snake game", **fields: Any) -> dict[str, Any]:
    """A new run, as the answer shows it."""
    response = await client.post(f"{V1}/runs", json={"query": query, **fields})
    assert response.status_code == 202, response.text
    return dict(response.json())


async def add_workflow(database: Database, name: str = "pipeline", schema: Mapping[str, Any] = QUERY_SCHEMA) -> None:
    """As a worker does that has loaded its project."""
    async with database.write() as connection:
        await connection.execute(
            insert(workflows).values(
                name=name,
                project="test",
                code_digest="0" * 64,
                input_schema=dict(schema),
                output_schema={},
                graph={"nodes": [{"name": "a"}], "edges": []},
                description=f"What {name} does.",
                seen_at=CLOCK.now(),
            )
        )


async def count_runs(database: Database) -> int:
    async with database.read() as connection:
        return await connection.scalar(select(func.count()).select_from(runs)) or 0


def require_problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem, when the response is this one in every respect that all problems share."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert problem["code"] == code, problem
    assert problem["status"] == status
    assert problem["type"] == f"/errors/{code}"
    assert problem["title"]
    assert problem["detail"]
    assert problem["request_id"] == response.headers["x-request-id"]
    assert problem["instance"].startswith("/")
    assert isinstance(problem["retryable"], bool)
    return problem


def pointers(problem: Mapping[str, Any]) -> Iterator[str]:
    return (place["pointer"] for place in problem["errors"])
