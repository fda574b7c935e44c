"""Code that changes while a run waits: F26."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from shadowgraph.db.engine import Database
from shadowgraph.models.alerts import alerts
from shadowgraph.models.blobs import blobs
from tests.support.deployments import FAST_RECOVERY, Deployment, wait_for_status
from tests.support.processes import Zygote, stage
from tests.support.projects import write_project
from tests.support.versioned import CODE, PROJECT, Scene, deploy_code, kill, marks, promote, wait_for_release
from tests.support.waiting import HTTP_POLL_SECONDS, wait_until

RENAMED = CODE.replace("second", "another")


@pytest.fixture
async def scene(zygote: Zygote, tmp_path: Path, postgresql_url: str) -> AsyncIterator[Scene]:
    project = write_project(tmp_path / "mine", PROJECT)
    with stage(zygote, tmp_path, DATABASE_URL=postgresql_url, **FAST_RECOVERY) as prepared:
        yield Scene(Deployment("postgresql", prepared, projects=[project]), project, tmp_path / "gate")


async def test_f26_a_run_that_waits_goes_on_with_its_old_code_when_its_next_node_has_another_name(scene: Scene) -> None:
    await scene.deployment.start()
    async with scene.deployment.client() as client:
        await wait_for_release(client)
        run_id = await scene.submit(client, is_held=True)
        await scene.wait_until_held(client, run_id)
        (scene.project / "agent.py").write_text(RENAMED)
        await promote(client, await deploy_code(client, {"agent.py": RENAMED}))

        await kill(scene.deployment.worker)
        await scene.deployment.start_worker()
        scene.gate.touch()
        run = await wait_for_status(client, run_id)
        steps = (await client.get(f"/runs/{run_id}/steps")).json()["items"]

    assert marks(run) == ["code 1, tone 1"] * 2
    assert {step["node"] for step in steps} == {"first", "hold", "second"}


async def test_f26_a_run_whose_old_snapshot_cannot_be_loaded_waits_with_the_reason_and_an_alert(
    scene: Scene, postgresql_url: str
) -> None:
    await scene.deployment.start()
    async with scene.deployment.client() as client:
        await wait_for_release(client)
        run_id = await scene.submit(client, is_held=True)
        await scene.wait_until_held(client, run_id)

        await kill(scene.deployment.worker)
        await lose_all_files(scene, postgresql_url)
        scene.gate.touch()
        await scene.deployment.start_worker()

        async def is_parked() -> dict[str, Any] | None:
            run: dict[str, Any] = (await client.get(f"/runs/{run_id}")).json()
            return run if run["reason"] == "unloadable" else None

        parked = await wait_until(is_parked, timeout_seconds=40, what="the reason", every_seconds=HTTP_POLL_SECONDS)

    assert parked["status"] == "QUEUED"
    assert await open_alerts(postgresql_url) == {run_id: "unloadable"}


async def lose_all_files(scene: Scene, url: str) -> None:
    for folder in (scene.deployment.stage.folder / "storage/snapshots").iterdir():
        for path in folder.rglob("*"):
            path.chmod(0o755)
        folder.chmod(0o755)
        shutil.rmtree(folder)
    database = Database(url)
    async with database.write() as connection:
        await connection.execute(delete(blobs))
    await database.close()


async def open_alerts(url: str) -> dict[str, str]:
    database = Database(url)
    async with database.read() as connection:
        rows = await connection.execute(select(alerts.c.subject, alerts.c.kind).where(alerts.c.acked_by.is_(None)))
        found = {row.subject: row.kind for row in rows}
    await database.close()
    return found
