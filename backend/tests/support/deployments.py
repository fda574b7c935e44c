"""Shadowgraph as users run it, in each supported shape, on a database of its own."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import httpx

from tests.support.processes import Process, Stage, free_port
from tests.support.waiting import HTTP_POLL_SECONDS, wait_until

Kind = Literal["embedded", "postgresql", "distributed"]
ENDED = ("COMPLETED", "FAILED", "CANCELLED")
FAST_RECOVERY = {"LEASE_SECONDS": "3", "PRESENCE_GRACE_S": "0"}
RUN_SECONDS = 60.0


@dataclass(slots=True)
class Deployment:
    """`up` alone, or an `api` and a `worker` process."""

    kind: Kind
    stage: Stage
    port: int = field(default_factory=free_port)
    projects: Sequence[Path] = ()
    """Beside the built-in one."""
    url: str = ""
    worker: Process | None = None
    """The process that drives runs: `up` itself when embedded."""

    async def start(self, **worker_env: str) -> None:
        """`worker_env`: only for the process that drives runs."""
        if self.kind == "embedded":
            await self.start_worker(**worker_env)
            return
        _, self.url = await self.stage.start_server("api", port=self.port)
        await self.start_worker(**worker_env)

    async def start_worker(self, **env: str) -> Process:
        """The process that drives runs; when embedded, all of it, at the same address as before."""
        projects = [option for project in self.projects for option in ("--project", str(project))]
        if self.kind == "embedded":
            here = ("--isolation", "none")  # so that this process is the one that drives the runs
            self.worker, self.url = await self.stage.start_server("up", *projects, *here, port=self.port, **env)
        else:
            self.worker = self.stage.start("worker", *projects, **env)
        return self.worker

    def client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.url, timeout=70)


async def submit(client: httpx.AsyncClient, body: Mapping[str, Any]) -> str:
    answer = await client.post("/runs", json=dict(body))
    assert answer.status_code == 202, answer.text
    run_id: str = answer.json()["id"]
    return run_id


async def wait_for_status(
    client: httpx.AsyncClient, run_id: str, *statuses: str, timeout_seconds: float = RUN_SECONDS
) -> dict[str, Any]:
    """The run as soon as it is in one of these states; ended unless others are named."""
    wanted = statuses or ENDED

    async def reached() -> dict[str, Any] | None:
        run: dict[str, Any] = (await client.get(f"/runs/{run_id}")).json()
        return run if run["status"] in wanted else None

    found: dict[str, Any] = await wait_until(
        reached,
        timeout_seconds=timeout_seconds,
        what=f"run {run_id} to be {' or '.join(wanted)}",
        every_seconds=HTTP_POLL_SECONDS,
    )
    return found


async def list_events(client: httpx.AsyncClient, run_id: str) -> list[dict[str, Any]]:
    answer = await client.get(f"/runs/{run_id}/events", headers={"Accept": "application/json"})
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


async def list_steps(client: httpx.AsyncClient, run_id: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = (await client.get(f"/runs/{run_id}/steps")).json()["items"]
    return items


@asynccontextmanager
async def offline_face(stage: Stage) -> AsyncIterator[httpx.AsyncClient]:
    """The HTTP face of the demo model: what it was asked stands at `/calls`."""
    _, url = await stage.start_server("offline-server", port=free_port())
    async with httpx.AsyncClient(base_url=url) as client:
        yield client
