"""Worker processes below this one: what they are told, what they say, and what becomes of their runs when they die."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shadowgraph.core.ids import WorkerId
from shadowgraph.core.logging import prefixed
from shadowgraph.core.settings import Settings
from shadowgraph.db.patience import outlast_outage
from shadowgraph.engine.loading.files import digest_files
from shadowgraph.queue.inprocess import InProcessBroadcast, InProcessWakeups
from shadowgraph.queue.link import Frame
from shadowgraph.queue.message import JobMessage
from shadowgraph.runs.takeover import take_from_worker
from shadowgraph.wiring.common import Base, background
from shadowgraph.wiring.forkserver import start_server
from shadowgraph.wiring.interpreters import OURS, Interpreter, changed_at, find_interpreter, has_environment
from shadowgraph.wiring.orders import order_for
from shadowgraph.wiring.plan import BUILT_IN_PROJECT, Place, WorkPlan, name_of
from shadowgraph.worker.children import RETRY_SECONDS, Children, ChildSpec, Observers, Rules
from shadowgraph.worker.draining import DRAIN_SECONDS
from shadowgraph.worker.forkserver import ForkServer

log = logging.getLogger(__name__)

SILENCE_PER_LEASE = 0.75
"""A process that gives no sign of life for so much of a lease is killed. Its last heartbeat is at most a sixth older: its runs are still its own
then, so that they can say why they were taken."""
PULSES_PER_SILENCE = 10
SAVED_SECONDS = 0.5
"""How often the files of a project in development are looked at."""
RELEASE_SECONDS = 10.0
"""How long a dead worker's runs are tried to be freed at once; the sweeper does it later."""


def pass_on(project: str, line: str) -> None:
    try:
        sys.stderr.write(prefixed(line, project) + "\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        log.debug("nobody reads what worker processes write")


def tell_trouble(project: str, trouble: str | None) -> None:
    if trouble is None:
        return
    again = f"it is tried again when its files change, and every {RETRY_SECONDS:g} s"
    for line in (*f"project {project} cannot be served: {trouble}".splitlines(), again):
        pass_on(project, line)


@dataclass(frozen=True, slots=True)
class Audience:
    """Who is told what worker processes write, and that they work or cannot."""

    on_words: Callable[[str, str], None] = pass_on
    on_begin: Callable[[str, str | None], None] = tell_trouble


STDERR = Audience()


class Nursery:
    """Fork servers, one for each interpreter: made when they are needed, and again when they are gone."""

    def __init__(self) -> None:
        self._servers: dict[Path, ForkServer] = {}
        self._choices: dict[Path, Interpreter] = {}
        self._turn = asyncio.Lock()

    async def prepare(self) -> None:
        """While this process still has one thread: then the server for our own interpreter is a copy of it."""
        await self._server_of(OURS)

    async def server_for(self, project: Path) -> ForkServer:
        async with self._turn:
            interpreter = OURS if project == BUILT_IN_PROJECT else await find_interpreter(project)
            if self._choices.get(project) != interpreter:
                self._choices[project] = interpreter
                if interpreter.note:
                    log.info("project %s: %s", name_of(project), interpreter.note)
            return await self._server_of(interpreter)

    async def _server_of(self, interpreter: Interpreter) -> ForkServer:
        server = self._servers.get(interpreter.path)
        if server is None or server.is_gone:
            if server is not None:
                await server.close()
            server = self._servers[interpreter.path] = await start_server(interpreter)
        return server

    async def close(self) -> None:
        await asyncio.gather(*(server.close() for server in self._servers.values()))


@asynccontextmanager
async def open_nursery(plan: WorkPlan) -> AsyncIterator[Nursery | None]:
    """Before anything else of this process is opened; None when the plan has no worker processes."""
    if not plan.places:
        yield None
        return
    nursery = Nursery()
    try:
        if any(place.project == BUILT_IN_PROJECT or not has_environment(place.project) for place in plan.places):
            await nursery.prepare()
        yield nursery
    finally:
        await nursery.close()


@asynccontextmanager
async def children_at_work(
    base: Base, plan: WorkPlan, nursery: Nursery, *, drain_seconds: float | None = None, audience: Audience = STDERR
) -> AsyncIterator[Children]:
    """Worker processes for all places of the plan, while the block is open."""
    rules = rules_for(base.settings, drain_seconds=drain_seconds, memory_bytes=plan.memory_bytes)
    specs = [_spec(place, plan, base.settings, rules, nursery) for place in plan.places]
    async with AsyncExitStack() as stack:
        children = await stack.enter_async_context(family_of(base, specs, rules, audience))
        if plan.dev:
            await stack.enter_async_context(background(_restart_on_change(children, plan)))
        yield children


async def _restart_on_change(children: Children, plan: WorkPlan) -> None:
    """Until cancelled: the worker processes of a project whose files were saved begin anew, and load what it has now."""
    projects = {place.project for place in plan.places if place.project != BUILT_IN_PROJECT}
    seen = {project: await asyncio.to_thread(fingerprint, project) for project in projects}
    while True:
        await asyncio.sleep(SAVED_SECONDS)
        for project in projects:
            found = await asyncio.to_thread(fingerprint, project)
            if found != seen[project]:
                seen[project] = found
                for place in plan.places:
                    if place.project == project:
                        children.restart(place.name)


def rules_for(settings: Settings, *, drain_seconds: float | None, memory_bytes: int | None = None) -> Rules:
    silence = settings.lease_seconds * SILENCE_PER_LEASE
    drain = DRAIN_SECONDS if drain_seconds is None else drain_seconds
    return Rules(silence, drain, settings.blocked_seconds, memory_bytes)


@asynccontextmanager
async def family_of(
    base: Base, specs: Sequence[ChildSpec], rules: Rules, audience: Audience
) -> AsyncIterator[Children]:
    family = _Family(base)
    observers = Observers(family.hear, family.release, audience.on_words, audience.on_begin)
    children = Children(specs, rules, observers, clock=base.clock)
    async with background(*family.errands(children.tell)), children.running():
        yield children


def _spec(place: Place, plan: WorkPlan, settings: Settings, rules: Rules, nursery: Nursery) -> ChildSpec:
    is_dev = plan.dev and place.project != BUILT_IN_PROJECT
    return ChildSpec(
        name=place.name,
        project=name_of(place.project),
        order={**order_for(place, settings, rules, pulse_seconds=pulse_seconds(rules)), "dev": is_dev},
        server=lambda: nursery.server_for(place.project),
        fingerprint=lambda: fingerprint(place.project),
    )


def pulse_seconds(rules: Rules) -> float:
    return rules.silence_seconds / PULSES_PER_SILENCE


def fingerprint(project: Path) -> tuple[Any, ...]:
    """Of all that can make a project loadable."""
    return digest_files(project), changed_at(project)


class _Family:
    """What passes between this process and its children."""

    def __init__(self, base: Base) -> None:
        self._base = base

    def errands(self, tell: Callable[[Frame], None]) -> Sequence[Awaitable[None]]:
        """Jobs where the queue is ours alone, wishes where the wake-ups are."""
        queue, wakeups = self._base.queue, self._base.wakeups
        return [
            *([self._send_jobs(queue, tell)] if isinstance(queue, InProcessBroadcast) else []),
            *([self._send_wishes(wakeups, tell)] if isinstance(wakeups, InProcessWakeups) else []),
        ]

    async def _send_jobs(self, queue: InProcessBroadcast, tell: Callable[[Frame], None]) -> None:
        def pass_on(message: JobMessage, pool: str | None) -> None:
            tell(Frame(job=message, pool=pool))

        await queue.overhear(pass_on)

    async def _send_wishes(self, wakeups: InProcessWakeups, tell: Callable[[Frame], None]) -> None:
        async with wakeups.subscribe() as wakes:
            async for wake in wakes:
                if wake.control:
                    tell(Frame(wake=wake))

    def hear(self, frame: Frame) -> None:
        if frame.wake and isinstance(self._base.wakeups, InProcessWakeups):
            self._base.wakeups.deliver(frame.wake)

    async def release(self, worker_id: WorkerId, cause: str) -> None:
        """Its runs go on elsewhere at once, and say why."""
        try:
            async with asyncio.timeout(RELEASE_SECONDS):
                await outlast_outage(lambda: self._take(worker_id, cause))
        except TimeoutError:
            log.warning("the runs of worker %s could not be freed now; they are when its leases end", worker_id)

    async def _take(self, worker_id: WorkerId, cause: str) -> None:
        async with self._base.database.write() as connection:
            taken = await take_from_worker(connection, worker_id, cause=cause, clock=self._base.clock)
        for item in taken:
            log.warning("run %s lost its worker (%s) and is %s now", item.run_id, cause, item.status)
        self._base.relay.nudge()
