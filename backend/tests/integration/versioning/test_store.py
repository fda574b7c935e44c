"""Snapshots in files and tables: written whole or not at all, and mended from the table."""

import asyncio
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import delete, select, update

from shadowgraph.core import failpoints
from shadowgraph.core.json import sha256
from shadowgraph.db.engine import Database
from shadowgraph.models.blobs import blobs
from shadowgraph.models.snapshots import snapshots
from shadowgraph.models.versions import versions
from shadowgraph.versioning import repository, service
from shadowgraph.versioning.errors import InvalidSnapshot
from shadowgraph.versioning.release import VersionPurged
from shadowgraph.versioning.repository import SnapshotNotFound
from shadowgraph.versioning.service import SnapshotDamaged
from shadowgraph.versioning.snapshot import Snapshot
from shadowgraph.versioning.store import BlobFiles
from tests.support.processes import BACKEND
from tests.support.releases import Releases, snapshot_number
from tests.support.runs import CLOCK
from tests.support.snapshots import make_snapshot

SNAPSHOT = make_snapshot()

KEEP = """
import sys
from pathlib import Path
from shadowgraph.versioning.store import BlobFiles
from tests.support.snapshots import make_snapshot
BlobFiles(Path(sys.argv[1])).keep(make_snapshot().blobs)
"""


@pytest.fixture
def files(tmp_path: Path) -> BlobFiles:
    return BlobFiles(tmp_path / "snapshots")


async def load(database: Database, files: BlobFiles, digest: str = SNAPSHOT.digest) -> Snapshot:
    async with database.read() as connection:
        return await service.load_snapshot(connection, files, digest)


async def count(database: Database, table: object) -> int:
    async with database.read() as connection:
        return len((await connection.execute(select(table))).all())  # type: ignore[call-overload]


# --- files ----------------------------------------------------------------------------------------------------------------------


def test_blobs_are_kept_once_read_only_under_their_digest(files: BlobFiles) -> None:
    files.keep(SNAPSHOT.blobs)
    files.keep(SNAPSHOT.blobs)

    assert files.read(SNAPSHOT.blobs) == SNAPSHOT.blobs
    for digest in SNAPSHOT.blobs:
        assert stat.S_IMODE(files.path_of(digest).stat().st_mode) == 0o444
        assert files.path_of(digest).parent.name == digest[:2]


def test_a_torn_blob_is_not_read_and_is_replaced(files: BlobFiles) -> None:
    files.keep(SNAPSHOT.blobs)
    digest = max(SNAPSHOT.blobs)
    files.path_of(digest).chmod(0o644)
    files.path_of(digest).write_bytes(SNAPSHOT.blobs[digest][:-1])

    assert digest not in files.read(SNAPSHOT.blobs)

    files.keep(SNAPSHOT.blobs)

    assert files.read(SNAPSHOT.blobs) == SNAPSHOT.blobs


def test_a_process_that_dies_while_it_writes_leaves_no_half_blob(tmp_path: Path, files: BlobFiles) -> None:
    died = subprocess.run(
        [sys.executable, "-c", KEEP, str(tmp_path / "snapshots")],
        env={**os.environ, failpoints.FAILPOINTS_VARIABLE: "versioning.blob.written=kill@3"},
        check=False,
        cwd=BACKEND,
        timeout=100,
    )

    assert died.returncode == -9
    assert len(files.read(SNAPSHOT.blobs)) == 2
    files.keep(SNAPSHOT.blobs)
    assert files.read(SNAPSHOT.blobs) == SNAPSHOT.blobs


async def test_many_writers_of_the_same_blobs_do_not_disturb_each_other(files: BlobFiles) -> None:
    await asyncio.gather(*(asyncio.to_thread(files.keep, SNAPSHOT.blobs) for _ in range(8)))

    assert files.read(SNAPSHOT.blobs) == SNAPSHOT.blobs
    assert not list(files.path_of("ab").parent.parent.rglob(".new-*"))


# --- registering ----------------------------------------------------------------------------------------------------------------


async def test_a_snapshot_is_loaded_as_it_was_registered(database: Database, files: BlobFiles) -> None:
    deployed = await Releases(database).deploy(SNAPSHOT, message="first", provenance={"commit": "abc"})

    assert await load(database, files) == SNAPSHOT
    assert (deployed.added.is_new, deployed.added.version.label) == (True, "v1")
    assert files.read(SNAPSHOT.blobs) == SNAPSHOT.blobs  # another host has its copies now


async def test_the_same_content_is_one_version_however_often_it_is_registered(database: Database) -> None:
    releases = Releases(database)
    first = await releases.deploy(SNAPSHOT, message="first", provenance={"commit": "abc"})
    other = await releases.deploy(snapshot_number(2))
    again = await releases.deploy(SNAPSHOT, message="again", provenance={"commit": "def"})

    assert (again.added.version.id, again.added.is_new) == (first.added.version.id, False)
    assert again.added.version.message == "first"
    assert (other.added.version.label, other.event) == ("v2", None)
    async with database.read() as connection:
        row, _ = await repository.require_snapshot(connection, SNAPSHOT.digest)
    assert row.provenance == {"commit": "abc"}


async def test_blobs_are_shared_by_snapshots(database: Database) -> None:
    await Releases(database).deploy(SNAPSHOT)
    before = await count(database, blobs)
    await Releases(database).deploy(snapshot_number(2))

    assert await count(database, blobs) == before + 1


async def test_two_processes_that_register_the_same_make_one_version(database: Database, database_url: str) -> None:
    others = [Database(database_url) for _ in range(4)]
    deployed = await asyncio.gather(*(Releases(other).deploy(SNAPSHOT) for other in others))
    for other in others:
        await other.close()

    assert len({found.added.version.id for found in deployed}) == 1
    assert sum(found.added.is_new for found in deployed) == 1
    assert sum(found.event is not None for found in deployed) == 1
    assert (await Releases(database).release()).pointer.revision == 1


async def test_versions_that_come_at_once_get_numbers_of_their_own(database: Database, database_url: str) -> None:
    others = [Database(database_url) for _ in range(5)]
    deployed = await asyncio.gather(*(Releases(o).deploy(snapshot_number(n)) for n, o in enumerate(others)))
    for other in others:
        await other.close()

    assert sorted(found.added.version.seq for found in deployed) == [1, 2, 3, 4, 5]
    assert [found.added.version.seq for found in deployed if found.event] == [1]
    assert await Releases(database).broken() == []


async def test_each_workflow_counts_for_itself(database: Database) -> None:
    releases = Releases(database)
    for workflow in ("one", "two"):
        await releases.deploy_many(2, workflow)

    assert (await releases.release("two")).pointer.revision == 1
    async with database.read() as connection:
        assert await repository.list_workflows(connection) == ["one", "two"]


async def test_a_crash_between_blobs_and_rows_leaves_nothing_that_anybody_sees(
    database: Database, files: BlobFiles
) -> None:
    files.keep(SNAPSHOT.blobs)

    async def register_and_die() -> None:
        async with database.write() as connection:
            await service.add_version(connection, database.dialect, SNAPSHOT, service.NewVersion(), at=CLOCK.now())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await register_and_die()

    assert [await count(database, table) for table in (snapshots, versions, blobs)] == [0, 0, 0]
    with pytest.raises(SnapshotNotFound):
        await load(database, files)
    assert (await Releases(database).deploy(SNAPSHOT)).added.version.label == "v1"


async def test_a_variable_that_the_code_does_not_fill_in_is_refused_and_nothing_is_stored(database: Database) -> None:
    releases = Releases(database)
    await releases.deploy(SNAPSHOT)

    with pytest.raises(InvalidSnapshot) as raised:
        await releases.deploy(make_snapshot({"prompts/plan.md": "Plan ${tsak}.\n"}))
    await releases.deploy(make_snapshot({"prompts/plan.md": "Plan ${tsak}.\n", "nodes.py": "import helper, os\n"}))

    assert [error["pointer"] for error in raised.value.facts["errors"]] == ["prompts/plan.md:1"]  # type: ignore[attr-defined]
    assert await count(database, versions) == 2


# --- loading --------------------------------------------------------------------------------------------------------------------


async def test_a_file_that_is_torn_or_lost_is_written_anew_from_the_table(database: Database, files: BlobFiles) -> None:
    await Releases(database).deploy(SNAPSHOT)
    files.keep(SNAPSHOT.blobs)
    torn, lost = sorted(SNAPSHOT.blobs)[:2]
    files.path_of(torn).chmod(0o644)
    files.path_of(torn).write_bytes(b"half")
    files.path_of(lost).unlink()

    assert await load(database, files) == SNAPSHOT
    assert files.read(SNAPSHOT.blobs) == SNAPSHOT.blobs


async def test_a_file_is_enough_when_the_table_is_damaged(database: Database, files: BlobFiles) -> None:
    await Releases(database).deploy(SNAPSHOT)
    files.keep(SNAPSHOT.blobs)
    await damage(database, max(SNAPSHOT.blobs))

    assert await load(database, files) == SNAPSHOT
    async with database.read() as connection:
        [problem] = await service.verify_snapshot(connection, SNAPSHOT.digest)
    assert SNAPSHOT.manifest.files[problem["pointer"]].digest == max(SNAPSHOT.blobs)


async def damage(database: Database, digest: str) -> None:
    async with database.write() as connection:
        await connection.execute(update(blobs).where(blobs.c.digest == digest).values(body=b"tampered"))


async def test_damage_is_told_with_its_places_and_nothing_is_loaded(database: Database, files: BlobFiles) -> None:
    await Releases(database).deploy(SNAPSHOT)
    await damage(database, SNAPSHOT.manifest.files["helper.py"].digest)
    async with database.write() as connection:
        gone = SNAPSHOT.manifest.files["graph.py"].digest
        await connection.execute(delete(blobs).where(blobs.c.digest == gone))

    with pytest.raises(SnapshotDamaged) as raised:
        await load(database, files)

    assert {error["pointer"] for error in raised.value.facts["errors"]} == {"helper.py", "graph.py"}  # type: ignore[attr-defined]


async def test_a_manifest_that_was_tampered_with_is_found(database: Database, files: BlobFiles) -> None:
    await Releases(database).deploy(SNAPSHOT)
    other = make_snapshot({"README.md": "Other.\n"})
    async with database.write() as connection:
        await connection.execute(update(snapshots).values(manifest=other.manifest.to_json()))

    with pytest.raises(SnapshotDamaged, match="manifest"):
        await load(database, files)


async def test_a_snapshot_whose_files_were_collected_comes_back_with_the_same_content(
    database: Database, files: BlobFiles
) -> None:
    releases = Releases(database)
    deployed = await releases.deploy(SNAPSHOT)
    async with database.write() as connection:
        await connection.execute(update(snapshots).values(purged_at=CLOCK.now()))
        await connection.execute(delete(blobs))
    with pytest.raises(VersionPurged):
        await load(database, files)

    revived = await releases.deploy(make_snapshot())

    assert revived.added.version.id == deployed.added.version.id
    assert await load(database, files) == SNAPSHOT


async def test_names_of_versions_are_found_within_their_workflow(database: Database) -> None:
    releases = Releases(database)
    [one, two] = await releases.deploy_many(2)

    async def find(name: str, workflow: str | None = None) -> str:
        async with database.read() as connection:
            return (await service.require_version(connection, name, workflow=workflow)).id

    assert [await find(name) for name in ("v1", one.id, one.snapshot_digest)] == [one.id] * 3
    assert await find("v2", "agent") == two.id
    for name, workflow in (
        ("v3", None),
        ("v0", None),
        ("3", None),
        ("ver_x", None),
        ("v1", "other"),
        ("v" + "9" * 40, None),
    ):
        with pytest.raises(repository.VersionNotFound):
            await find(name, workflow)
    await releases.deploy_many(1, "other")
    with pytest.raises(service.AmbiguousVersion):
        await find("v1")


def test_digests_are_those_of_the_bodies() -> None:
    assert all(sha256(body) == digest for digest, body in SNAPSHOT.blobs.items())
