"""kill -9 of whoever drives a run: it is taken over, and goes on from its last finished step without paying anything twice."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.conftest import settings_for
from tests.support.deployments import (
    Deployment,
    Kind,
    list_events,
    list_steps,
    offline_face,
    submit,
    wait_for_status,
)
from tests.support.processes import Zygote, stage

SHAPES = Path(__file__).parents[1] / "projects" / "shapes"
PIPELINE: dict[str, Any] = {"query": "Build a snake game"}
FAN_OUT: dict[str, Any] = {"workflow": "shapes", "input": {"items": ["a", "b", "c"], "rounds": 2}}

KILLS = {
    "researcher": (PIPELINE, "engine.journal.finished:researcher=kill"),
    "planner": (PIPELINE, "engine.journal.finished:planner=kill"),
    "executor": (PIPELINE, "engine.journal.finished:executor=kill"),
    "coder": (PIPELINE, "engine.journal.finished:coder=kill"),
    "finalizer": (PIPELINE, "engine.journal.finished:finalizer=kill"),
    "fan-out": (FAN_OUT, "engine.journal.finished:work=kill@3"),
    "fan-out with calls in flight": (FAN_OUT, "engine.journal.finished:work=kill@1"),
    "node returned": (PIPELINE, "engine.pending.before:coder=kill"),
    "before the last transaction": (PIPELINE, "engine.driver.leaving=kill"),
}

IN_FLIGHT = Counter({"fan-out with calls in flight": 2})
"""Calls whose end nobody saw: each may repeat once. Finished calls never do."""


@dataclass(slots=True)
class Scene:
    deployment: Deployment
    face: httpx.AsyncClient

    async def count_calls(self) -> Counter[str]:
        """Requests that reached the provider since the last look, by node."""
        calls = (await self.face.get("/calls")).json()
        await self.face.delete("/calls")
        return Counter(call["node"] for call in calls)


@pytest.fixture(params=["embedded", "postgresql"])
async def scene(request: pytest.FixtureRequest, zygote: Zygote, tmp_path: Path) -> AsyncIterator[Scene]:
    kind: Kind = request.param
    with stage(zygote, tmp_path, **settings_for(kind, request)) as prepared:
        async with offline_face(prepared) as face:
            billed = prepared.with_env(GROQ_API_KEY="any", GROQ_BASE_URL=str(face.base_url))
            yield Scene(Deployment(kind, billed, projects=[SHAPES]), face)


async def undisturbed(scene: Scene, client: httpx.AsyncClient, body: dict[str, Any]) -> tuple[Any, Counter[str]]:
    run = await wait_for_status(client, await submit(client, body))
    assert run["status"] == "COMPLETED", run["error"]
    return run["result"], await scene.count_calls()


@pytest.mark.parametrize("kill", KILLS)
async def test_a_killed_run_completes_and_pays_nothing_twice(scene: Scene, kill: str) -> None:
    body, failpoint = KILLS[kill]
    deployment = scene.deployment
    await deployment.start(SHADOWGRAPH_FAILPOINTS=failpoint)
    doomed = deployment.worker
    assert doomed is not None

    async with deployment.client() as client:
        run_id = await submit(client, body)
        await doomed.wait_for_end()  # the fault has happened
        before = await scene.count_calls()
        await deployment.start_worker()
        run = await wait_for_status(client, run_id)
        after = await scene.count_calls()
        steps, events = await list_steps(client, run_id), await list_events(client, run_id)
        result, expected = await undisturbed(scene, client, body)

    assert run["status"] == "COMPLETED", run["error"]
    assert run["result"] == result
    assert (before + after) - expected <= Counter({"work": IN_FLIGHT[kill]})
    assert expected <= before + after
    assert [event["type"] for event in events].count("run.finished") == 1
    assert [event["seq"] for event in events] == sorted(event["seq"] for event in events)
    finished = Counter(
        (step["superstep"], step["node"], step["path"]) for step in steps if step["status"] == "finished"
    )
    assert set(finished.values()) == {1}
    assert sum(step["status"] == "lost" for step in steps) <= (3 if kill.startswith("fan-out") else 1)
