"""Which projects a worker serves. One that cannot be loaded is written down for people, and stops no other."""

import asyncio
import logging
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

from shadowgraph.db.patience import outlast_outage
from shadowgraph.engine.loading.errors import BadProject, facts_of
from shadowgraph.engine.loading.options import name_of_project
from shadowgraph.engine.projects import Project, load_project_within
from shadowgraph.runs.alerts import BAD_PROJECT, close_alerts, renew_alert
from shadowgraph.runs.workers import find_served_elsewhere
from shadowgraph.wiring.common import Base

log = logging.getLogger(__name__)

LOADED = "loaded"
"""Closes the alert of a project that could not be loaded before."""


async def load_projects(base: Base, directories: Sequence[Path]) -> list[Project]:
    """Those that can be served, in this order: of two with a workflow of one name, the first.

    Errors: `BadProject`, the first one's, when none is left.
    """
    served: list[Project] = []
    errors: list[BadProject] = []
    for directory in directories:
        try:
            project = await asyncio.to_thread(load_project_within, base.settings.project_load_seconds, directory)
            _require_new_names(project, served)
            await outlast_outage(partial(_accept, base, project))
            served.append(project)
        except BadProject as error:
            errors.append(error)
            name = name_of_project(directory)
            log.error("project %s is not served: %s", name, _in_lines(error))
            await outlast_outage(partial(_report, base, name, error))
    if errors and not served:
        raise errors[0]
    return served


def _require_new_names(project: Project, served: Iterable[Project]) -> None:
    for other in served:
        if taken := sorted(project.workflows.keys() & other.workflows.keys()):
            raise _name_taken(taken[0], other.name)


def _name_taken(workflow: str, owner: str) -> BadProject:
    return BadProject(
        f"project {owner!r} serves a workflow {workflow!r} already", hint="give it another name in langgraph.json"
    )


async def _accept(base: Base, project: Project) -> None:
    async with base.database.write() as connection:
        elsewhere = await find_served_elsewhere(
            connection, project.workflows, project=project.name, within_seconds=base.settings.lease_seconds
        )
        for workflow, owner in sorted(elsewhere.items()):
            raise _name_taken(workflow, owner)
        await close_alerts(connection, kind=BAD_PROJECT, subject=project.name, who=LOADED)
    for about, what in project.notes.items():
        log.warning("project %s: %s: %s", project.name, about, what)


async def _report(base: Base, name: str, error: BadProject) -> None:
    async with base.database.write() as connection:
        await renew_alert(
            connection,
            base.database.dialect,
            kind=BAD_PROJECT,
            subject=name,
            message=error.message,
            at=base.clock.now(),
            data=facts_of(error),
        )


def _in_lines(error: BadProject) -> str:
    facts = facts_of(error)
    lines = [error.message, *(f"  {item['pointer']}: {item['detail']}" for item in facts["errors"])]
    return "\n".join([*lines, *([f"  fix: {error.hint}"] if error.hint else [])])
