"""A workflow that is served for the first time gets its first version: the project as it is deployed."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from shadowgraph.core.errors import Invalid
from shadowgraph.core.json import JsonObject
from shadowgraph.db.patience import outlast_outage
from shadowgraph.engine.projects import Project
from shadowgraph.engine.snapshots import take_snapshot
from shadowgraph.runs import releases
from shadowgraph.runs.alerts import close_alerts, renew_alert
from shadowgraph.runs.service import LOCAL_OWNER
from shadowgraph.versioning import repository
from shadowgraph.versioning.errors import InvalidSnapshot, SecretInSnapshot
from shadowgraph.versioning.provenance import find_builder, find_source
from shadowgraph.versioning.service import NewVersion, keep_copies
from shadowgraph.versioning.snapshot import Snapshot
from shadowgraph.versioning.store import BlobFiles
from shadowgraph.wiring.common import Base

log = logging.getLogger(__name__)

NO_VERSION = "no_version"
"""Kind of the alert of a workflow that is served without a version; its subject is the workflow."""

MESSAGE = "as it was deployed first"
MADE = "made"
"""Closes that alert."""


async def register_first_versions(base: Base, projects: Sequence[Project]) -> None:
    """Of what cannot be a version people are told; it is served all the same."""
    if not base.settings.versioning_enabled:
        return
    for project in projects:
        for workflow in project.workflows:
            if not await outlast_outage(partial(_has_version, base, workflow)):
                await _register(base, project, workflow)


async def _has_version(base: Base, workflow: str) -> bool:
    async with base.database.read() as connection:
        return await repository.find_release(connection, workflow) is not None


async def _register(base: Base, project: Project, workflow: str) -> None:
    try:
        taken = await asyncio.to_thread(take_snapshot, project, workflow)
    except (InvalidSnapshot, SecretInSnapshot) as error:
        log.warning("workflow %s is served without a version: %s", workflow, error.message)
        await outlast_outage(partial(_report, base, workflow, error))
        return
    source = await asyncio.to_thread(find_source, project.directory)
    await keep_copies(BlobFiles(base.settings.snapshots), taken.snapshot.blobs)
    await outlast_outage(partial(_deploy, base, taken.snapshot, {**source, **find_builder()}))


async def _deploy(base: Base, snapshot: Snapshot, provenance: JsonObject) -> None:
    new = NewVersion(MESSAGE, LOCAL_OWNER, provenance)
    async with base.database.write() as connection:
        deployed = await releases.deploy(connection, base.database.dialect, snapshot, new, clock=base.clock)
        await close_alerts(connection, kind=NO_VERSION, subject=snapshot.manifest.workflow, who=MADE)
    releases.tell(deployed.event)


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
