"""Worker processes for code that nobody has loaded: started when runs wait for it, ended when none has needed it for a while."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.db.engine import is_outage
from shadowgraph.engine.loading.config import read_config
from shadowgraph.engine.loading.errors import BadProject
from shadowgraph.runs.alerts import close_alerts, raise_alert
from shadowgraph.runs.pools import drives_runs, list_unserved, note_unserved
from shadowgraph.runs.workers import list_codes
from shadowgraph.versioning.pinning import Needed
from shadowgraph.wiring.children import (
    Audience,
    Nursery,
    family_of,
    fingerprint,
    pass_on,
    pulse_seconds,
    rules_for,
    tell_trouble,
)
from shadowgraph.wiring.common import Base, background
from shadowgraph.wiring.orders import order_for
from shadowgraph.wiring.plan import Place, WorkPlan
from shadowgraph.worker.children import Children, ChildSpec, Rules

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
NO_CODE_WORKER = "no_code_worker"
"""Reason of runs whose version's code cannot be loaded here, and kind of the alert; its subject is the snapshot."""
LOADED = "loaded"
"""Closes that alert."""


@asynccontextmanager
async def code_workers_at_work(
    base: Base, plan: WorkPlan, *, after: Callable[[], Awaitable[None]], drain_seconds: float | None = None
) -> AsyncIterator[None]:
    """For the projects that this process serves, here or in worker processes, while the block is open.

    `after`: returns when these have said which code they have; before, a process would be started for it.
    """
    settings, homes = base.settings, homes_of([*plan.here, *(place.project for place in plan.places)])
    if not settings.versioning_enabled or not settings.max_code_workers:
        yield
        return
    rules = rules_for(settings, drain_seconds=drain_seconds, memory_bytes=plan.memory_bytes)
    async with AsyncExitStack() as stack:
        nursery = Nursery()
        stack.push_async_callback(nursery.close)
        troubles = _Troubles()
        children = await stack.enter_async_context(family_of(base, [], rules, Audience(pass_on, troubles.note)))
        workers = CodeWorkers(base, homes, children, nursery, rules, troubles)
        await stack.enter_async_context(background(workers.run(after)))
        yield


def homes_of(projects: Sequence[Path]) -> dict[str, Path]:
    """The folder of each workflow; of two with one name, the first. A folder that cannot be read serves nothing anyway."""
    found: dict[str, Path] = {}
    for project in projects:
        try:
            workflows = read_config(project).graphs
        except BadProject as error:
            log.debug("%s: %s", project, error.message)
            continue
        found = {**dict.fromkeys(workflows, project), **found}
    return found


@dataclass(slots=True)
class _Troubles:
    """What worker processes have said since the last look, by place."""

    new: dict[str, str | None] = field(default_factory=dict)

    def note(self, place: str, trouble: str | None) -> None:
        tell_trouble(place, trouble)
        self.new[place] = trouble

    def take(self) -> Mapping[str, str | None]:
        taken, self.new = self.new, {}
        return taken


@dataclass(slots=True)
class _Kept:
    """A place of ours."""

    needed: Needed
    last_needed: float
    """Seconds of the monotonic clock."""


class CodeWorkers:
    def __init__(
        self,
        base: Base,
        homes: Mapping[str, Path],
        children: Children,
        nursery: Nursery,
        rules: Rules,
        troubles: _Troubles,
    ) -> None:
        self._base = base
        self._homes = homes
        self._children = children
        self._nursery = nursery
        self._rules = rules
        self._troubles = troubles
        self._kept: dict[str, _Kept] = {}
        """By the name of the place."""

    async def run(self, after: Callable[[], Awaitable[None]]) -> None:
        """Until cancelled."""
        await after()
        while True:
            try:
                await self._look()
            except Exception as error:
                if not is_outage(error):
                    log.exception("worker processes for other code could not be looked after")
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        async with self._base.database.read() as connection:
            served = await list_codes(connection, within_seconds=self._base.settings.lease_seconds)
            unserved = await list_unserved(connection, served)
            await self._note_use(connection, unserved)
        await self._tell(self._troubles.take())
        self._end_idle(unserved)
        for needed in unserved:
            if needed.workflow in self._homes and place_of(needed) not in self._kept and self._has_room():
                self._start(needed)

    async def _note_use(self, connection: AsyncConnection, unserved: Sequence[Needed]) -> None:
        now = self._base.clock.monotonic()
        self._kept = {place: kept for place, kept in self._kept.items() if place in self._children.places}
        wanted = {needed.code for needed in unserved}
        for place, kept in self._kept.items():
            if kept.needed.code in wanted or await drives_runs(connection, self._children.worker_ids(place)):
                kept.last_needed = now

    def _has_room(self) -> bool:
        return len(self._kept) < self._base.settings.max_code_workers

    def _end_idle(self, unserved: Collection[Needed]) -> None:
        """After a while; at once where another one needs the room."""
        now, patience = self._base.clock.monotonic(), self._base.settings.code_worker_idle_s
        needs_room = not self._has_room() and any(place_of(needed) not in self._kept for needed in unserved)
        for place, kept in self._kept.items():
            idle = now - kept.last_needed
            if idle > (min(patience, LOOK_SECONDS) if needs_room else patience):
                log.info("worker process %s is not needed any more", place)
                self._children.retire(place)

    def _start(self, needed: Needed) -> None:
        place, home = place_of(needed), self._homes[needed.workflow]
        log.info("worker process %s starts: runs wait for the code of another version", place)
        slots = self._base.settings.worker_slots
        order = order_for(
            Place(home, 1, 1, slots), self._base.settings, self._rules, pulse_seconds=pulse_seconds(self._rules)
        )
        spec = ChildSpec(
            name=place,
            project=place,
            order={**order, "snapshot": needed.snapshot_digest},
            server=lambda: self._nursery.server_for(home),
            fingerprint=partial(fingerprint, home),
        )
        self._kept[place] = _Kept(needed, self._base.clock.monotonic())
        self._children.add(spec)

    async def _tell(self, troubles: Mapping[str, str | None]) -> None:
        for place, trouble in troubles.items():
            kept = self._kept.get(place)
            if kept is None:
                continue
            async with self._base.database.write() as connection:
                await self._write_down(connection, kept.needed, trouble)

    async def _write_down(self, connection: AsyncConnection, needed: Needed, trouble: str | None) -> None:
        if trouble is None:
            await close_alerts(connection, kind=NO_CODE_WORKER, subject=needed.snapshot_digest, who=LOADED)
            return
        await note_unserved(connection, needed.code, reason=NO_CODE_WORKER)
        await raise_alert(
            connection,
            self._base.database.dialect,
            kind=NO_CODE_WORKER,
            subject=needed.snapshot_digest,
            workflow=needed.workflow,
            message=trouble,
            at=self._base.clock.now(),
        )


def place_of(needed: Needed) -> str:
    """Its name, for people and for us."""
    return f"{needed.workflow}@{needed.code[:8]}"
