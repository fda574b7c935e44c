"""A deployment to be hurt: API, workers and the provider as real processes, looked at from outside."""

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from tests.chaos.records import Observer, Record
from tests.support.deployments import ENDED, offline_face
from tests.support.processes import Process, Stage, free_port
from tests.support.waiting import wait_until

FAULTS = Path(__file__).parents[1] / "projects" / "faults"
SHAPES = Path(__file__).parents[1] / "projects" / "shapes"
PROJECTS = ("--project", str(FAULTS), "--project", str(SHAPES))

LEAST_CALLS = Counter({"researcher": 1, "planner": 1, "executor": 1, "coder": 2, "finalizer": 1})
"""What an undisturbed run of the project `faults` asks the provider."""

ITEMS, ROUNDS = ("a", "b", "c"), 2
FAN_OUT_CALLS = Counter({"many": 1, "work": len(ITEMS) * ROUNDS})
"""What an undisturbed run of the project `shapes` asks, with that input."""

START_SECONDS = 30.0


def fan_out_request() -> dict[str, Any]:
    return {"workflow": "shapes", "input": {"items": ITEMS, "rounds": ROUNDS}}


@dataclass(slots=True)
class Worker:
    process: Process
    id: str


@dataclass(frozen=True, slots=True)
class Gate:
    """Where a run stands still until the test lets it go on."""

    path: Path
    node: str
    when: str

    @property
    def trouble(self) -> dict[str, Any]:
        return {"node": self.node, "does": "hold", "when": self.when, "until": str(self.path)}

    def open(self) -> None:
        self.path.touch()

    def close(self) -> None:
        self.path.unlink()


@dataclass(slots=True)
class World:
    stage: Stage
    observer: Observer
    face: httpx.AsyncClient
    """The provider; what it was asked stands at `/calls`."""
    port: int = field(default_factory=free_port)
    api: Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start_api(self, **env: str) -> Process:
        self.api, _ = await self.stage.start_server("api", port=self.port, **env)
        return self.api

    def begin_worker(self, *options: str, **env: str) -> Process:
        """Under way, perhaps with a failpoint that ends it before it is ready."""
        return self.stage.start("worker", *PROJECTS, *options, **env)

    async def start_embedded(self, **env: str) -> Process:
        """API and worker in one process, which answers before its worker is ready."""
        here = ("--isolation", "none")
        self.api, _ = await self.stage.start_server("up", *PROJECTS, *here, port=self.port, **env)
        return self.api

    async def start_worker(self, *options: str, **env: str) -> Worker:
        """Registered and looking for work."""
        process = self.begin_worker(*options, **env)

        def find_id() -> str | None:
            assert process.is_alive, process.tail()
            ready = [line for line in process.output().splitlines() if line.startswith("worker wrk_")]
            return ready[0].split()[1].rstrip(":") if ready else None

        worker_id = await wait_until(find_id, timeout_seconds=START_SECONDS, what="the worker to be ready")
        return Worker(process, worker_id)

    def hold(self, node: str, *, when: str = "first", name: str = "gate") -> "Gate":
        return Gate(self.stage.folder / name, node, when)

    # --- from outside, over HTTP --------------------------------------------------------------------------------------------

    async def submit(self, query: str = "lighthouses", *, trouble: Mapping[str, Any] | None = None, **body: Any) -> str:
        value = {"query": query, **({"trouble": dict(trouble)} if trouble else {})}
        return await self._submit({"workflow": "faults", "input": value, **body})

    async def submit_fan_out(self) -> str:
        return await self._submit(fan_out_request())

    async def _submit(self, body: Mapping[str, Any]) -> str:
        answer = await self.post("/runs", body)
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])

    async def post(self, path: str, body: Any = None) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url, timeout=30) as client:
            return await client.post(path, json=body)

    async def put(self, path: str, body: Any) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url, timeout=30) as client:
            return await client.put(path, json=body)

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url, timeout=30) as client:
            return await client.get(path)

    async def calls(self, run_id: str) -> Counter[str]:
        """Requests for this run that reached the provider, by node."""
        return Counter(call["node"] for call in await self.list_calls(run_id))

    async def list_calls(self, run_id: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await self.face.get("/calls")).json()
        return [call for call in items if call["run_id"] == run_id]

    # --- waiting ------------------------------------------------------------------------------------------------------------

    async def until_status(self, run_id: str, *statuses: str, timeout_seconds: float = 60) -> Record:
        """All of the run as soon as it has ended, or is in one of these states. An outage of the database is waited out."""
        wanted = statuses or ENDED

        def reached() -> bool:
            with suppress(Exception):
                return self.observer.run(run_id)["status"] in wanted
            return False

        what = f"run {run_id} to be {' or '.join(wanted)}"
        try:
            await wait_until(reached, timeout_seconds=timeout_seconds, what=what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self._logs()}") from None
        return self.observer.record(run_id)

    async def until_in_node(self, run_id: str, node: str) -> None:
        """Its step is under way."""
        await self._until_row(
            "SELECT 1 FROM steps WHERE run_id = :id AND node = :what AND status = 'running'", run_id, node
        )

    async def until_event(self, run_id: str, kind: str, *, count: int = 1) -> None:
        await self._until_row(
            f"SELECT 1 FROM events WHERE run_id = :id AND type = :what HAVING count(*) >= {count}", run_id, kind
        )

    async def until_asked(self, run_id: str, node: str, *, count: int = 1) -> None:
        """The provider has the request and has not answered it."""

        async def is_asked() -> bool:
            under_way = [call for call in await self.list_calls(run_id) if call["outcome"] == "under_way"]
            return Counter(call["node"] for call in under_way)[node] >= count

        await wait_until(is_asked, timeout_seconds=30, what=f"{node} to ask the provider")

    async def _until_row(self, statement: str, run_id: str, what: str) -> None:
        await wait_until(
            lambda: self.observer.rows(statement, id=run_id, what=what),
            timeout_seconds=40,
            what=f"{run_id}: {what}\n{self._logs()}",
        )

    def _logs(self) -> str:
        logs = sorted(self.stage.folder.glob("*.log"))
        return "\n".join(f"--- {log.name}\n{log.read_text()[-1500:]}" for log in logs)


@asynccontextmanager
async def open_world(
    stage: Stage, database_url: str, *, knobs: str = "", observe: str | None = None
) -> AsyncIterator[World]:
    """The provider runs; API and workers are for the test to start. `observe`: where to look, when processes go by another way."""
    settled = stage.with_env(DATABASE_URL=database_url, LOG_FORMAT="plain")
    async with offline_face(settled.with_env(OFFLINE_MODEL=knobs)) as face:
        billed = settled.with_env(GROQ_API_KEY="any", GROQ_BASE_URL=str(face.base_url))
        yield World(billed, Observer(observe or database_url), face)
