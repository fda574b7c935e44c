"""What the authoring functions work with outside any run: so that authors can try and unit-test their graphs without us.

The provider comes from the environment as everywhere, tools are the registered ones, nothing is recorded and nothing is replayed.
"""

import asyncio
import atexit
import inspect
import itertools
import logging
import threading
from collections import Counter
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from shadowgraph.core.agent_settings import AgentSettings
from shadowgraph.core.calls import (
    AnswerJournal,
    AttemptEnd,
    AttemptStart,
    CallId,
    ForeignCall,
    ModelPort,
    Place,
    Recorded,
    ToolPort,
    ToolRecord,
    ToolStart,
)
from shadowgraph.core.clock import SystemClock
from shadowgraph.core.ids import new_gateway_run_id
from shadowgraph.core.json import Json
from shadowgraph.core.paths import require_safe_path
from shadowgraph.core.settings import load_settings
from shadowgraph.costs.prices import PriceBook
from shadowgraph.engine.loading.config import CONFIG_FILE, read_config
from shadowgraph.engine.loading.options import read_options
from shadowgraph.tools.invoke import ToolInvoker
from shadowgraph.wiring.ports import Ports, open_ports

logger = logging.getLogger(__name__)

_OURS = ("shadowgraph.authoring", "shadowgraph.wiring")
_building = threading.Lock()
_standalone: "Standalone | None" = None


def standalone_ports() -> "Standalone":
    """One per process, built on first use.

    Errors: `InvalidSetting`, `BadOfflineSetting`.
    """
    global _standalone  # nobody could hand it in: there is no run and no process of ours around it
    with _building:
        if _standalone is None:
            _standalone = Standalone()
        return _standalone


class Standalone:
    """Implements `core.calls.RunPorts`."""

    generation = 1

    def __init__(self) -> None:
        self.run_id: str = new_gateway_run_id()
        self.artifacts: dict[str, bytes] = {}
        """What the graphs left behind, by path, for a test to look at."""
        self._loop = _LoopThread()
        self._ports: Ports = self._loop.run(self._open())
        self._indexes: Counter[Place] = Counter()
        self._indexes_lock = threading.Lock()

    async def _open(self) -> Ports:
        """Left open: it lives as long as the process."""
        return await AsyncExitStack().enter_async_context(
            open_ports(load_settings().settings, clock=SystemClock(), prices=PriceBook())
        )

    @cached_property
    def models(self) -> ModelPort:
        return self._ports.gateway.bind(journal=ForgetfulLlmJournal(), run_id=self.run_id)

    @cached_property
    def tools(self) -> ToolPort:
        return ToolInvoker(
            registry=self._ports.registry, journal=ForgetfulToolJournal(), clock=SystemClock(), run_id=self.run_id
        )

    @cached_property
    def answers(self) -> AnswerJournal:
        return ForgetfulAnswerJournal()

    @property
    def agents(self) -> Mapping[str, AgentSettings]:
        """Errors: `BadProject`."""
        directory = self.project_dir
        if not (directory / CONFIG_FILE).is_file():
            return {}
        return read_options(directory, read_config(directory).graphs).agents

    @property
    def project_dir(self) -> Path:
        """The nearest folder with a `langgraph.json` above the calling code, else above the current folder, else that itself."""
        return next(filter(None, map(_find_project, [*_folders_of_callers(), Path.cwd()])), Path.cwd())

    def next_index(self, place: Place) -> int:
        """Goes on over all graphs of the process: no call ever gets the key of an earlier one."""
        with self._indexes_lock:
            self._indexes[place] += 1
            return self._indexes[place] - 1

    def add_artifact(self, path: str, body: bytes, *, media_type: str, place: Place | None = None) -> None:
        self.artifacts[require_safe_path(path)] = body

    def add_note(self, message: str, **facts: Json) -> None:
        logger.info("%s %s", message, facts or "")

    def run_blocking(self, work: Awaitable[Any]) -> Any:
        return self._loop.run(work)


def _folders_of_callers() -> Iterator[Path]:
    """From the inside out, without our own code."""
    frame = inspect.currentframe()
    while frame is not None:
        if not str(frame.f_globals.get("__name__")).startswith(_OURS):
            yield Path(frame.f_code.co_filename).absolute().parent
        frame = frame.f_back


def _find_project(folder: Path) -> Path | None:
    return next((parent for parent in (folder, *folder.parents) if (parent / CONFIG_FILE).is_file()), None)


class _LoopThread:
    """An event loop in a thread of its own, for sync code that has to wait for async work."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="shadowgraph-standalone", daemon=True)
        self._thread.start()
        atexit.register(self._close)

    def run(self, work: Awaitable[Any]) -> Any:
        """Errors: `RuntimeError` when it is called on this very loop, which would wait for itself."""
        if threading.current_thread() is self._thread:
            if asyncio.iscoroutine(work):
                work.close()
            raise RuntimeError("a sync call inside async code would wait for itself: use the async form")
        return asyncio.run_coroutine_threadsafe(_as_coroutine(work), self._loop).result()

    def _close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=1)
        if not self._loop.is_running():
            self._loop.close()


async def _as_coroutine(work: Awaitable[Any]) -> Any:
    return await work


class ForgetfulLlmJournal:
    """Implements `core.calls.LlmJournal`: there is no crash to survive, so nothing is kept."""

    async def find(self, call: CallId) -> Recorded | None:
        return None

    async def start(self, call: CallId, *, agent: str, attempt: AttemptStart) -> None:
        pass

    async def retry(
        self, call: CallId, *, agent: str, ended: AttemptEnd, attempt: AttemptStart, error: str, wait_seconds: float
    ) -> None:
        pass

    async def finish(self, call: CallId, *, agent: str, ended: AttemptEnd, answer: bytes) -> None:
        pass

    async def reject(self, call: CallId, *, agent: str, ended: AttemptEnd, error: str) -> None:
        pass

    async def cut(self, call: CallId, *, agent: str, ended: AttemptEnd) -> None:
        pass


class ForgetfulAnswerJournal:
    """Implements `core.calls.AnswerJournal` in the same way."""

    async def find(self, call: CallId) -> bytes | None:
        return None

    async def start(self, call: CallId, *, agent: str) -> ForeignCall:
        return ForeignCall(call, agent, itertools.count(1))

    async def finish(self, call: CallId, *, answer: bytes) -> None:
        pass

    async def reject(self, call: CallId) -> None:
        pass


class ForgetfulToolJournal:
    """Implements `core.calls.ToolJournal` in the same way."""

    async def find(self, call: CallId) -> ToolRecord:
        return ToolRecord(call.key)

    async def start(self, call: CallId, start: ToolStart) -> None:
        pass

    async def finish(self, call: CallId, start: ToolStart, *, result: bytes, at: datetime) -> None:
        pass

    async def fail(self, call: CallId, start: ToolStart, *, error: str, at: datetime) -> None:
        pass

    async def give_up(self, call: CallId, start: ToolStart, *, error: str, at: datetime) -> None:
        pass
