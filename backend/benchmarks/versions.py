"""Snapshots, and a rollback under way: how long they take.

    python -m benchmarks.versions [--queued 10000] [--running 200] [--rounds 20]

Goals: at most 50 ms to build and verify a snapshot of the pipeline; at most 250 ms for the one transaction of a rollback with `restart` on
PostgreSQL, with so many queued and running runs; at most 1 ms that pinning adds to a claim.
"""

import asyncio
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from sqlalchemy import insert, select, update

from benchmarks.figures import latencies, report
from benchmarks.server import POSTGRESQL
from shadowgraph.core.ids import new_worker_id
from shadowgraph.db.dialect import now_ms
from shadowgraph.db.engine import Database
from shadowgraph.engine.projects import load_project
from shadowgraph.engine.snapshots import take_snapshot
from shadowgraph.models.runs import runs
from shadowgraph.runs.claims import Claimant, claim_run
from shadowgraph.runs.inflight import InFlight
from shadowgraph.versioning.archive import read_archive, write_archive
from shadowgraph.versioning.digests import code_digest_of
from shadowgraph.versioning.repository import Version
from shadowgraph.wiring.plan import BUILT_IN_PROJECT
from tests.support.database import migrate_database, postgresql_database
from tests.support.releases import Releases, snapshot_number
from tests.support.runs import CLOCK, LEASE_MS, start_run

BATCH = 500
CLAIMS = 200
CLAIMED = "claimed"
"""Workflow of the runs that are claimed."""


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--queued", type=int, default=10_000)
    parser.add_argument("--running", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    figures = {"snapshot_ms": _snapshots(options.rounds)}
    with postgresql_database(POSTGRESQL) as url:
        migrate_database(url)
        figures["claim_ms_postgresql"] = asyncio.run(_claims(url))
        figures["rollback_ms_postgresql"] = asyncio.run(_rollbacks(url, options.queued, options.running))
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/shadowgraph.db"
        migrate_database(url)
        figures["claim_ms_sqlite"] = asyncio.run(_claims(url))
        figures["rollback_ms_sqlite"] = asyncio.run(_rollbacks(url, options.queued, options.running))
    report("versions", {"queued": options.queued, "running": options.running, **figures})


def _snapshots(rounds: int) -> dict[str, Any]:
    project = load_project(Path(BUILT_IN_PROJECT))
    archive = write_archive(take_snapshot(project, "pipeline").snapshot)
    return {
        "build": latencies(_timed(lambda: take_snapshot(project, "pipeline"), rounds)),
        "verify": latencies(_timed(lambda: read_archive(archive), rounds)),
    }


def _timed(work: Callable[[], Any], rounds: int) -> list[float]:
    samples = []
    for _ in range(rounds):
        began = perf_counter()
        work()
        samples.append((perf_counter() - began) * 1000)
    return samples


async def _claims(url: str) -> dict[str, Any]:
    """First claims, in turns of a worker that pins and one that does not; what pinning adds."""
    database = Database(url)
    samples: dict[bool, list[float]] = {True: [], False: []}
    try:
        deployed = await Releases(database).deploy(snapshot_number(1, CLAIMED))
        manifest = snapshot_number(1, CLAIMED).manifest
        assert deployed.event is not None
        codes = {CLAIMED: code_digest_of(manifest.facets)}
        for number in range(2 * CLAIMS):
            is_pinned = number % 2 == 0
            await start_run(database, CLAIMED)
            claimant = Claimant(new_worker_id(), {CLAIMED: "files"}, LEASE_MS, codes if is_pinned else None)
            began = perf_counter()
            async with database.write() as connection:
                run = await claim_run(connection, claimant, clock=CLOCK)
            samples[is_pinned].append((perf_counter() - began) * 1000)
            assert run is not None
            assert (run.version_id is not None) == is_pinned
    finally:
        await database.close()
    added = median(samples[True]) - median(samples[False])
    return {"pinned": latencies(samples[True]), "not": latencies(samples[False]), "added_p50": round(added, 3)}


async def _rollbacks(url: str, queued: int, running: int) -> dict[str, Any]:
    """Five of them; the running runs are pinned anew before each."""
    database = Database(url)
    releases = Releases(database)
    try:
        _, second = await releases.deploy_many(2)
        await _fill(database, await releases.pin(second), queued + running)
        samples = []
        for _ in range(5):
            await releases.promote(second, force=True)
            await _run(database, second, running)
            began = perf_counter()
            changed = await releases.rollback("v1", in_flight=InFlight.RESTART)
            samples.append((perf_counter() - began) * 1000)
            assert len(changed.moved) == running
        return {"median_of_5": round(sorted(samples)[2], 1), "max": round(max(samples), 1)}
    finally:
        await database.close()


async def _fill(database: Database, template: Any, count: int) -> None:
    async with database.write() as connection:
        row = dict((await connection.execute(select(runs).where(runs.c.id == template.id))).mappings().one())
        row |= {"version_id": None, "snapshot_digest": None}
        for start in range(0, count, BATCH):
            ids = [f"run_{number:036}" for number in range(start, min(start + BATCH, count))]
            await connection.execute(insert(runs), [{**row, "id": run_id, "thread_id": run_id} for run_id in ids])
        await connection.execute(update(runs).where(runs.c.id == template.id).values(version_id=None))


async def _run(database: Database, version: Version, running: int) -> None:
    """As the claims of workers leave them."""
    held = {"status": "RUNNING", "lease_owner": "wrk_1", "lease_token": runs.c.lease_token + 1}
    pinned = {"version_id": version.id, "snapshot_digest": version.snapshot_digest}
    async with database.write() as connection:
        some = select(runs.c.id).where(runs.c.status == "QUEUED").order_by(runs.c.id).limit(running)
        values = {**held, **pinned, "lease_expires_at": now_ms() + 60_000}
        await connection.execute(update(runs).where(runs.c.id.in_(some)).values(values))


if __name__ == "__main__":
    main()
