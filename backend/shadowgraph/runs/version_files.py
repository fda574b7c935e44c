"""Takes the files from versions that nobody needs any more, and deletes the blobs that no version refers to."""

import asyncio
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.clock import Clock
from shadowgraph.db.dialect import DialectName
from shadowgraph.db.engine import Database
from shadowgraph.runs.amounts import Amount, Removed
from shadowgraph.runs.inflight import count_pinned, find_driven
from shadowgraph.versioning import repository
from shadowgraph.versioning.aging import GRACE, RECENT, find_purgeable
from shadowgraph.versioning.store import BlobFiles
from shadowgraph.versioning.trees import Trees

VERSION_FILES = "files of old versions"


async def collect_version_files(connection: AsyncConnection, dialect: DialectName, *, now: datetime) -> Removed:
    """In the caller's transaction. Blobs that were registered a short while ago wait for their snapshots."""
    for workflow in await repository.list_workflows(connection):
        await _purge(connection, dialect, workflow, now=now)
    sizes = await repository.delete_unreferenced(connection, before=now - GRACE)
    return {VERSION_FILES: Amount(len(sizes), sum(sizes))}


async def sweep_copies(database: Database, files: BlobFiles, *, clock: Clock) -> Removed:
    """Deletes the files of this host whose blobs are not in the table any more. Each host has its own, so they are in no sum."""
    found = await asyncio.to_thread(files.find_older, clock.now() - GRACE)
    async with database.read() as connection:
        known = await repository.find_blobs(connection, {path.name for path in found})
    for path in found:
        if path.name not in known:
            await asyncio.to_thread(path.unlink, missing_ok=True)
    return {}


async def sweep_trees(database: Database, trees: Trees, *, clock: Clock) -> Removed:
    """Deletes the trees of this host that no run has begun or gone on with for a while. Whoever needs one again writes it again."""
    old = await asyncio.to_thread(trees.find_older, clock.now() - GRACE)
    async with database.read() as connection:
        in_use = await find_driven(connection)
    for tree in old:
        if tree.name not in in_use:
            await asyncio.to_thread(trees.remove, tree)
    return {}


async def _purge(connection: AsyncConnection, dialect: DialectName, workflow: str, *, now: datetime) -> None:
    """With the workflow and its release locked: nobody registers or promotes one of them meanwhile."""
    await repository.lock_workflow(connection, dialect, workflow)
    release = await repository.lock_release(connection, workflow)
    aged = await repository.load_aged(connection, workflow)
    doomed = find_purgeable(
        aged,
        release.pointer,
        pinned=await count_pinned(connection, [version.id for version in aged]),
        recent=await repository.find_concerned(connection, workflow, since=now - RECENT),
        now=now,
    )
    await repository.purge(connection, [version.snapshot_digest for version in doomed], at=now)
