"""What the nodes of a pinned run find: the files of its version, and nothing when they cannot be had."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from shadowgraph import prompt
from shadowgraph.core.agent_settings import AgentSettings
from shadowgraph.core.calls import current_ports
from shadowgraph.core.clock import ManualClock
from shadowgraph.db.engine import Database
from shadowgraph.engine.driver import Drive, Driver
from shadowgraph.engine.pinned import PinnedFiles
from shadowgraph.engine.session import DriverParts
from shadowgraph.models.alerts import alerts
from shadowgraph.models.blobs import blobs
from shadowgraph.runs.inflight import InFlight
from shadowgraph.runs.payloads import load_json
from shadowgraph.runs.repository import require_run
from shadowgraph.runs.run import Run
from shadowgraph.runs.states import Status
from shadowgraph.runs.version_files import sweep_trees
from shadowgraph.versioning.pinning import list_needed
from shadowgraph.versioning.repository import Version
from shadowgraph.versioning.snapshot import Snapshot
from shadowgraph.versioning.trees import Trees
from tests.support.graphs import State, driver_parts, line, project
from tests.support.releases import Releases
from tests.support.runs import CLOCK, claim, start_run
from tests.support.snapshots import make_snapshot

FIRST = make_snapshot(agents={"write": AgentSettings(temperature=0.5, max_tokens=7)})
SECOND = make_snapshot({"prompts/write.md": "You write more.\n"})


async def read(_: State) -> State:
    ports = current_ports.get()
    assert ports is not None
    return {"log": [prompt("write").text, repr(ports.agents.get("write"))]}


READER = line({"read": read})


@pytest.fixture
def releases(database: Database) -> Releases:
    return Releases(database)


@pytest.fixture
async def parts(database: Database, tmp_path: Path) -> AsyncIterator[DriverParts]:
    async with driver_parts(database) as found:
        yield replace(found, pinned=PinnedFiles(database, tmp_path))


async def drive_pinned(parts: DriverParts, version: Version, graph: Any = READER) -> Run:
    """A new run of this version, driven as far as it goes."""
    database = parts.database
    run = await start_run(database, "agent", {}, version=version.id)
    claimed = await claim(database, "agent", codes={"agent": await code_of(database, version)})
    assert claimed.id == run.id
    await Driver(parts).drive(Drive(claimed), project(graph, workflow="agent"))
    async with database.read() as connection:
        return await require_run(connection, run.id)


async def code_of(database: Database, version: Version) -> str:
    async with database.read() as connection:
        [needed] = await list_needed(connection, [version.snapshot_digest])
    return needed.code


async def output(database: Database, run: Run) -> list[str]:
    assert run.status is Status.COMPLETED, run.error
    async with database.read() as connection:
        result: Any = await load_json(connection, str(run.result_ref))
    return list(result["output"]["log"])


async def deploy(releases: Releases, *snapshots: Snapshot) -> list[Version]:
    return [(await releases.deploy(snapshot)).added.version for snapshot in snapshots]


async def open_alerts(database: Database) -> dict[str, str]:
    async with database.read() as connection:
        rows = await connection.execute(select(alerts.c.subject, alerts.c.kind))
        return {row.subject: row.kind for row in rows}


async def test_prompts_and_parameters_are_those_of_the_runs_version(
    parts: DriverParts, database: Database, releases: Releases
) -> None:
    first, second = await deploy(releases, FIRST, SECOND)

    old, new = await drive_pinned(parts, first), await drive_pinned(parts, second)

    assert await output(database, old) == ["You write.\n", repr(AgentSettings(temperature=0.5, max_tokens=7))]
    assert await output(database, new) == ["You write more.\n", "None"]


async def test_a_run_whose_version_was_revoked_waits_with_the_reason_and_an_alert(
    parts: DriverParts, database: Database, releases: Releases
) -> None:
    _, second = await deploy(releases, FIRST, SECOND)
    run = await start_run(database, "agent", version=second.id)
    await releases.revoke(second, in_flight=InFlight.FINISH, reason="it leaks")
    claimed = await claim(database, "agent", codes={"agent": await code_of(database, second)})

    await Driver(parts).drive(Drive(claimed), project(READER, workflow="agent"))

    left = await releases.run(run)
    assert (left.id, left.status, left.reason, left.version_id) == (run.id, Status.QUEUED, "version_revoked", second.id)
    assert left.available_at > claimed.available_at
    assert await open_alerts(database) == {run.id: "version_revoked"}


async def test_a_run_whose_snapshot_is_damaged_waits_with_the_reason_and_an_alert(
    parts: DriverParts, database: Database, releases: Releases
) -> None:
    [first] = await deploy(releases, FIRST)
    async with database.write() as connection:
        await connection.execute(delete(blobs).where(blobs.c.digest == FIRST.manifest.files["prompts/write.md"].digest))

    left = await drive_pinned(parts, first)

    assert (left.status, left.reason) == (Status.QUEUED, "unloadable")
    assert await open_alerts(database) == {left.id: "unloadable"}


async def test_a_tree_that_somebody_changed_is_written_anew(
    parts: DriverParts, database: Database, releases: Releases, tmp_path: Path
) -> None:
    [first] = await deploy(releases, FIRST)
    trees = Trees(tmp_path)
    tree = trees.ensure(FIRST)
    tree.chmod(0o755)
    (tree / "added.py").write_text("print('not ours')\n")
    (tree / "prompts/write.md").chmod(0o644)
    (tree / "prompts/write.md").write_text("You obey.\n")

    run = await drive_pinned(parts, first)

    assert (await output(database, run))[0] == "You write.\n"
    assert not (tree / "added.py").exists()
    assert (tree / "prompts/write.md").stat().st_mode & 0o222 == 0


async def test_trees_that_nobody_uses_are_deleted_and_come_back(
    parts: DriverParts, database: Database, releases: Releases, tmp_path: Path
) -> None:
    first, second = await deploy(releases, FIRST, SECOND)
    await drive_pinned(parts, first)
    await start_run(database, "agent", version=second.id)
    await claim(database, "agent", codes={"agent": await code_of(database, second)})
    trees = Trees(tmp_path)
    trees.ensure(SECOND)

    await sweep_trees(database, trees, clock=ManualClock(CLOCK.now() + timedelta(days=2)))

    assert {path.name for path in trees.folder.iterdir()} == {SECOND.digest}
    assert (await output(database, await drive_pinned(parts, first)))[0] == "You write.\n"
