"""Versions and releases of a test's own, through the use cases."""

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import update

from shadowgraph.db.engine import Database
from shadowgraph.models.runs import runs
from shadowgraph.runs import releases
from shadowgraph.runs.releases import LAST_GOOD, Changed, Deployed, Order
from shadowgraph.runs.repository import require_run
from shadowgraph.runs.run import Run
from shadowgraph.versioning import repository
from shadowgraph.versioning.chain import Broken, ReleaseEvent, check_chain
from shadowgraph.versioning.repository import Release, Version
from shadowgraph.versioning.service import NewVersion
from shadowgraph.versioning.snapshot import Snapshot
from tests.support.runs import CLOCK, start_run
from tests.support.snapshots import make_snapshot

ORDER = Order("local", "because")


def snapshot_number(number: int, workflow: str = "agent") -> Snapshot:
    return make_snapshot({"prompts/write.md": f"You write, version {number}.\n"}, workflow=workflow)


@dataclass(frozen=True, slots=True)
class Releases:
    """Each call is one transaction."""

    database: Database

    async def deploy(self, snapshot: Snapshot, **new: Any) -> Deployed:
        async with self.database.write() as connection:
            return await releases.deploy(connection, self.database.dialect, snapshot, NewVersion(**new), clock=CLOCK)

    async def deploy_many(self, count: int, workflow: str = "agent") -> list[Version]:
        """The first of them is active."""
        return [(await self.deploy(snapshot_number(n, workflow))).added.version for n in range(1, count + 1)]

    async def promote(self, version: Version, *, force: bool = False, **order: Any) -> Changed:
        async with self.database.write() as connection:
            wanted = replace(ORDER, **order)
            dialect = self.database.dialect
            return await releases.promote(connection, dialect, version, wanted, force=force, clock=CLOCK)

    async def rollback(self, to: str = LAST_GOOD, *, workflow: str = "agent", **order: Any) -> Changed:
        async with self.database.write() as connection:
            wanted = replace(ORDER, **order)
            return await releases.rollback(connection, self.database.dialect, workflow, to, wanted, clock=CLOCK)

    async def withdraw(self, version: Version, **order: Any) -> Changed:
        async with self.database.write() as connection:
            wanted = replace(ORDER, **order)
            return await releases.withdraw(connection, self.database.dialect, version, wanted, clock=CLOCK)

    async def revoke(self, version: Version, **order: Any) -> Changed:
        async with self.database.write() as connection:
            wanted = replace(ORDER, **order)
            return await releases.revoke(connection, self.database.dialect, version, wanted, clock=CLOCK)

    async def keep(self, version: Version, *, is_kept: bool = True) -> Changed:
        async with self.database.write() as connection:
            dialect = self.database.dialect
            return await releases.keep(connection, dialect, version, ORDER, is_kept=is_kept, clock=CLOCK)

    async def release(self, workflow: str = "agent") -> Release:
        async with self.database.read() as connection:
            return repository.require_release(await repository.find_release(connection, workflow), workflow)

    async def events(self, workflow: str = "agent") -> list[ReleaseEvent]:
        """Oldest first."""
        async with self.database.read() as connection:
            return list(reversed(await repository.list_events(connection, workflow, limit=10_000)))

    async def broken(self, workflow: str = "agent") -> list[Broken]:
        return list(check_chain(await self.events(workflow), (await self.release(workflow)).pointer))

    async def version(self, version: Version) -> Version:
        """As it is now."""
        async with self.database.read() as connection:
            return (await repository.load_versions(connection, [version.id]))[version.id]

    async def pin(self, version: Version, **fields: Any) -> Run:
        """A new run that belongs to the version, as its first claim makes it."""
        run = await start_run(self.database, version.workflow)
        async with self.database.write() as connection:
            pinned = {"version_id": version.id, "snapshot_digest": version.snapshot_digest}
            await connection.execute(update(runs).where(runs.c.id == run.id).values(**pinned, **fields))
            return await require_run(connection, run.id)

    async def run(self, run: Run) -> Run:
        """As it is now."""
        async with self.database.read() as connection:
            return await require_run(connection, run.id)
