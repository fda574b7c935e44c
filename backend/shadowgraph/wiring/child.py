"""A worker process that another process of ours has started, in that process' place: what it is to do comes as an order."""

import asyncio
import logging
import os
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from shadowgraph.core import failpoints
from shadowgraph.core.errors import ShadowgraphError
from shadowgraph.core.logging import configure_logging
from shadowgraph.core.settings import Settings
from shadowgraph.queue.inprocess import InProcessBroadcast
from shadowgraph.queue.link import ChildLine, Frame, LineWakeups
from shadowgraph.queue.port import JobQueue, Wakeups
from shadowgraph.wiring import projects
from shadowgraph.wiring.code import Code, require_same_packages
from shadowgraph.wiring.common import Base, Transport, build_transport, open_base, open_rows
from shadowgraph.wiring.orders import Order, settings_received
from shadowgraph.wiring.plan import BUILT_IN_PROJECT
from shadowgraph.wiring.stopping import until_stopped
from shadowgraph.wiring.versions import deploy_and_promote, register_first_versions
from shadowgraph.wiring.worker import code_worker_half, worker_half
from shadowgraph.worker.forkserver import Order as Facts
from shadowgraph.worker.worker import Worker

REFUSED = 3
"""Exit code of a process that has said why it cannot work."""
DATA_PER_MEMORY = 2
SPARE_DATA_BYTES = 1 << 30
"""Threads reserve room that they never use."""


def run(facts: Facts, end: socket.socket) -> int:
    """The exit code."""
    order = Order.model_validate(facts)
    settings = settings_received(order)
    configure_logging(settings.log_level, log_format=settings.log_format)
    failpoints.switch_all_off()
    failpoints.switch_on_from_environment()
    os.chdir(order.folder)
    logging.getLogger(projects.__name__).addFilter(_is_no_refusal)
    line = ChildLine(end, pulse_seconds=order.pulse_seconds)
    if order.memory_bytes is not None:
        _limit_data(order.memory_bytes * DATA_PER_MEMORY + SPARE_DATA_BYTES)
    try:
        asyncio.run(_work(order, settings, line))
    except ShadowgraphError as error:
        line.tell_now(Frame(refused=words_of(error)))
        return REFUSED
    return 0


def _is_no_refusal(record: logging.LogRecord) -> bool:
    """What keeps it from working is told to the parent, which says it once and not at every try."""
    return record.levelno < logging.ERROR


def _limit_data(size_bytes: int) -> None:
    """One huge allocation is refused to the node that asks for it; what grows slowly is found by the parent's watch."""
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (size_bytes if most < 0 else min(size_bytes, most), most))


def words_of(error: ShadowgraphError) -> str:
    """With the author's own lines, where it has them."""
    errors = error.facts.get("errors")
    lines = [f"  {item['pointer']}  {item['detail']}" for item in errors] if isinstance(errors, list) else []
    fix = [f"fix: {error.hint}"] if error.hint else []
    return "\n".join([error.message, *lines, *fix])


async def _work(order: Order, settings: Settings, line: ChildLine) -> None:
    async with _open(settings, line) as base, _half(order, base) as worker:
        line.tell(Frame(ready=worker.describe()))
        await until_stopped()


@asynccontextmanager
async def _half(order: Order, base: Base) -> AsyncIterator[Worker]:
    project, drain = order.project or BUILT_IN_PROJECT, order.drain_seconds
    if order.snapshot is None:
        register = deploy_and_promote if order.dev else register_first_versions
        own = worker_half(base, [project], drain_seconds=drain, worker_id=order.worker_id, register=register)
        async with own as worker:
            yield worker
        return
    code = Code(order.snapshot, project)
    await require_same_packages(base, code)
    async with code_worker_half(base, code, drain_seconds=drain, worker_id=order.worker_id) as worker:
        yield worker


@asynccontextmanager
async def _open(settings: Settings, line: ChildLine) -> AsyncIterator[Base]:
    """On SQLite the parent looks after the rows and sends the jobs; on PostgreSQL this is a worker like any other."""
    own = build_transport(settings)
    queue: JobQueue = InProcessBroadcast() if settings.is_embedded else own.queue
    wakeups: Wakeups = own.wakeups if settings.broker_url else LineWakeups(line)

    def hand_out(frame: Frame) -> None:
        if frame.job and isinstance(queue, InProcessBroadcast):
            queue.deliver(frame.job, pool=frame.pool)
        if frame.wake and isinstance(wakeups, LineWakeups):
            wakeups.deliver(frame.wake)

    line.listen(hand_out)
    opened = open_rows if settings.is_embedded else open_base
    async with opened(settings, Transport(queue, wakeups)) as base:
        yield base
