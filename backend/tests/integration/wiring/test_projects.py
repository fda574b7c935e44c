"""Which projects a worker serves, and how one that cannot be loaded is seen."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from shadowgraph.core.ids import new_worker_id
from shadowgraph.core.settings import load_settings
from shadowgraph.db.engine import Database
from shadowgraph.engine.projects import BadProject
from shadowgraph.queue.inprocess import InProcessQueue, InProcessWakeups
from shadowgraph.runs.alerts import BAD_PROJECT, Alert, list_open_alerts
from shadowgraph.runs.workers import WorkerInfo, WorkflowInfo, forget_worker, register_worker, register_workflow
from shadowgraph.wiring.common import Base
from shadowgraph.wiring.projects import load_projects
from tests.support.projects import GRAPH, process_as_before, write_project
from tests.support.runs import CLOCK

BROKEN = {"agent.py": "x = 1\nimport no_such_module\n"}


@pytest.fixture(autouse=True)
def _process_as_before(tmp_path: Path) -> Iterator[None]:
    with process_as_before(tmp_path):
        yield


@pytest.fixture
def base(database: Database, tmp_path: Path) -> Base:
    settings = load_settings({}, home=tmp_path).settings
    return Base(settings, database, InProcessQueue(), InProcessWakeups(), cast(Any, None), CLOCK)


async def alerts(database: Database) -> list[Alert]:
    async with database.read() as connection:
        return list(await list_open_alerts(connection, kind=BAD_PROJECT))


async def serve_elsewhere(database: Database, workflow: str, *, project: str) -> WorkerInfo:
    """Another worker has loaded it."""
    info = WorkerInfo(new_worker_id(), "host", 1, "build", [workflow], 1, CLOCK.now(), None)
    described = WorkflowInfo(workflow, project, "digest", {}, {}, {}, "")
    async with database.write() as connection:
        await register_worker(connection, info)
        await register_workflow(connection, database.dialect, described, at=CLOCK.now())
    return info


async def test_a_broken_project_stops_no_other_and_is_written_down(
    base: Base, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    broken = write_project(tmp_path / "broken", BROKEN, graphs={"broken": "./agent.py:graph"})
    fine = write_project(tmp_path / "fine")

    served = await load_projects(base, [broken, fine])

    [alert] = await alerts(base.database)
    [line] = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert [project.name for project in served] == ["fine"]
    assert (alert.subject, alert.data["errors"]) == (
        "broken",
        [{"pointer": "agent.py:2", "detail": "import no_such_module"}],
    )
    assert "No module named 'no_such_module'" in alert.message
    assert "pip install" in alert.data["hint"]
    assert line.startswith("project broken is not served: ")
    assert "agent.py:2: import no_such_module" in line


async def test_the_newest_error_is_shown_until_the_project_loads(base: Base, tmp_path: Path) -> None:
    fine, mine = write_project(tmp_path / "fine", graphs={"fine": "./agent.py:graph"}), tmp_path / "mine"
    for said in ("first", "second", "second"):
        await load_projects(base, [fine, write_project(mine, {"agent.py": f"raise ValueError({said!r})"})])
    [alert] = await alerts(base.database)

    await load_projects(base, [fine, write_project(mine)])

    assert "second" in alert.message
    assert "second" in alert.data["message"]
    assert await alerts(base.database) == []


async def test_a_worker_without_any_project_left_says_why(base: Base, tmp_path: Path) -> None:
    with pytest.raises(BadProject, match="no_such_module"):
        await load_projects(base, [write_project(tmp_path / "broken", BROKEN)])

    assert [alert.subject for alert in await alerts(base.database)] == ["broken"]


async def test_of_two_projects_with_one_name_of_a_workflow_the_first_is_served(base: Base, tmp_path: Path) -> None:
    first, second = write_project(tmp_path / "first"), write_project(tmp_path / "second")

    served = await load_projects(base, [first, second])

    [alert] = await alerts(base.database)
    assert [project.name for project in served] == ["first"]
    assert (alert.subject, alert.message) == ("second", "project 'first' serves a workflow 'agent' already")


async def test_a_name_that_a_live_worker_serves_for_another_project_is_taken(base: Base, tmp_path: Path) -> None:
    other = await serve_elsewhere(base.database, "agent", project="other")
    mine = write_project(tmp_path / "mine")

    with pytest.raises(BadProject, match="project 'other' serves a workflow 'agent' already"):
        await load_projects(base, [mine])
    async with base.database.write() as connection:
        await forget_worker(connection, other.id)

    assert [project.name for project in await load_projects(base, [mine])] == ["mine"]


async def test_another_worker_of_the_same_project_is_no_rival(base: Base, tmp_path: Path) -> None:
    await serve_elsewhere(base.database, "agent", project="mine")

    assert [project.name for project in await load_projects(base, [write_project(tmp_path / "mine")])] == ["mine"]


async def test_a_release_in_another_folder_is_no_rival_when_the_project_has_a_name(base: Base, tmp_path: Path) -> None:
    await serve_elsewhere(base.database, "agent", project="trip")
    files = {"agent.py": GRAPH, "shadowgraph.toml": 'name = "trip"'}

    assert [project.name for project in await load_projects(base, [write_project(tmp_path / "42", files)])] == ["trip"]


async def test_a_broken_release_is_written_down_under_the_projects_name(base: Base, tmp_path: Path) -> None:
    files = {**BROKEN, "shadowgraph.toml": 'name = "trip"'}

    with pytest.raises(BadProject):
        await load_projects(base, [write_project(tmp_path / "42", files)])

    assert [alert.subject for alert in await alerts(base.database)] == ["trip"]


async def test_what_is_not_served_is_said_at_the_start(
    base: Base, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = GRAPH.replace(".compile()", ".compile(checkpointer=InMemorySaver())")
    files = {"agent.py": f"from langgraph.checkpoint.memory import InMemorySaver\n{source}"}

    await load_projects(base, [write_project(tmp_path / "mine", files, auth={})])

    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert any(line.startswith("project mine: auth: not applied") for line in said)
    assert any("InMemorySaver is replaced" in line for line in said)


async def test_an_async_factory_is_loaded_beside_a_running_loop(base: Base, tmp_path: Path) -> None:
    files = {"agent.py": f"{GRAPH}\nimport asyncio\nasync def make(): return builder\nasyncio.run(make())"}

    served = await load_projects(base, [write_project(tmp_path / "mine", files, graphs={"agent": "./agent.py:make"})])

    assert served[0].workflows.keys() == {"agent"}
