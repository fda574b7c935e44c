"""The main job over HTTP, in every supported shape."""

import io
import zipfile
from typing import Any

import pytest

from tests.support.deployments import Deployment, Kind, list_events, list_steps, offline_face, submit, wait_for_status
from tests.support.processes import Stage

AGENTS = ["researcher", "planner", "executor", "coder", "finalizer"]


async def test_a_request_becomes_files_that_were_checked(deployment: Deployment) -> None:
    async with deployment.client() as client:
        run_id = await submit(client, {"query": "Build a snake game"})
        run = await wait_for_status(client, run_id)
        steps = await list_steps(client, run_id)
        events = await list_events(client, run_id)
        files = (await client.get(f"/runs/{run_id}/artifacts")).json()["items"]
        archive = zipfile.ZipFile(io.BytesIO((await client.get(f"/runs/{run_id}/artifacts.zip")).content))

    assert run["status"] == "COMPLETED", run["error"]
    assert [(step["node"], step["status"]) for step in steps] == [(agent, "finished") for agent in AGENTS]
    assert [event["type"] for event in events].count("run.finished") == 1
    paths = [file["path"] for file in files]
    assert {"game.py", "test_game.py"} <= set(paths)
    assert run["result"]["output"]["checks"]["status"] in ("passed", "not_run")
    assert sorted(archive.namelist()) == sorted(paths)


async def test_waiting_gives_the_ended_run_at_once(deployment: Deployment) -> None:
    async with deployment.client() as client:
        answer = await client.post("/runs?wait=60", json={"query": "What is a monad?"})

    assert answer.status_code == 200
    assert answer.json()["status"] == "COMPLETED"


async def test_a_run_is_followed_to_its_end_as_a_stream(deployment: Deployment) -> None:
    async with deployment.client() as client:
        run_id = await submit(client, {"query": "Build a snake game"})
        types = [line.removeprefix("event: ") async for line in stream_lines(client, run_id) if "event: " in line]
        again = await client.get(
            f"/runs/{run_id}/events", headers={"Accept": "text/event-stream", "Last-Event-ID": "9999"}
        )

    assert types[-1] == "run.finished"
    assert types.count("step.started") == len(AGENTS)
    assert again.status_code == 204


async def stream_lines(client: Any, run_id: str) -> Any:
    async with client.stream("GET", f"/runs/{run_id}/events", headers={"Accept": "text/event-stream"}) as answer:
        async for line in answer.aiter_lines():
            yield line


@pytest.mark.parametrize("staged", ["embedded", "distributed"], indirect=True)
async def test_the_real_chat_client_does_the_same_over_http_once_its_budget_has_room(
    staged: tuple[Kind, Stage],
) -> None:
    kind, prepared = staged
    async with offline_face(prepared) as face:
        deployment = Deployment(kind, prepared.with_env(GROQ_API_KEY="any", GROQ_BASE_URL=str(face.base_url)))
        await deployment.start()
        async with deployment.client() as client:
            run_id = await submit(client, {"query": "Build a snake game", "budget_usd": 0.000001})
            stopped = await wait_for_status(client, run_id, "BUDGET_EXCEEDED")
            calls_before = (await face.get("/calls")).json()
            await client.patch(f"/budgets/{stopped['error']['budget_id']}", json={"limit_usd": 1})
            await client.post(f"/runs/{run_id}/resume")
            run = await wait_for_status(client, run_id)
            [budget] = (await client.get("/budgets", params={"subject": "run", "name": run_id})).json()["items"]
        calls = (await face.get("/calls")).json()

    assert not calls_before
    assert run["status"] == "COMPLETED", run["error"]
    assert len(calls) == len(AGENTS)
    assert (budget["spent_usd"], budget["held_usd"]) == (run["usage"]["cost_usd"], 0)


async def test_a_running_run_is_cancelled(deployment: Deployment) -> None:
    async with deployment.client() as client:
        run_id = await submit(client, {"query": "Build a snake game"})
        await client.post(f"/runs/{run_id}/cancel")
        run = await wait_for_status(client, run_id)

    assert run["status"] in ("CANCELLED", "COMPLETED")
