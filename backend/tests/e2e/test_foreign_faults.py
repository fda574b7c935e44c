"""Projects that misbehave in every way that a project can, on one server with one that does not: each is told what is wrong or meets a
limit, and runs of the other project go on meanwhile."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos.matrix import whole_matrix
from tests.e2e.conftest import settings_apart
from tests.support.deployments import Kind, list_events, list_steps, submit, wait_for_status
from tests.support.processes import Process, Stage, Zygote, free_port, stage
from tests.support.projects import write_project
from tests.support.waiting import wait_until

SHAPES = Path(__file__).parents[1] / "projects" / "shapes"
UNRULY = Path(__file__).parents[1] / "projects" / "unruly"
BROKEN = "x = 1\nimport no_such_module\n"
HANGING = "import threading\n\nthreading.Event().wait()\n"
LIMITS = {"LEASE_SECONDS": "4", "BLOCKED_SECONDS": "4", "PROJECT_LOAD_SECONDS": "10", "PRESENCE_GRACE_S": "0"}
"""A process is silent for too long after three quarters of a lease."""

pytestmark = [whole_matrix, pytest.mark.timeout(180)]
KINDS = [pytest.param(kind, marks=pytest.mark.xdist_group(f"faults-{kind}")) for kind in ("embedded", "distributed")]


@dataclass(frozen=True, slots=True)
class Shared:
    """A server for all tests of a kind."""

    kind: Kind
    url: str
    process: Process
    """The one that has the worker processes."""


@pytest.fixture(scope="module", params=KINDS)
def shared(
    request: pytest.FixtureRequest, zygote: Zygote, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shared]:
    folder = tmp_path_factory.mktemp("faults")
    projects = {
        "shapes": shutil.copytree(SHAPES, folder / "shapes"),
        "unruly": shutil.copytree(UNRULY, folder / "unruly"),
        "broken": write_project(folder / "broken", {"agent.py": BROKEN}),
        "hanging": write_project(folder / "hanging", {"agent.py": HANGING}),
    }
    options = [option for path in projects.values() for option in ("--project", str(path))]
    with (
        settings_apart(request.param, request) as settings,
        stage(zygote, folder, **{**settings, **LIMITS}) as prepared,
    ):
        yield asyncio.run(_start(request.param, prepared, options))


async def _start(kind: Kind, prepared: Stage, options: list[str]) -> Shared:
    if kind == "embedded":
        process, url = await prepared.start_server("up", *options, port=free_port())
        return Shared(kind, url, process)
    _, url = await prepared.start_server("api", port=free_port())
    return Shared(kind, url, prepared.start("worker", "--isolation", "project", *options))


@asynccontextmanager
async def client_of(shared: Shared) -> AsyncIterator[httpx.AsyncClient]:
    """Once both projects that work are served."""
    async with httpx.AsyncClient(base_url=shared.url, timeout=70) as client:

        async def are_served() -> bool:
            assert shared.process.is_alive, shared.process.tail()
            with suppress(httpx.TransportError):
                return all([(await client.get(f"/workflows/{name}")).is_success for name in ("shapes", "unruly")])
            return False

        await wait_until(are_served, timeout_seconds=60, what="shapes and unruly to be served")
        yield client


async def expect_others_go_on(client: httpx.AsyncClient) -> None:
    run_id = await submit(client, {"workflow": "shapes", "input": {"items": ["a", "b"], "rounds": 1}})
    run = await wait_for_status(client, run_id)
    assert run["status"] == "COMPLETED", run["error"]


async def misbehave(client: httpx.AsyncClient, folder: Path, *, time_limit: float | None = None, **state: Any) -> str:
    """A run whose first node has begun."""
    begun = folder / "begun"
    body = {"workflow": "unruly", "input": {**state, "pid_file": str(begun)}, "timeout_s": time_limit}
    run_id = await submit(client, {name: value for name, value in body.items() if value is not None})
    await wait_until(begun.exists, timeout_seconds=60, what="the node to begin")
    return run_id


async def require_unfinished(client: httpx.AsyncClient, run_id: str) -> None:
    run = (await client.get(f"/runs/{run_id}")).json()
    assert run["status"] in ("QUEUED", "RUNNING"), run


async def test_projects_that_cannot_be_imported_are_told_with_their_lines(shared: Shared) -> None:
    async with client_of(shared) as client:
        await expect_others_go_on(client)

        async def find_broken() -> dict[str, Any] | None:
            listed = (await client.get("/workflows")).json()["broken_projects"]
            found = {item["project"]: item for item in listed}
            return found if found.keys() == {"broken", "hanging"} else None

        found = await wait_until(find_broken, timeout_seconds=60, what="both projects to be refused")
        await expect_others_go_on(client)
        refused = await client.post("/runs", json={"workflow": "agent", "input": {}})

    assert "No module named 'no_such_module'" in found["broken"]["message"]
    assert found["broken"]["errors"] == [{"pointer": "agent.py:2", "detail": "import no_such_module"}]
    assert found["hanging"]["message"] == "its code has not been imported after 10 s"
    assert found["hanging"]["errors"] == [{"pointer": "agent.py:3", "detail": "threading.Event().wait()"}]
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_workflow")


async def test_a_graph_that_loops_for_ever_meets_the_limit_of_steps(shared: Shared, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with client_of(shared) as client:
        run_id = await misbehave(client, tmp_path, does="loop", until=str(gate))
        await wait_until_looping(client, run_id)
        await expect_others_go_on(client)
        await require_unfinished(client, run_id)
        gate.touch()
        run = await wait_for_status(client, run_id)
        await expect_others_go_on(client)

    assert (run["status"], run["error"]["code"]) == ("FAILED", "step_limit")
    assert run["error"]["detail"].startswith("the graph made 100 supersteps without reaching its end")


async def wait_until_looping(client: httpx.AsyncClient, run_id: str) -> None:
    async def has_come_round() -> bool:
        return len(await list_steps(client, run_id)) >= 10

    await wait_until(has_come_round, timeout_seconds=60, what="the graph to loop")


async def test_a_sync_node_without_an_end_meets_the_time_limit(shared: Shared, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with client_of(shared) as client:
        run_id = await misbehave(client, tmp_path, does="work", until=str(gate), time_limit=8)
        await expect_others_go_on(client)
        run = await wait_for_status(client, run_id)
        same_process = await wait_for_status(client, await submit(client, {"workflow": "unruly", "input": {}}))
        gate.touch()

    assert (run["status"], run["error"]["code"]) == ("FAILED", "deadline")
    assert same_process["status"] == "COMPLETED"


@pytest.mark.parametrize(
    ("does", "cause"),
    [
        pytest.param("block", "no sign of life for 3 s", id="C code holds the interpreter for 60 s"),
        pytest.param("spin", "a node held its event loop for 4 s", id="async code never waits"),
    ],
)
async def test_a_node_that_lets_nothing_else_happen_loses_its_process(
    shared: Shared, tmp_path: Path, does: str, cause: str
) -> None:
    async with client_of(shared) as client:
        run_id = await misbehave(client, tmp_path, does=does, until=str(tmp_path / "never"))
        await expect_others_go_on(client)
        await require_unfinished(client, run_id)
        run = await wait_for_status(client, run_id, timeout_seconds=120)
        causes = [event["data"]["cause"] for event in await list_events(client, run_id) if "cause" in event["data"]]
        await expect_others_go_on(client)

    assert (run["status"], run["error"]["code"]) == ("FAILED", "worker_lost")
    assert f"3 times in a row (3 in all); the last time: {cause}" in run["error"]["detail"]
    assert [said.startswith(cause) for said in causes] == [True, True]


async def test_a_state_of_50_megabytes_is_refused(shared: Shared, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    async with client_of(shared) as client:
        run_id = await misbehave(client, tmp_path, does="huge", megabytes=50, until=str(gate))
        await expect_others_go_on(client)
        await require_unfinished(client, run_id)
        gate.touch()
        await expect_others_go_on(client)
        run = await wait_for_status(client, run_id)
        again = await wait_for_status(client, await submit(client, {"workflow": "unruly", "input": {}}))

    assert (run["status"], run["error"]["code"]) == ("FAILED", "state_too_large")
    assert "5000000" in run["error"]["detail"].replace(",", "")
    assert again["status"] == "COMPLETED"
