"""The runs that this process drives now, and how they are asked to stop."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from shadowgraph.core.ids import RunId
from shadowgraph.engine.driver import Drive, StopReason

log = logging.getLogger(__name__)


@dataclass(slots=True)
class ActiveRun:
    drive: Drive
    task: asyncio.Task[None]

    def stop(self, reason: StopReason) -> None:
        """Cuts it where it stands; the first reason counts. A drive that has not begun sees it when it does."""
        if self.drive.stop_reason is None:
            self.drive.stop_reason = reason
            if self.drive.has_begun:
                self.task.cancel()


class Slots:
    """At most so many runs at once. A slot is taken before a run is claimed, so that no claimed run ever waits for one."""

    def __init__(self, capacity: int, *, on_free: Callable[[], None]) -> None:
        self.capacity = capacity
        self._on_free = on_free
        self._taken = 0
        self._active: dict[RunId, ActiveRun] = {}

    @property
    def has_room(self) -> bool:
        return self._taken < self.capacity

    @property
    def active(self) -> Mapping[RunId, ActiveRun]:
        return self._active

    def take(self) -> bool:
        """False when all are taken."""
        if not self.has_room:
            return False
        self._taken += 1
        return True

    def give_back(self) -> None:
        """A taken slot that no run came for."""
        self._taken -= 1

    def start(self, drive: Drive, work: Callable[[], Awaitable[None]]) -> None:
        """Fills a taken slot; it is free again when the work ends."""
        run_id = drive.run.id
        if earlier := self._active.get(run_id):
            earlier.stop("lost")  # this worker claimed the run anew before it saw that the earlier claim was gone
        active = ActiveRun(drive, asyncio.create_task(self._guard(drive, work), name=f"run {run_id}"))
        self._active[run_id] = active
        active.task.add_done_callback(lambda _: self._release(active))  # also of a task that never began

    async def _guard(self, drive: Drive, work: Callable[[], Awaitable[None]]) -> None:
        drive.has_begun = True
        try:
            await work()
        except Exception:
            # The lease runs out and somebody takes over; nothing of the run is lost.
            log.exception("run %s was dropped by this worker", drive.run.id)

    def _release(self, ended: ActiveRun) -> None:
        if self._active.get(ended.drive.run.id) is ended:
            del self._active[ended.drive.run.id]
        self._taken -= 1
        self._on_free()

    async def wait_until_empty(self, *, timeout_seconds: float) -> bool:
        """False when some run still goes on after that time."""
        tasks = [active.task for active in self._active.values()]
        if not tasks:
            return True
        _, unfinished = await asyncio.wait(tasks, timeout=timeout_seconds)
        return not unfinished
