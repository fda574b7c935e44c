"""Which version runs go on with while versions come, become active, and workers die."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.e2e.conftest import settings_for
from tests.support.deployments import Deployment, Kind, list_events, wait_for_status
from tests.support.processes import Zygote, stage
from tests.support.projects import write_project
from tests.support.versioned import (
    PROJECT,
    Scene,
    deploy_code,
    deploy_prompt,
    kill,
    marks,
    promote,
    wait_for_release,
)
from tests.support.waiting import HTTP_POLL_SECONDS, wait_until


@pytest.fixture(params=["embedded", "distributed"])
async def scene(request: pytest.FixtureRequest, zygote: Zygote, tmp_path: Path) -> AsyncIterator[Scene]:
    kind: Kind = request.param
    project = write_project(tmp_path / "mine", PROJECT)
    with stage(zygote, tmp_path, **settings_for(kind, request)) as prepared:
        yield Scene(Deployment(kind, prepared, projects=[project]), project, tmp_path / "gate")


async def test_a_run_ends_on_the_prompt_that_it_began_with_though_its_worker_is_killed(scene: Scene) -> None:
    await scene.deployment.start()
    async with scene.deployment.client() as client:
        await wait_for_release(client)
        begun = await scene.submit(client, is_held=True)
        await scene.wait_until_held(client, begun)

        (scene.project / "prompts/tone.md").write_text("tone of a folder that nobody deployed\n")
        label = await deploy_prompt(client, "tone 2\n")
        before = await scene.run(client)
        await promote(client, label)
        after = await scene.run(client)
        await kill(scene.deployment.worker)
        await scene.deployment.start_worker()
        scene.gate.touch()
        ended = await wait_for_status(client, begun)
        events = await list_events(client, begun)

    assert [marks(before), marks(after), marks(ended)] == [
        ["code 1, tone 1"] * 2,
        ["code 1, tone 2"] * 2,
        ["code 1, tone 1"] * 2,
    ]
    assert [event["type"] for event in events].count("run.taken_over") == 1


async def test_other_code_runs_in_a_process_of_its_own_and_a_run_ends_on_the_code_that_it_began_with(
    scene: Scene,
) -> None:
    await scene.deployment.start(CODE_WORKER_IDLE_S="0")
    async with scene.deployment.client() as client:
        await wait_for_release(client)
        await promote(client, await deploy_code(client, {"marks.py": "CODE = 'code 2'\n"}))
        begun = await scene.submit(client, is_held=True)
        await scene.wait_until_held(client, begun)
        await promote(client, "v1")
        after = await scene.run(client)
        await kill(scene.deployment.worker)
        await scene.deployment.start_worker()
        scene.gate.touch()
        ended = await wait_for_status(client, begun)
        files = sorted(path.name for path in scene.project.iterdir())

    assert [marks(after), marks(ended)] == [["code 1, tone 1"] * 2, ["code 2, tone 1"] * 2]
    assert files == ["agent.py", "langgraph.json", "marks.py", "prompts"]


SUBMITTERS = 3
CHANGES = 6


async def test_no_run_is_mixed_while_the_release_moves_under_load(scene: Scene) -> None:
    await scene.deployment.start()
    if scene.deployment.kind != "embedded":
        await scene.deployment.start_worker()  # a second one
    async with scene.deployment.client() as client:
        await wait_for_release(client)
        await deploy_prompt(client, "tone 2\n")
        is_over = asyncio.Event()

        async def submit_all() -> list[tuple[str, list[str]]]:
            found = []
            while not is_over.is_set():
                run = await scene.run(client)
                found.append((run["version"], marks(run)))
            return found

        async with asyncio.TaskGroup() as group:
            submitting = [group.create_task(submit_all()) for _ in range(SUBMITTERS)]
            for number in range(CHANGES):
                in_flight = ("finish", "restart")[number % 2]
                await change(client, number, in_flight)
                marks(await scene.run(client))
            is_over.set()
        ended = [found for task in submitting for found in task.result()]
        trail = (await client.get("/workflows/agent/release/events", params={"verify": True, "limit": 500})).json()
        revision = (await client.get("/workflows/agent/release")).json()["revision"]

    assert {version: texts for version, texts in ended if texts != ["code 1, tone " + version[1:]] * 2} == {}
    assert {version for version, _ in ended} == {"v1", "v2"}
    assert revision == len(trail["items"]) == CHANGES + 1
    assert trail["verification"] == {"ok": True, "checked": revision, "problems": []}


async def change(client: httpx.AsyncClient, number: int, in_flight: str) -> None:
    """To v2 and back, in turns."""
    if number % 2 == 0:
        await promote(client, "v2", force=True, reason="forth", in_flight=in_flight)
        return
    answer = await client.post("/workflows/agent/rollback", json={"to": "v1", "in_flight": in_flight})
    assert answer.is_success, answer.text


@pytest.mark.parametrize("scene", ["embedded"], indirect=True)
async def test_in_development_a_saved_file_becomes_the_active_version(scene: Scene) -> None:
    options = ("--project", str(scene.project), "--dev")
    _, url = await scene.deployment.stage.start_server("up", *options, port=scene.deployment.port)
    async with httpx.AsyncClient(base_url=url, timeout=70) as client:
        await wait_for_release(client)
        before = await scene.run(client)

        (scene.project / "marks.py").write_text("CODE = 'code 2'\n")
        await wait_for_active(client, "v2")
        after = await scene.run(client)

    assert [marks(before), marks(after)] == [["code 1, tone 1"] * 2, ["code 2, tone 1"] * 2]


async def wait_for_active(client: httpx.AsyncClient, label: str) -> None:
    async def is_active() -> bool:
        release = (await client.get("/workflows/agent/release")).json()
        return bool(release["active"]["label"] == label)

    await wait_until(is_active, timeout_seconds=40, what=f"{label} to be active", every_seconds=HTTP_POLL_SECONDS)


@pytest.mark.parametrize("scene", ["embedded"], indirect=True)
async def test_a_version_with_other_packages_waits_with_the_reason_until_another_is_active(scene: Scene) -> None:
    await scene.deployment.start()
    async with scene.deployment.client() as client:
        await wait_for_release(client)
        await promote(client, await deploy_code(client, {"requirements.txt": "langgraph\n"}))
        run_id = await scene.submit(client)

        async def has_reason() -> bool:
            run = (await client.get(f"/runs/{run_id}")).json()
            return bool(run["status"] == "QUEUED" and run["reason"] == "no_code_worker")

        await wait_until(has_reason, timeout_seconds=40, what="the reason", every_seconds=HTTP_POLL_SECONDS)
        await promote(client, "v1")
        run = await wait_for_status(client, run_id)

    assert (marks(run), run["version"]) == (["code 1, tone 1"] * 2, "v1")
    assert scene.deployment.worker is not None
    assert "it needs other packages" in scene.deployment.worker.output()
