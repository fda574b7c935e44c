"""Everything in one process: API, worker, relay and sweeper. On SQLite it holds the database alone."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from shadowgraph.api.hosts import require_safe_bind
from shadowgraph.core.errors import Unavailable
from shadowgraph.core.settings import Settings
from shadowgraph.db.dialect import plain_url
from shadowgraph.db.migrate import migrate
from shadowgraph.runs.takeover import take_orphans
from shadowgraph.runs.workers import forget_all_workers
from shadowgraph.wiring.api import http_server
from shadowgraph.wiring.beginning import HERE, Beginning
from shadowgraph.wiring.children import STDERR, Audience, Nursery, children_at_work, open_nursery, pass_on
from shadowgraph.wiring.code_workers import code_workers_at_work
from shadowgraph.wiring.common import Base, build_family_transport, build_transport, open_base, together
from shadowgraph.wiring.plan import WorkOptions, WorkPlan, name_of, plan_work
from shadowgraph.wiring.stopping import until_stopped

log = logging.getLogger(__name__)

ONLY_BUILT_IN = WorkOptions()
LEAVE_SECONDS = 3.0
"""How long a command that is left waits for the nodes under way; then their runs are handed back."""


class StorageLocked(Unavailable):
    """Another process works on this SQLite database."""

    code = "storage_locked"


async def serve(settings: Settings, *, on_ready: Callable[[str], None], options: WorkOptions) -> None:
    """Until SIGTERM or SIGINT. `on_ready` gets the base URL as soon as requests are answered; the worker follows.

    Errors: `InsecureBind`, `StorageLocked`, `PortTaken`, `NoWorkerProcesses`; `BadProject` and whatever else keeps the worker of this process
    from starting.
    """
    require_safe_bind(settings)
    async with _stack(settings, plan_work(options, slots=settings.worker_slots)) as (url, worker):
        on_ready(url)
        await _until_stopped_or_failed(worker)


@asynccontextmanager
async def embedded_stack(
    settings: Settings, options: WorkOptions = ONLY_BUILT_IN, *, on_words: Callable[[str, str], None] = pass_on
) -> AsyncIterator[str]:
    """The same for one command: gives the base URL of a server on a free loopback port, once all worker processes work.

    `on_words`: a line that a worker process of that project has written.
    Errors: like `serve`; what keeps the worker from working ends the block. `BadProject` also when a project cannot be loaded.
    """
    private = settings.model_copy(update={"host": "127.0.0.1", "port": 0})
    plan = plan_work(options, slots=settings.worker_slots)
    beginning = Beginning([], [name_of(place.project) for place in plan.places])
    stack = _stack(private, plan, drain_seconds=LEAVE_SECONDS, audience=Audience(on_words, beginning.note))
    async with stack as (url, worker), _only_while(worker):
        await beginning.wait()
        beginning.require_all()
        yield url


@asynccontextmanager
async def _only_while(worker: asyncio.Task[None]) -> AsyncIterator[None]:
    """A worker that fails cancels the block, which then raises the worker's error."""
    block = asyncio.current_task()
    assert block is not None

    def end_block(ended: asyncio.Task[None]) -> None:
        if not ended.cancelled() and ended.exception():
            block.cancel()

    worker.add_done_callback(end_block)
    try:
        yield
    except asyncio.CancelledError:
        if worker.done() and not worker.cancelled() and (error := worker.exception()):
            block.uncancel()
            raise error from None
        raise
    finally:
        worker.remove_done_callback(end_block)


async def _until_stopped_or_failed(worker: asyncio.Task[None]) -> None:
    stopped = asyncio.create_task(until_stopped())
    try:
        done, _ = await asyncio.wait({stopped, worker}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
    if worker in done:
        worker.result()  # raises what kept it from working


@asynccontextmanager
async def _stack(
    settings: Settings, plan: WorkPlan, *, drain_seconds: float | None = None, audience: Audience = STDERR
) -> AsyncIterator[tuple[str, asyncio.Task[None]]]:
    async with AsyncExitStack() as stack:
        nursery = await stack.enter_async_context(open_nursery(plan))
        if settings.is_embedded:
            stack.enter_context(hold_database(settings))
        await asyncio.to_thread(migrate, settings.effective_database_url)
        has_family = nursery is not None or settings.versioning_enabled
        transport = build_family_transport(settings) if has_family else build_transport(settings)
        base = await stack.enter_async_context(open_base(settings, transport))
        if settings.is_embedded:
            await _recover(base)
        url = await stack.enter_async_context(http_server(base))
        work = _Work(base, plan, nursery, drain_seconds, audience)
        worker = asyncio.create_task(work.until_stopped(), name="worker half")
        try:
            yield url, worker
        finally:
            work.stop.set()
            await asyncio.gather(worker, return_exceptions=True)


def hold_database(settings: Settings) -> BaseFileLock:
    """Taken, and held until it is released or this process ends, however it ends.

    Errors: `StorageLocked`.
    """
    path = Path(plain_url(settings.effective_database_url))
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{path}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        hint = "stop it first, or use another STORAGE_DIR"
        raise StorageLocked(f"another process works on {path}", hint=hint) from error
    return lock


async def _recover(base: Base) -> None:
    """Holding the lock proves that nobody runs what is RUNNING."""
    async with base.database.write() as connection:
        taken = await take_orphans(connection, clock=base.clock)
        await forget_all_workers(connection)
    if taken:
        log.warning("%s runs were cut off when the last process ended; they go on now", len(taken))


class _Work:
    """The worker half: here, in worker processes, or both."""

    def __init__(
        self, base: Base, plan: WorkPlan, nursery: Nursery | None, drain_seconds: float | None, audience: Audience
    ) -> None:
        self.stop = asyncio.Event()
        self._beginning = Beginning([HERE] if plan.here else [], [name_of(place.project) for place in plan.places])
        self._base = base
        self._plan = plan
        self._nursery = nursery
        self._drain_seconds = drain_seconds
        self._audience = self._beginning.overhear(audience)

    async def until_stopped(self) -> None:
        """The graph library takes two seconds to import: in a thread, so that the API answers meanwhile."""
        set_up_checkpoints = await asyncio.to_thread(_import_checkpoints)
        await asyncio.to_thread(set_up_checkpoints, self._base.database.url)
        works = [self._work_here()] if self._plan.here else []
        if self._nursery:
            works.append(self._work_in_processes(self._nursery))
        works.append(self._work_for_versions())
        await together(*works)

    async def _work_here(self) -> None:
        worker_half = await asyncio.to_thread(_import_worker_half)
        async with worker_half(self._base, self._plan.here, drain_seconds=self._drain_seconds):
            log.info("the worker is ready")
            self._beginning.note(HERE, None)
            await self.stop.wait()

    async def _work_in_processes(self, nursery: Nursery) -> None:
        children = children_at_work(
            self._base, self._plan, nursery, drain_seconds=self._drain_seconds, audience=self._audience
        )
        async with children:
            await self.stop.wait()

    async def _work_for_versions(self) -> None:
        own = self._beginning.wait
        async with code_workers_at_work(self._base, self._plan, after=own, drain_seconds=self._drain_seconds):
            await self.stop.wait()


def _import_checkpoints() -> Callable[[str], None]:
    from shadowgraph.engine.checkpoints.setup import set_up_checkpoints

    return set_up_checkpoints


def _import_worker_half() -> Callable[..., AbstractAsyncContextManager[Any]]:
    from shadowgraph.wiring.worker import worker_half

    return worker_half
