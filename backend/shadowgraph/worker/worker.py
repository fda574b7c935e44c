"""Finds runs, claims them and drives them: fed by messages, and by a poll that makes lost messages harmless."""

import asyncio
import contextlib
import logging
import os
import random
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from shadowgraph.core import failpoints
from shadowgraph.core.ids import RunId, WorkerId, new_worker_id
from shadowgraph.core.waiting import end_tasks, wait_at_most
from shadowgraph.db.engine import is_outage
from shadowgraph.engine.driver import PAUSE, Drive, Driver
from shadowgraph.engine.projects import Project
from shadowgraph.engine.session import DriverParts
from shadowgraph.queue.message import JobMessage
from shadowgraph.queue.port import JobQueue
from shadowgraph.runs.claims import Claimant, Held, ReleaseMoved, claim_run, seconds_left
from shadowgraph.runs.workers import (
    Register,
    WorkerInfo,
    WorkflowInfo,
    forget_worker,
    register_worker,
    register_workflow,
)
from shadowgraph.worker.draining import DRAIN_SECONDS, HAND_BACK_SECONDS
from shadowgraph.worker.heartbeat import Heartbeat, Leases
from shadowgraph.worker.presence import Presence
from shadowgraph.worker.slots import Slots
from shadowgraph.worker.threads import NodeThreads

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    slots: int
    lease_seconds: float
    build: str
    direct_url: str
    """Past a pooler, for the session lock."""
    drain_seconds: float = DRAIN_SECONDS
    poll_seconds: float = POLL_SECONDS


class Worker:
    def __init__(
        self,
        parts: DriverParts,
        projects: Sequence[Project],
        queue: JobQueue,
        settings: WorkerSettings,
        *,
        worker_id: WorkerId | None = None,
        codes: Mapping[str, str] | None = None,
        register: Register = register_workflow,
    ) -> None:
        """`worker_id`: where somebody else has to know it. `codes`: as those of `Claimant`. `register`: says what a workflow is."""
        self.id: WorkerId = worker_id or new_worker_id()
        self._parts = parts
        self._database = parts.database
        self._queue = queue
        self._settings = settings
        self._driver = Driver(parts)
        self._register_workflow = register
        self._projects: Mapping[str, Project] = {name: project for project in projects for name in project.workflows}
        self._claimant = Claimant(
            self.id,
            {name: project.code_digest for name, project in self._projects.items()},
            int(settings.lease_seconds * 1000),
            codes,
        )
        self._pools = frozenset([*(project.name for project in projects), *(codes or {}).values()])
        self._has_work = asyncio.Event()
        self._is_stopping = False
        self._claiming: set[asyncio.Task[bool]] = set()
        self._slots = Slots(settings.slots, on_free=self._has_work.set)
        self._loop = asyncio.get_running_loop()

    def describe(self) -> str:
        return f"worker {self.id}: {self._settings.slots} slots for {', '.join(sorted(self._projects))}"

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Worker"]:
        """Works while the block is open; then drains: nodes finish, what is left is handed back."""
        async with contextlib.AsyncExitStack() as stack:
            presence = await self._take_presence(stack)
            await self._register(presence)
            stack.push_async_callback(self._forget)
            heartbeat = stack.enter_context(self._heartbeat().beating())
            self._loop.set_default_executor(NodeThreads())
            parts: dict[str, Callable[[], Awaitable[None]]] = {
                "consumer": partial(self._queue.consume, self._on_message, pools=self._pools),
                "poll": self._poll,
                "control": partial(self._listen, heartbeat),
            }
            tasks = [
                asyncio.create_task(_keep_going(name, work), name=f"worker {name}") for name, work in parts.items()
            ]
            try:
                yield self
            finally:
                await self._stop(tasks)

    async def _take_presence(self, stack: contextlib.AsyncExitStack) -> int | None:
        if self._database.dialect != "postgresql":
            return None
        presence = Presence(self._settings.direct_url, seen_through_url=self._database.url)
        return (await stack.enter_async_context(presence.held())).number

    async def _register(self, presence: int | None) -> None:
        now = self._parts.clock.now()
        info = WorkerInfo(
            id=self.id,
            host=socket.gethostname(),
            pid=os.getpid(),
            build=self._settings.build,
            pools=sorted(self._projects),
            codes=None if self._claimant.codes is None else sorted(self._claimant.codes.values()),
            slots=self._settings.slots,
            started_at=now,
            presence=presence,
        )
        async with self._database.write() as connection:
            await register_worker(connection, info)
            for described in self._workflow_infos():
                await self._register_workflow(connection, self._database.dialect, described, at=now)

    def _workflow_infos(self) -> list[WorkflowInfo]:
        return [
            WorkflowInfo(
                name=name,
                project=project.name,
                code_digest=project.code_digest,
                input_schema=project.workflows[name].input_schema,
                output_schema=project.workflows[name].output_schema,
                graph=project.workflows[name].topology,
                description=project.workflows[name].description,
                timeout_s=project.workflows[name].timeout_seconds,
                default_budget_usd=project.workflows[name].default_budget_usd,
            )
            for name, project in sorted(self._projects.items())
        ]

    async def _forget(self) -> None:
        try:
            async with self._database.write() as connection:
                await forget_worker(connection, self.id)
        except Exception as error:
            if not is_outage(error):
                raise
            log.warning("the database is away: this worker's row stays until it is cleaned up")

    def _heartbeat(self) -> Heartbeat:
        return Heartbeat(
            self._database.url,
            worker_id=self.id,
            lease_seconds=self._settings.lease_seconds,
            leases=self._leases,
            on_beat=self._judge_soon,
        )

    # --- finding work -------------------------------------------------------------------------------------------------------

    async def _on_message(self, message: JobMessage) -> None:
        """The message is acknowledged when this returns: by then the run is claimed, or not for us to claim."""
        has_it = message.why == "created" and message.id in self._slots.active  # the poll was faster
        if message.kind == "run" and not has_it:
            await self._claim_one(message.id)

    async def _poll(self) -> None:
        while True:
            try:
                while await self._claim_one():
                    pass
            except Exception as error:
                if not is_outage(error):
                    log.exception("the poll failed")
            await wait_at_most(self._has_work, self._settings.poll_seconds * random.uniform(0.8, 1.2))
            self._has_work.clear()

    async def _claim_one(self, run_id: str | None = None) -> bool:
        """False when there was nothing to claim, or no slot for it.

        Once begun it is finished, even when this worker stops meanwhile: a run that was claimed and not begun would wait for its lease.
        """
        if self._is_stopping or not self._slots.take():
            return False
        claiming = asyncio.create_task(self._claim(run_id))
        self._claiming.add(claiming)
        claiming.add_done_callback(self._claiming.discard)
        return await asyncio.shield(claiming)

    async def _claim(self, run_id: str | None) -> bool:
        try:
            async with self._database.write() as connection:
                run = await claim_run(connection, self._claimant, clock=self._parts.clock, run_id=run_id)
        except ReleaseMoved as error:
            log.info("a run is left to others: %s", error.message)
            run = None
        except BaseException:
            self._slots.give_back()
            raise
        if run is None:
            self._slots.give_back()
            return False
        failpoints.hit("worker.claim.committed")
        drive = Drive(run, seconds_left=seconds_left(run, lease_ms=self._claimant.lease_ms))
        self._slots.start(drive, partial(self._driver.drive, drive, self._projects.get(run.workflow)))
        return True

    # --- looking after what runs --------------------------------------------------------------------------------------------

    def _leases(self) -> Leases:
        return [(run_id, active.drive.run.lease_token) for run_id, active in list(self._slots.active.items())]

    def _judge_soon(self, asked: Leases, held: Sequence[Held]) -> None:
        """Called on the heartbeat's thread; the loop may be closed already when the process ends."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._judge, asked, held)

    def _judge(self, asked: Leases, held: Sequence[Held]) -> None:
        """On the event loop: stops the runs that are not ours any more, or that somebody wants stopped."""
        controls: dict[RunId, str | None] = {item.run_id: item.control for item in held}
        for run_id, token in asked:
            active = self._slots.active.get(run_id)
            if active is None or active.drive.run.lease_token != token:
                continue
            if run_id not in controls:
                active.stop("lost")
            elif controls[run_id] == "cancel":
                active.stop("cancel")
            elif controls[run_id] == "pause":
                active.drive.control.request_drain(PAUSE)

    async def _listen(self, heartbeat: Heartbeat) -> None:
        """A wake-up only hurries: what is wanted stands in the row."""
        async with self._parts.wakeups.subscribe() as wakes:
            async for wake in wakes:
                if wake.control and RunId(wake.run_id) in self._slots.active:
                    heartbeat.nudge()

    # --- the end ------------------------------------------------------------------------------------------------------------

    async def _stop(self, tasks: Sequence[asyncio.Task[None]]) -> None:
        self._is_stopping = True
        await end_tasks(tasks)
        if self._claiming:
            await asyncio.wait(self._claiming, timeout=HAND_BACK_SECONDS)
        for active in self._slots.active.values():
            active.drive.control.request_drain("shutdown")
        if await self._slots.wait_until_empty(timeout_seconds=self._settings.drain_seconds):
            return
        for active in list(self._slots.active.values()):
            active.stop("handoff")
        await self._slots.wait_until_empty(timeout_seconds=HAND_BACK_SECONDS)


async def _keep_going(name: str, work: Callable[[], Awaitable[None]]) -> None:
    """Until cancelled: an end that nobody expected is logged and begun anew, because a worker without a part of it looks healthy."""
    while True:
        try:
            await work()
        except Exception:
            log.exception("the worker's %s failed", name)
        await asyncio.sleep(POLL_SECONDS)
