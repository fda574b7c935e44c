"""Keeps worker processes alive: starts each of them, watches it, and starts another one when it ends."""

import asyncio
import contextlib
import logging
import os
import random
import signal
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from shadowgraph.core.clock import Clock
from shadowgraph.core.ids import WorkerId, new_worker_id
from shadowgraph.queue.link import Frame, ParentLine
from shadowgraph.tools.process_limits import tree_use
from shadowgraph.worker.draining import HAND_BACK_SECONDS
from shadowgraph.worker.endings import (
    describe_block,
    describe_exit,
    describe_memory,
    describe_silence,
    pause_before_next,
)
from shadowgraph.worker.forkserver import Forked, ForkServer, ServerGone

log = logging.getLogger(__name__)

WATCH_SECONDS = 0.5
STEADY_SECONDS = 60.0
"""A process that has worked for so long starts its count of troubles anew."""
RETRY_SECONDS = 60.0
"""How long a process that could not begin its work waits for another try, unless its files change before."""
LOOK_SECONDS = 1.0
EXIT_SECONDS = 2.0
"""What a drained process gets to end, beyond its drain."""
LAST_WORDS_SECONDS = 1.0
"""For what a process has said before it ended."""
READ_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """A place for one worker process."""

    name: str
    """For people."""
    project: str
    order: Mapping[str, Any]
    server: Callable[[], Awaitable[ForkServer]]
    """The one that forks for this place."""
    fingerprint: Callable[[], object]
    """Another value means that the project has changed."""


@dataclass(frozen=True, slots=True)
class Rules:
    silence_seconds: float
    """Without a sign of life for so long a process is killed. Below the lease, so that its runs are still its own then."""
    drain_seconds: float
    blocked_seconds: float
    """A process whose event loop a node holds for so long is killed: no time limit of a run can end that."""
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Observers:
    """Who wants to know."""

    on_frame: Callable[[Frame], None]
    on_lost: Callable[[WorkerId, str], Awaitable[None]]
    """A worker process is gone without having been asked to go; why."""
    on_words: Callable[[str, str], None]
    """A line that a process of that project has written."""
    on_begin: Callable[[str, str | None], None]
    """A process of that project works, or cannot, and why: told once, however many processes meet it, and however often."""


class Child:
    """One process of a place."""

    def __init__(self, place: str, worker_id: WorkerId, forked: Forked, line: ParentLine) -> None:
        self.place = place
        self.worker_id = worker_id
        self.process = forked
        self.line = line
        self.is_ready = False
        self.refusal: str | None = None
        self.killed_because: str | None = None
        self.silent_looks = 0
        """How often nothing had come since the look before. Counted in looks: while this process itself stands still, nobody is silent."""
        self.blocked_looks = 0
        """How often its event loop had not gone round since the look before."""
        self._turns = 0

    def kill(self, why: str) -> None:
        """The first reason counts."""
        self.killed_because = self.killed_because or why
        self.process.signal(signal.SIGKILL)

    def hear(self, frame: Frame) -> None:
        self.silent_looks = 0
        if not frame.beat or frame.turns != self._turns or frame.turns == 0:
            self.blocked_looks = 0
        self._turns = frame.turns if frame.beat else self._turns
        self.is_ready = self.is_ready or frame.ready is not None
        self.refusal = frame.refused or self.refusal


class Children:
    def __init__(self, specs: Sequence[ChildSpec], rules: Rules, observers: Observers, *, clock: Clock) -> None:
        self._specs = specs
        self._rules = rules
        self._observers = observers
        self._clock = clock
        self._living: set[Child] = set()
        self._keepers: dict[str, asyncio.Task[None]] = {}
        """By the name of their place."""
        self._retired: set[str] = set()
        self._restarting: set[str] = set()
        self._stopping = asyncio.Event()
        self._told: dict[str, str] = {}
        """What was said last about each project that cannot work."""
        self._look_seconds = min(WATCH_SECONDS, rules.silence_seconds / 4)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Children"]:
        """Works while the block is open; then all of them drain, and what is left is killed."""
        for spec in self._specs:
            self.add(spec)
        watch = asyncio.create_task(self._watch(), name="watch over worker processes")
        try:
            yield self
        finally:
            await self._stop(list(self._keepers.values()))
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    @property
    def places(self) -> frozenset[str]:
        """Those that are kept, also while they have no process just now, or their last one drains."""
        return frozenset(self._keepers)

    def worker_ids(self, place: str) -> list[WorkerId]:
        """Of its processes that live."""
        return [child.worker_id for child in self._living if child.place == place]

    def add(self, spec: ChildSpec) -> None:
        """A place more, from now on."""
        keeper = asyncio.create_task(self._keep(spec), name=f"keeper of {spec.name}")
        self._keepers[spec.name] = keeper
        keeper.add_done_callback(lambda _: self._forget(spec.name))

    def retire(self, place: str) -> None:
        """Its process drains, and no other one takes its place."""
        if place not in self._retired:
            self._retired.add(place)
            self._ask_to_drain(place)

    def restart(self, place: str) -> None:
        """Its process drains, and another one takes its place. One that has none just now begins anew by itself."""
        if any(child.place == place for child in self._living):
            self._restarting.add(place)
            self._ask_to_drain(place)

    def _ask_to_drain(self, place: str) -> None:
        for child in self._living:
            if child.place == place:
                child.process.signal(signal.SIGTERM)

    def _forget(self, place: str) -> None:
        self._keepers.pop(place, None)
        self._retired.discard(place)

    def _is_over(self, spec: ChildSpec) -> bool:
        return self._stopping.is_set() or spec.name in self._retired

    def tell(self, frame: Frame) -> None:
        """To all of them; whom it concerns decides each for itself."""
        for child in self._living:
            child.line.tell(frame)

    def ask_to_stop(self) -> None:
        """They drain from now on; the end of the block waits for them."""
        if self._stopping.is_set():
            return
        self._stopping.set()
        for child in self._living:
            child.process.signal(signal.SIGTERM)
        log.info("%s worker processes are asked to stop", len(self._living))

    # --- one place ----------------------------------------------------------------------------------------------------------

    async def _keep(self, spec: ChildSpec) -> None:
        troubles = 0
        while not self._is_over(spec):
            began, before = self._clock.monotonic(), spec.fingerprint()
            try:
                child, code = await self._run_one(spec)
            except ServerGone:
                self._tell_trouble(spec, "its interpreter cannot start worker processes")
                await self._wait_for_change(spec, before)
                continue
            except Exception:
                log.exception("worker process %s could not be looked after", spec.name)
                await self._pause(pause_before_next(troubles := troubles + 1))
                continue
            if self._is_over(spec) and code == 0:
                return
            if spec.name in self._restarting and code == 0:
                self._restarting.discard(spec.name)
                continue
            cause = child.killed_because or describe_exit(code)
            await self._observers.on_lost(child.worker_id, cause)
            if self._is_over(spec):
                return
            if not child.is_ready:
                self._tell_trouble(spec, child.refusal or f"it ended before it could work: {cause}")
                await self._wait_for_change(spec, before)
                continue
            troubles = 0 if self._clock.monotonic() - began > STEADY_SECONDS else troubles + 1
            log.error("worker process %s ended: %s; another one takes its place", spec.name, cause)
            await self._pause(pause_before_next(troubles - 1) if troubles else 0)

    async def _run_one(self, spec: ChildSpec) -> tuple[Child, int | None]:
        """From its start to its end; how it ended."""
        worker_id = new_worker_id()
        ours, theirs = socket.socketpair()
        output, written = os.pipe()
        try:
            server = await spec.server()
            forked = await server.start({**spec.order, "worker_id": worker_id}, line=theirs, output=written)
        except BaseException:
            ours.close()
            os.close(output)
            raise
        finally:
            theirs.close()
            os.close(written)
        child = Child(spec.name, worker_id, forked, await ParentLine.open(ours))
        words = asyncio.create_task(self._pass_on(spec, output))
        frames = asyncio.create_task(self._hear(spec, child))
        self._living.add(child)
        if self._is_over(spec):
            forked.signal(signal.SIGTERM)
        try:
            code = await forked.wait()
            await asyncio.wait({words, frames}, timeout=LAST_WORDS_SECONDS)
        finally:
            self._living.discard(child)
            for task in (words, frames):
                task.cancel()
            await asyncio.gather(words, frames, return_exceptions=True)
            child.line.close()
        return child, code

    async def _hear(self, spec: ChildSpec, child: Child) -> None:
        async for frame in child.line.frames():
            child.hear(frame)
            if frame.ready is not None:
                self._told.pop(spec.project, None)
                log.info("worker process %s is ready: %s", spec.name, frame.ready)
                self._observers.on_begin(spec.project, None)
            self._observers.on_frame(frame)

    async def _pass_on(self, spec: ChildSpec, output: int) -> None:
        """Line by line, so that the words of two processes do not mix."""
        reader = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(output, "rb")
        )
        rest = b""
        try:
            while chunk := await reader.read(READ_BYTES):
                *lines, rest = (rest + chunk).split(b"\n")
                if len(rest) > READ_BYTES:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    self._observers.on_words(spec.project, line.decode(errors="replace"))
        finally:
            transport.close()
            if rest:
                self._observers.on_words(spec.project, rest.decode(errors="replace"))

    def _tell_trouble(self, spec: ChildSpec, trouble: str) -> None:
        if self._told.get(spec.project) != trouble:
            self._told[spec.project] = trouble
            self._observers.on_begin(spec.project, trouble)

    async def _wait_for_change(self, spec: ChildSpec, before: object) -> None:
        deadline = self._clock.monotonic() + RETRY_SECONDS
        while not self._is_over(spec) and self._clock.monotonic() < deadline:
            if await asyncio.to_thread(spec.fingerprint) != before:
                return
            await self._pause(LOOK_SECONDS)

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds * random.uniform(0.5, 1)):
                await self._stopping.wait()

    # --- all of them --------------------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._look_seconds)
            for child in list(self._living):
                self._look_at(child)

    def _look_at(self, child: Child) -> None:
        child.silent_looks += 1
        child.blocked_looks += 1
        limit = self._rules.memory_bytes
        if limit is not None and tree_use(child.process.pid).memory_bytes > limit:
            child.kill(describe_memory(limit))
        elif child.silent_looks * self._look_seconds > self._rules.silence_seconds:
            child.kill(describe_silence(self._rules.silence_seconds))
        elif child.blocked_looks * self._look_seconds > self._rules.blocked_seconds:
            child.kill(describe_block(self._rules.blocked_seconds))

    async def _stop(self, keepers: Sequence[asyncio.Task[None]]) -> None:
        self.ask_to_stop()
        if not keepers:
            return
        patience = self._rules.drain_seconds + HAND_BACK_SECONDS + EXIT_SECONDS
        _, late = await asyncio.wait(keepers, timeout=patience)
        if late:
            for child in list(self._living):
                child.kill(f"it had not ended {patience:g} s after it was asked to")
            await asyncio.wait(late, timeout=EXIT_SECONDS)
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
