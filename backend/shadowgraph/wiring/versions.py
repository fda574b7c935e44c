"""A workflow that is served for the first time gets its first version: the project as it is deployed."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from shadowgraph.core.errors import Conflict, Invalid
from shadowgraph.core.json import JsonObject
from shadowgraph.db.patience import outlast_outage, read_patiently
from shadowgraph.engine.projects import Project
from shadowgraph.engine.snapshots import take_snapshot
from shadowgraph.runs import releases
from shadowgraph.runs.alerts import close_alerts, renew_alert
from shadowgraph.runs.releases import Order
from shadowgraph.runs.service import LOCAL_OWNER
from shadowgraph.versioning import repository
from shadowgraph.versioning.digests import code_digest_of
from shadowgraph.versioning.errors import InvalidSnapshot, SecretInSnapshot
from shadowgraph.versioning.provenance import find_builder, find_source
from shadowgraph.versioning.repository import Version
from shadowgraph.versioning.service import NewVersion, keep_copies
from shadowgraph.versioning.snapshot import Snapshot
from shadowgraph.versioning.store import BlobFiles
from shadowgraph.wiring.common import Base

log = logging.getLogger(__name__)

NO_VERSION = "no_version"
"""Kind of the alert of a workflow that is served without a version; its subject is the workflow."""

MESSAGE = "as it was deployed first"
IN_DEVELOPMENT = "as its folder is (--dev)"
MADE = "made"
"""Closes that alert."""

Deploy = Callable[[Base, Snapshot, JsonObject], Awaitable[None]]
"""Takes where it was built, too."""


async def register_first_versions(base: Base, projects: Sequence[Project]) -> Mapping[str, str] | None:
    """The code of each workflow as it was loaded (`digests.code_digest_of`); None: there are no versions here.

    Of what cannot be a version people are told; it is served all the same, as long as it has none.
    """
    return await _register_all(base, projects, tell_of_change)


async def deploy_and_promote(base: Base, projects: Sequence[Project]) -> Mapping[str, str] | None:
    """The same, and what the folders have now becomes active."""
    return await _register_all(base, projects, _promote_folder)


OnChange = Callable[[Base, Project, Snapshot, Version], Awaitable[None]]
"""What to do with a project that is not the active version any more."""


async def _register_all(base: Base, projects: Sequence[Project], on_change: OnChange) -> Mapping[str, str] | None:
    if not base.settings.versioning_enabled:
        return None
    codes: dict[str, str] = {}
    for project in projects:
        for workflow in project.workflows:
            snapshot = await _look_at(base, project, workflow, on_change)
            if snapshot is not None:
                codes[workflow] = code_digest_of(snapshot.manifest.facets)
    return codes


async def _look_at(base: Base, project: Project, workflow: str, on_change: OnChange) -> Snapshot | None:
    """None: it cannot be a version."""
    active = await read_patiently(base.database, lambda connection: repository.find_active(connection, workflow))
    try:
        taken = await asyncio.to_thread(take_snapshot, project, workflow)
    except (InvalidSnapshot, SecretInSnapshot) as error:
        await _refuse(base, workflow, active, error)
        return None
    if active is None:
        await _store(base, project, taken.snapshot, _deploy)
    elif active.snapshot_digest != taken.snapshot.digest:
        await on_change(base, project, taken.snapshot, active)
    return taken.snapshot


async def tell_of_change(base: Base, project: Project, snapshot: Snapshot, active: Version) -> None:
    log.warning(
        "workflow %s: the project changed since %s, which runs go on with; to run what it has now: versions deploy, versions promote",
        *(active.workflow, active.label),
    )


async def _promote_folder(base: Base, project: Project, snapshot: Snapshot, active: Version) -> None:
    try:
        await _store(base, project, snapshot, _deploy_active)
    except Conflict as error:
        log.warning("workflow %s stays on %s: %s", active.workflow, active.label, error.message)


async def _store(base: Base, project: Project, snapshot: Snapshot, deploy: Deploy) -> None:
    source = await asyncio.to_thread(find_source, project.directory)
    await keep_copies(BlobFiles(base.settings.snapshots), snapshot.blobs)
    await outlast_outage(partial(deploy, base, snapshot, {**source, **find_builder()}))


async def _refuse(base: Base, workflow: str, active: Version | None, error: InvalidSnapshot | SecretInSnapshot) -> None:
    if active is not None:
        log.warning(
            "workflow %s cannot be a version as it is, so runs go on with %s: %s", workflow, active.label, error.message
        )
        return
    log.warning("workflow %s is served without a version: %s", workflow, error.message)
    await outlast_outage(partial(_report, base, workflow, error))


async def _deploy(base: Base, snapshot: Snapshot, provenance: JsonObject) -> None:
    new = NewVersion(MESSAGE, LOCAL_OWNER, provenance)
    async with base.database.write() as connection:
        deployed = await releases.deploy(connection, base.database.dialect, snapshot, new, clock=base.clock)
        await close_alerts(connection, kind=NO_VERSION, subject=snapshot.manifest.workflow, who=MADE)
    releases.tell(deployed.event)


async def _deploy_active(base: Base, snapshot: Snapshot, provenance: JsonObject) -> None:
    new = NewVersion(IN_DEVELOPMENT, LOCAL_OWNER, provenance)
    order = Order(LOCAL_OWNER, IN_DEVELOPMENT)
    dialect, clock = base.database.dialect, base.clock
    async with base.database.write() as connection:
        version = (await releases.deploy(connection, dialect, snapshot, new, clock=clock)).added.version
        changed = await releases.promote(connection, dialect, version, order, force=True, clock=clock)
    releases.tell(changed.event)


async def _report(base: Base, workflow: str, error: Invalid) -> None:
    async with base.database.write() as connection:
        await renew_alert(
            connection,
            base.database.dialect,
            kind=NO_VERSION,
            subject=workflow,
            message=error.message,
            at=base.clock.now(),
            data=_facts(error),
        )


def _facts(error: Invalid) -> Mapping[str, Any]:
    return {"code": error.code, "hint": error.hint, "errors": error.facts.get("errors", [])}
