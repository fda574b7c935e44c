"""Worker processes below `up` and `worker`: what one of them does to itself, and what becomes of its runs."""

import os
import signal
import sys
import sysconfig
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import settings_for
from tests.support.deployments import Kind, list_events, list_steps, submit, wait_for_status
from tests.support.processes import BACKEND, Process, Stage, Zygote, free_port, read_state, stage
from tests.support.waiting import wait_until

UNRULY = Path(__file__).parents[1] / "projects" / "unruly"
BOTH = pytest.mark.parametrize("staged", ["embedded", "postgresql"], indirect=True)
EMBEDDED = pytest.mark.parametrize("staged", ["embedded"], indirect=True)
LONG_LEASE = "600"
"""Nothing is found out by a heartbeat within the time of a test."""


@asynccontextmanager
async def up(staged: tuple[Kind, Stage], *options: str, serves: str = "unruly", **env: str) -> AsyncIterator["Server"]:
    """With a workflow of that name at work."""
    process, url = await staged[1].start_server("up", *options, port=free_port(), **env)
    async with httpx.AsyncClient(base_url=url, timeout=70) as client:
        await wait_for_workflow(process, client, serves)
        yield Server(process, client)


async def wait_for_workflow(process: Process, client: httpx.AsyncClient, name: str) -> None:
    async def is_served() -> bool:
        assert process.is_alive, process.tail()
        with suppress(httpx.TransportError):
            return (await client.get(f"/workflows/{name}")).is_success
        return False

    await wait_until(is_served, timeout_seconds=60, what=f"{name} to be served")


class Server:
    def __init__(self, process: Process, client: httpx.AsyncClient) -> None:
        self.process = process
        self.client = client

    async def submit(self, **state: Any) -> str:
        return await submit(self.client, {"workflow": "unruly", "input": state})

    async def run(self, **state: Any) -> dict[str, Any]:
        return await wait_for_status(self.client, await self.submit(**state))

    async def causes(self, run_id: str) -> list[str]:
        """Why it was taken from its workers, in order."""
        events = await list_events(self.client, run_id)
        return [event["data"]["cause"] for event in events if "cause" in event["data"]]


def pid_in(path: Path) -> int | None:
    return int(path.read_text()) if path.exists() and path.read_text() else None


async def wait_for_pid(path: Path) -> int:
    return await wait_until(lambda: pid_in(path), timeout_seconds=30, what="the node to begin")


async def wait_for_end(pid: int) -> None:
    await wait_until(lambda: read_state(pid) in ("", "Z"), timeout_seconds=30, what=f"process {pid} to end")


@BOTH
async def test_a_node_that_ends_its_process_fails_its_run_and_the_next_is_served(staged: tuple[Kind, Stage]) -> None:
    async with up(staged, "--project", str(UNRULY)) as server:
        lost = await server.run(does="exit")
        fine = await server.run()
        causes = await server.causes(lost["id"])

        assert server.process.is_alive
    assert (lost["status"], lost["error"]["code"]) == ("FAILED", "worker_lost")
    assert "exit code 7" in lost["error"]["detail"]
    assert causes == ["exit code 7"] * 2
    assert fine["status"] == "COMPLETED"


@BOTH
async def test_the_run_of_a_killed_process_goes_on_in_another(staged: tuple[Kind, Stage], tmp_path: Path) -> None:
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    async with up(staged, "--project", str(UNRULY), "--workers", "2") as server:
        run_id = await server.submit(does="hold", until=str(gate), pid_file=str(begun))
        killed = await wait_for_pid(begun)

        begun.unlink()
        os.kill(killed, signal.SIGKILL)

        heir = await wait_for_pid(begun)
        gate.touch()
        run = await wait_for_status(server.client, run_id)
        causes = await server.causes(run_id)
    assert heir not in (killed, server.process.pid)
    assert (run["status"], run["result"]["output"]["pid"]) == ("COMPLETED", heir)
    assert causes == ["killed by signal 9 (SIGKILL)"]


@BOTH
async def test_a_process_that_holds_the_interpreter_is_replaced(staged: tuple[Kind, Stage], tmp_path: Path) -> None:
    async with up(staged, "--project", str(UNRULY), LEASE_SECONDS="4") as server:
        run_id = await server.submit(does="block", once=str(tmp_path / "once"))
        await wait_until(lambda: (tmp_path / "once").exists(), timeout_seconds=30, what="the node to block")
        other = await submit(server.client, {"query": "Build a snake game"})
        run = await wait_for_status(server.client, run_id)
        neighbour = await wait_for_status(server.client, other)
        [cause] = await server.causes(run_id)

    assert (run["status"], neighbour["status"]) == ("COMPLETED", "COMPLETED")
    assert cause.startswith("no sign of life for 3 s")


@EMBEDDED
async def test_a_process_that_takes_too_much_memory_is_replaced(staged: tuple[Kind, Stage], tmp_path: Path) -> None:
    async with up(staged, "--project", str(UNRULY), "--memory-limit", "512") as server:
        run_id = await server.submit(does="eat", megabytes=600, once=str(tmp_path / "once"))
        run = await wait_for_status(server.client, run_id)
        causes = await server.causes(run_id)

    assert run["status"] == "COMPLETED"
    assert causes == ["more than 512 MB of memory"]


@EMBEDDED
async def test_one_huge_allocation_fails_in_its_node(staged: tuple[Kind, Stage]) -> None:
    async with up(staged, "--project", str(UNRULY), "--memory-limit", "256") as server:
        run = await server.run(does="eat", megabytes=64_000)
        causes = await server.causes(run["id"])

    assert run["status"] == "FAILED"
    assert "MemoryError" in str(run["error"])
    assert causes == []


@EMBEDDED
async def test_worker_processes_end_with_a_killed_parent(staged: tuple[Kind, Stage], tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    async with up(staged, "--project", str(UNRULY)) as server:
        await server.submit(does="hold", until=str(tmp_path / "never"), pid_file=str(begun))
        child = await wait_for_pid(begun)

        server.process.kill()

        await wait_for_end(child)


@BOTH
async def test_a_stop_lets_worker_processes_drain(staged: tuple[Kind, Stage], tmp_path: Path) -> None:
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    async with up(staged, "--project", str(UNRULY)) as server:
        run_id = await server.submit(does="hold", until=str(gate), pid_file=str(begun))
        child = await wait_for_pid(begun)
        server.process.terminate()
        await wait_until(lambda: "asked to stop" in server.process.output(), what="the child to be asked")
        gate.touch()
        await server.process.wait_for_end()

        assert read_state(child) in ("", "Z")
    async with up(staged, "--project", str(UNRULY)) as again:
        run = await wait_for_status(again.client, run_id)
        causes, steps = await again.causes(run_id), await list_steps(again.client, run_id)
    assert run["status"] == "COMPLETED"
    assert causes == []
    assert [(step["node"], step["status"]) for step in steps] == [("trouble", "finished"), ("tell", "finished")]


@BOTH
async def test_jobs_wishes_and_live_text_cross_at_once(staged: tuple[Kind, Stage], tmp_path: Path) -> None:
    slow = "latency_ms=50"
    async with up(
        staged, "--project", str(UNRULY), "--workers", "1", LEASE_SECONDS=LONG_LEASE, OFFLINE_MODEL=slow
    ) as s:
        await wait_for_workflow(s.process, s.client, "pipeline")
        held = await s.submit(does="hold", until=str(tmp_path / "never"), pid_file=str(tmp_path / "begun"))
        assert await wait_for_pid(tmp_path / "begun") != s.process.pid

        await s.client.post(f"/runs/{held}/cancel")
        cancelled = await wait_for_status(s.client, held, timeout_seconds=20)
        spoken = await submit(s.client, {"query": "Build a snake game"})
        live = await find_event(s.client, spoken, "output.live")

    assert cancelled["status"] == "CANCELLED"
    assert live


async def find_event(client: httpx.AsyncClient, run_id: str, kind: str) -> bool:
    """In the stream of the run, before its end."""
    async with client.stream("GET", f"/runs/{run_id}/events") as answer:
        async for line in answer.aiter_lines():
            if line == f"event: {kind}":
                return True
    return False


@EMBEDDED
async def test_a_project_that_is_mended_is_served(staged: tuple[Kind, Stage], tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "langgraph.json").write_text((UNRULY / "langgraph.json").read_text())
    (mine / "graph.py").write_text("import no_such_module\n")
    async with up(staged, "--project", str(mine), serves="pipeline") as server:
        await wait_until(lambda: "tried again" in server.process.output(), timeout_seconds=30, what="the refusal")

        (mine / "graph.py").write_text((UNRULY / "graph.py").read_text())

        await wait_for_workflow(server.process, server.client, "unruly")
        run = await server.run()
        said = server.process.output()
    assert run["status"] == "COMPLETED"
    assert said.count("No module named 'no_such_module'") == 1
    assert "[mine]   graph.py:1" in said


@EMBEDDED
async def test_the_project_in_whose_folder_it_is_typed_is_served(
    staged: tuple[Kind, Stage], zygote: Zygote, tmp_path: Path
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    for file in UNRULY.glob("*.*"):
        (here / file.name).write_text(file.read_text())
    with stage(zygote, here, **settings_of(staged)) as prepared:
        async with up(("embedded", prepared)) as server:
            run = await server.run()

        assert run["status"] == "COMPLETED"
        assert run["result"]["output"]["pid"] != server.process.pid


def settings_of(staged: tuple[Kind, Stage]) -> dict[str, str]:
    return {name: value for name, value in staged[1].env.items() if name in ("LEASE_SECONDS", "PRESENCE_GRACE_S")}


@pytest.mark.parametrize("staged", ["postgresql"], indirect=True)
async def test_a_process_for_each_slot(staged: tuple[Kind, Stage], tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    _, url = await staged[1].start_server("api", port=free_port())
    options = ("--project", str(UNRULY), "--isolation", "process", "--slots", "2")
    worker = staged[1].start("worker", *options)
    async with httpx.AsyncClient(base_url=url, timeout=70) as client:
        await wait_for_workflow(worker, client, "unruly")
        server = Server(worker, client)
        begun = [tmp_path / "a", tmp_path / "b"]
        runs = [await server.submit(does="hold", until=str(gate), pid_file=str(path)) for path in begun]

        pids = {await wait_for_pid(path) for path in begun}

        gate.touch()
        ended = [await wait_for_status(client, run_id) for run_id in runs]
    assert len(pids - {worker.pid}) == 2
    assert {run["status"] for run in ended} == {"COMPLETED"}


VERSIONED = """
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

import tinydep

class State(TypedDict, total=False):
    version: str

builder = StateGraph(State)
builder.add_node("tell", lambda state: {"version": tinydep.VERSION})
builder.add_edge(START, "tell")
builder.add_edge("tell", END)
graph = builder.compile()
"""


def write_versioned(folder: Path, version: str) -> Path:
    """A project with an environment of its own: all of ours, and a package in that version."""
    folder.mkdir()
    (folder / "langgraph.json").write_text(
        f'{{"dependencies": ["."], "graphs": {{"{folder.name}": "./graph.py:graph"}}}}'
    )
    (folder / "graph.py").write_text(VERSIONED)
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(Path(sys.executable).resolve())
    (folder / ".venv" / "pyvenv.cfg").write_text(f"home = {Path(sys.executable).resolve().parent}\n")
    site = folder / ".venv" / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
    site.mkdir(parents=True)
    (site / "tinydep.py").write_text(f'VERSION = "{version}"\n')
    (site / "shared.pth").write_text(f"{sysconfig.get_path('purelib')}\n{BACKEND}\n")
    return folder


@pytest.fixture
def brokered(request: pytest.FixtureRequest, zygote: Zygote, tmp_path: Path) -> Iterator[tuple[Kind, Stage]]:
    with stage(zygote, tmp_path, **settings_for("distributed", request)) as prepared:
        yield "distributed", prepared


async def test_projects_with_conflicting_packages_run_side_by_side(
    brokered: tuple[Kind, Stage], tmp_path: Path
) -> None:
    older, newer = write_versioned(tmp_path / "older", "1.0"), write_versioned(tmp_path / "newer", "2.0")
    async with up(brokered, "--project", str(older), "--project", str(newer), serves="older") as server:
        await wait_for_workflow(server.process, server.client, "newer")
        runs = [
            await wait_for_status(server.client, await submit(server.client, {"workflow": name, "input": {}}))
            for name in ("older", "newer")
        ]

    assert [run["result"]["output"]["version"] for run in runs] == ["1.0", "2.0"]
