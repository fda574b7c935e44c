"""What the nodes of one claim can reach: the ports behind the authoring functions."""

import asyncio
import concurrent.futures
import inspect
import threading
from collections import Counter
from collections.abc import Awaitable, Mapping
from pathlib import Path
from typing import Any, Protocol

from shadowgraph.core.agent_settings import AgentSettings
from shadowgraph.core.calls import (
    AnswerCheck,
    AnswerJournal,
    AuthoredTool,
    CallId,
    Completion,
    DeltaSink,
    LlmJournal,
    LlmRequest,
    ModelPort,
    Place,
    Purse,
    ToolDescription,
    ToolJournal,
    ToolPort,
    ToolRequest,
)
from shadowgraph.core.json import Json
from shadowgraph.engine.live import LiveOutput
from shadowgraph.engine.metering import unmetered
from shadowgraph.engine.recorder import RunRecorder


class PortFactory(Protocol):
    """Binds the gateway and the tools to the journals of one run; built by `wiring`."""

    def models(self, journal: LlmJournal, *, run_id: str, purse: Purse) -> ModelPort: ...

    def tools(self, journal: ToolJournal, *, run_id: str) -> ToolPort: ...


class LiveModels:
    """A model port whose answers are seen while they are written."""

    def __init__(self, models: ModelPort, live: LiveOutput) -> None:
        self._models = models
        self._live = live

    async def call(
        self,
        request: LlmRequest,
        call: CallId,
        on_delta: DeltaSink | None = None,
        *,
        check: AnswerCheck | None = None,
    ) -> Completion:
        with unmetered():
            return await self._models.call(request, call, on_delta=self._live.sink_for(call, on_delta), check=check)


class ClosableTools:
    """A tool port that can be brought to rest. Any thread may use it."""

    def __init__(self, tools: ToolPort, loop: asyncio.AbstractEventLoop) -> None:
        self._tools = tools
        self._loop = loop
        self._lock = threading.Lock()
        self._under_way = 0
        self._is_closed = False
        self._is_at_rest = asyncio.Event()

    def describe(self, name: str) -> ToolDescription:
        return self._tools.describe(name)

    async def call(self, request: ToolRequest, call: CallId, *, authored: AuthoredTool | None = None) -> Json:
        """Errors: `CancelledError` once it is closed."""
        self._begin()
        try:
            return await self._tools.call(request, call, authored=authored)
        finally:
            self._end()

    async def close(self) -> None:
        """No call begins any more. Returns when those under way have ended."""
        with self._lock:
            self._is_closed = True
            is_at_rest = self._under_way == 0
        if not is_at_rest:
            await self._is_at_rest.wait()

    def _begin(self) -> None:
        with self._lock:
            if self._is_closed:
                raise asyncio.CancelledError
            self._under_way += 1

    def _end(self) -> None:
        with self._lock:
            self._under_way -= 1
            is_last = self._is_closed and self._under_way == 0
        if is_last:
            self._loop.call_soon_threadsafe(self._is_at_rest.set)


class RunContext:
    """`core.calls.RunPorts` of one claim."""

    def __init__(
        self,
        recorder: RunRecorder,
        models: ModelPort,
        tools: ToolPort,
        answers: AnswerJournal,
        *,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Must be called on the loop's own thread."""
        self._recorder = recorder
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._indexes: Counter[tuple[str, int]] = Counter()
        self._indexes_lock = threading.Lock()
        self._waited_for: set[concurrent.futures.Future[Any]] = set()
        self._closed = False
        self._closing_lock = threading.Lock()
        self.run_id: str = recorder.claim.run_id
        self.generation = recorder.claim.run.generation
        self.models = models
        self.answers = answers
        self.tools = tools

    @property
    def project_dir(self) -> Path:
        return self._recorder.claim.project_dir

    @property
    def agents(self) -> Mapping[str, AgentSettings]:
        return self._recorder.claim.agents

    def next_index(self, place: Place) -> int:
        key = (place.step_key, place.attempt)
        with self._indexes_lock:
            index = self._indexes[key]
            self._indexes[key] += 1
        return index

    def add_artifact(self, path: str, body: bytes, *, media_type: str, place: Place | None = None) -> None:
        self._recorder.add_artifact(path, body, media_type=media_type, node=place.node if place else None)

    def add_note(self, message: str, **facts: Json) -> None:
        self._recorder.add_note(message, facts)

    def run_blocking(self, work: Awaitable[Any]) -> Any:
        """Errors: `RuntimeError` when it is called on the event loop itself, which would wait for itself; `CancelledError` when the
        claim is over."""
        if threading.get_ident() == self._loop_thread:
            _forget(work)
            raise RuntimeError("a sync call inside an async node would block the worker: use the async form")
        waited_for = self._start_on_the_loop(work)
        try:
            return waited_for.result()
        finally:
            self._waited_for.discard(waited_for)

    def _start_on_the_loop(self, work: Awaitable[Any]) -> concurrent.futures.Future[Any]:
        with (
            self._closing_lock
        ):  # or the loop could begin the work, and close, before the thread has noted what it waits for
            if self._closed:
                _forget(work)
                raise concurrent.futures.CancelledError
            waited_for = asyncio.run_coroutine_threadsafe(_as_coroutine(work), self._loop)
            self._waited_for.add(waited_for)
        return waited_for

    def close(self) -> None:
        """The claim is over. What threads of sync nodes still wait for is cut: nobody can cut the threads themselves."""
        with self._closing_lock:
            self._closed = True
            unfinished = tuple(self._waited_for)
        for future in unfinished:
            future.cancel()


def _forget(work: Awaitable[Any]) -> None:
    if inspect.iscoroutine(work):
        work.close()


async def _as_coroutine(work: Awaitable[Any]) -> Any:
    return await work
