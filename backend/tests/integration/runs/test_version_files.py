"""Versions that nobody needs give their files back; history, and whatever may still be used, stays."""

from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select, update

from shadowgraph.core.clock import ManualClock
from shadowgraph.db.engine import Database
from shadowgraph.engine.checkpoints.retention import STORE
from shadowgraph.models.blobs import blobs
from shadowgraph.models.snapshots import snapshots
from shadowgraph.runs.amounts import Removed
from shadowgraph.runs.collecting import Collector
from shadowgraph.runs.previewing import preview
from shadowgraph.runs.retention import Ages
from shadowgraph.runs.version_files import VERSION_FILES, sweep_copies
from shadowgraph.versioning import aging, service
from shadowgraph.versioning.aging import GRACE, RECENT
from shadowgraph.versioning.repository import Version
from shadowgraph.versioning.store import BlobFiles
from tests.support.releases import Releases, snapshot_number
from tests.support.runs import CLOCK
from tests.support.snapshots import make_snapshot

AGES = Ages.of_days(14)


@pytest.fixture(autouse=True)
def _few_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each workflow the newest two keep their files."""
    monkeypatch.setattr(aging, "KEPT_VERSIONS", 2)


@pytest.fixture
def releases(database: Database) -> Releases:
    return Releases(database)


@pytest.fixture
def later() -> ManualClock:
    """When everything that was made by now is old."""
    return ManualClock(CLOCK.now() + RECENT + timedelta(days=1))


async def collect(database: Database, clock: ManualClock) -> Removed:
    return await Collector(database, STORE, AGES, clock=clock).collect_version_files()


async def with_files(database: Database) -> set[str]:
    """Digests of the snapshots that still have their files."""
    async with database.read() as connection:
        return set(await connection.scalars(select(snapshots.c.digest).where(snapshots.c.purged_at.is_(None))))


async def count_blobs(database: Database) -> int:
    async with database.read() as connection:
        return await connection.scalar(select(func.count()).select_from(blobs)) or 0


def digests(*versions: Version) -> set[str]:
    return {version.snapshot_digest for version in versions}


async def test_old_versions_give_back_what_no_other_version_shares(
    releases: Releases, database: Database, later: ManualClock
) -> None:
    one, two, three, four, five = await releases.deploy_many(5)
    before = await count_blobs(database)
    said = await preview(database, STORE, AGES, clock=later)

    removed = await collect(database, later)

    assert await with_files(database) == digests(one, four, five)  # active, and the newest two
    assert await count_blobs(database) == before - 2
    assert removed[VERSION_FILES].rows == 2
    assert said[VERSION_FILES] == removed[VERSION_FILES]
    assert (await releases.version(two)).is_purged
    assert (await releases.version(three)).label == "v3"
    assert (await collect(database, later))[VERSION_FILES].rows == 0


async def test_a_preview_changes_nothing(releases: Releases, database: Database, later: ManualClock) -> None:
    versions = await releases.deploy_many(5)

    await preview(database, STORE, AGES, clock=later)

    assert await with_files(database) == digests(*versions)


async def test_whatever_may_still_be_used_keeps_its_files(
    releases: Releases, database: Database, later: ManualClock
) -> None:
    versions = await releases.deploy_many(8)
    pinned, kept, previous = versions[1], versions[2], versions[0]
    await releases.promote(versions[3])
    await releases.pin(pinned)
    await releases.keep(kept)

    await collect(database, later)

    assert await with_files(database) == digests(previous, pinned, kept, versions[3], *versions[6:])


async def test_a_version_that_a_change_concerned_lately_keeps_its_files(releases: Releases, database: Database) -> None:
    versions = await releases.deploy_many(6)
    await releases.withdraw(versions[1])
    async with database.write() as connection:
        old = CLOCK.now() - RECENT - timedelta(days=2)
        await connection.execute(update(snapshots).values(registered_at=old))

    await collect(database, ManualClock(CLOCK.now()))

    assert await with_files(database) == digests(versions[0], versions[1], *versions[4:])


async def test_blobs_that_were_registered_a_short_while_ago_stay(releases: Releases, database: Database) -> None:
    """Somebody may have stored them whose snapshot is not committed yet."""
    await releases.deploy_many(5)
    async with database.write() as connection:
        old = CLOCK.now() - RECENT - timedelta(days=2)
        await connection.execute(update(snapshots).values(registered_at=old))
    before = await count_blobs(database)

    soon = await collect(database, ManualClock(CLOCK.now() + GRACE - timedelta(hours=1)))
    then = await collect(database, ManualClock(CLOCK.now() + GRACE + timedelta(hours=1)))

    assert (soon[VERSION_FILES].rows, then[VERSION_FILES].rows) == (0, 2)
    assert await count_blobs(database) == before - 2


async def test_the_same_content_registered_again_brings_the_files_back_for_a_while(
    releases: Releases, database: Database, later: ManualClock, tmp_path: Path
) -> None:
    _, two, *_ = await releases.deploy_many(5)
    await collect(database, later)

    again = await releases.deploy(snapshot_number(2))
    await collect(database, ManualClock(CLOCK.now() + timedelta(days=1)))

    assert again.added.version.id == two.id
    async with database.read() as connection:
        found = await service.load_snapshot(connection, BlobFiles(tmp_path), two.snapshot_digest)
    assert found == snapshot_number(2)


async def test_copies_on_this_host_go_when_the_table_has_them_no_more(
    releases: Releases, database: Database, tmp_path: Path
) -> None:
    await releases.deploy(make_snapshot())
    files, foreign = BlobFiles(tmp_path), snapshot_number(9)
    files.keep({**make_snapshot().blobs, **foreign.blobs})
    draft = files.path_of(min(make_snapshot().blobs)).parent / ".new-left"
    draft.write_text("half")

    await sweep_copies(database, files, clock=CLOCK)
    assert files.read(foreign.blobs) == foreign.blobs
    await sweep_copies(database, files, clock=ManualClock(CLOCK.now() + GRACE + timedelta(hours=1)))

    assert files.read(make_snapshot().blobs) == make_snapshot().blobs
    assert set(files.read(foreign.blobs)) == set(foreign.blobs) & set(make_snapshot().blobs)
    assert not draft.exists()
