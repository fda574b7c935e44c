"""The first version of a workflow is made when a worker serves it for the first time."""

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from shadowgraph.core.settings import load_settings
from shadowgraph.db.engine import Database
from shadowgraph.engine.projects import load_project
from shadowgraph.queue.inprocess import InProcessQueue, InProcessWakeups
from shadowgraph.runs.alerts import Alert, list_open_alerts
from shadowgraph.versioning import repository
from shadowgraph.wiring.common import Base
from shadowgraph.wiring.plan import BUILT_IN_PROJECT
from shadowgraph.wiring.versions import NO_VERSION, register_first_versions
from tests.support.processes import BACKEND
from tests.support.projects import GRAPH, process_as_before, write_project
from tests.support.releases import Releases
from tests.support.runs import CLOCK

SHAPES = BACKEND / "tests" / "projects" / "shapes"
SECRET = "KEY = 'gsk_" + "aB1" * 10 + "'\n"


@pytest.fixture(autouse=True)
def _process_as_before(tmp_path: Path) -> Iterator[None]:
    with process_as_before(tmp_path):
        yield


def base_of(database: Database, home: Path, **settings: Any) -> Base:
    loaded = load_settings({}, home=home, **settings).settings
    return Base(loaded, database, InProcessQueue(), InProcessWakeups(), cast(Any, None), CLOCK)


@pytest.fixture
def base(database: Database, tmp_path: Path) -> Base:
    return base_of(database, tmp_path)


async def alerts(database: Database) -> list[Alert]:
    async with database.read() as connection:
        return list(await list_open_alerts(connection, kind=NO_VERSION))


async def test_each_workflow_gets_its_first_version_which_is_active(
    base: Base, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    projects = [load_project(directory) for directory in (BUILT_IN_PROJECT, SHAPES)]

    await register_first_versions(base, projects)
    await register_first_versions(base, projects)

    releases = Releases(database)
    for workflow in ("pipeline", "shapes"):
        release = await releases.release(workflow)
        assert release.pointer.revision == 1
        [version] = (await versions(database, workflow)).values()
        assert (version.id, version.label) == (release.pointer.active, "v1")
        assert any(f"release of {workflow}: revision 1" in record.getMessage() for record in caplog.records)
    async with database.read() as connection:
        row, manifest = await repository.require_snapshot(connection, version.snapshot_digest)
    assert set(manifest.uses) == {"few", "many", "begin_round", "work", "end_round", "report"}
    assert {"python", "shadowgraph"} <= row.provenance.keys()
    assert (base.settings.snapshots / "blobs").is_dir()


async def versions(database: Database, workflow: str) -> dict[str, repository.Version]:
    async with database.read() as connection:
        found = await repository.list_versions(connection, workflow, before=None, limit=10)
    return {version.label: version for version in found}


async def test_a_project_that_changed_makes_no_version_by_itself(
    base: Base, database: Database, tmp_path: Path
) -> None:
    directory = write_project(tmp_path / "mine")
    await register_first_versions(base, [load_project(directory)])
    (directory / "prompts").mkdir()
    (directory / "prompts" / "shout.md").write_text("New.\n")

    await register_first_versions(base, [load_project(directory)])

    assert set(await versions(database, "agent")) == {"v1"}


async def test_workers_that_start_at_once_make_one_version(
    base: Base, database: Database, database_url: str, tmp_path: Path
) -> None:
    project = load_project(write_project(tmp_path / "mine"))
    other = Database(database_url)

    await asyncio.gather(
        register_first_versions(base, [project]), register_first_versions(base_of(other, tmp_path), [project])
    )

    await other.close()
    assert set(await versions(database, "agent")) == {"v1"}
    assert (await Releases(database).release()).pointer.revision == 1


async def test_what_cannot_be_a_version_is_served_all_the_same_and_told(
    base: Base, database: Database, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = write_project(tmp_path / "bad", {"agent.py": GRAPH + SECRET})
    fine = load_project(write_project(tmp_path / "fine", graphs={"fine": "./agent.py:graph"}))

    await register_first_versions(base, [load_project(bad), fine])

    [alert] = await alerts(database)
    assert alert.subject == "agent"
    assert alert.data["errors"][0]["pointer"].startswith("agent.py:")
    assert any("workflow agent is served without a version" in record.getMessage() for record in caplog.records)
    assert set(await versions(database, "fine")) == {"v1"}
    (bad / "agent.py").write_text(GRAPH)
    with process_as_before(bad):
        await register_first_versions(base, [load_project(bad)])
    assert await alerts(database) == []
    assert set(await versions(database, "agent")) == {"v1"}


async def test_without_versioning_nothing_is_made(database: Database, tmp_path: Path) -> None:
    base = base_of(database, tmp_path, versioning_enabled=False)

    await register_first_versions(base, [load_project(SHAPES)])

    assert await versions(database, "shapes") == {}


async def test_a_storage_folder_that_cannot_be_written_is_no_obstacle(database: Database, tmp_path: Path) -> None:
    (tmp_path / "storage").write_text("a file in the way")

    await register_first_versions(base_of(database, tmp_path), [load_project(SHAPES)])

    assert set(await versions(database, "shapes")) == {"v1"}
