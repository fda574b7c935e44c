"""A run without database and queue: what the authoring functions reach while a graph is driven, again and again after each crash."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

from langgraph.types import Command, Interrupt

from shadowgraph.core.agent_settings import AgentSettings
from shadowgraph.core.calls import CallId, Place, ToolStart, current_ports
from shadowgraph.core.clock import ManualClock
from shadowgraph.core.json import Json
from shadowgraph.core.places import RUN_KEY
from shadowgraph.llm.gateway import Gateway
from shadowgraph.llm.port import Provider, Target
from shadowgraph.llm.routes import only
from shadowgraph.llm.targets import Targets
from shadowgraph.tools.invoke import ToolInvoker
from shadowgraph.tools.registry import ToolRegistry
from tests.support.llm import RUN_ID, FakeProvider, MemoryAnswerJournal, MemoryLlmJournal
from tests.support.ports import MemoryToolJournal


class Drive:
    """`core.calls.RunPorts` of one try to drive a graph. Call indexes begin anew with each, as in a worker that takes over."""

    def __init__(self, run: "DrivenRun") -> None:
        self._loop = asyncio.get_running_loop()
        self._indexes: Counter[tuple[str, int]] = Counter()
        self._run = run
        self.run_id = RUN_ID
        self.generation = 1
        self.project_dir = run.project_dir
        self.agents = run.agents
        self.answers = run.answer_journal
        self.models = run.gateway.bind(journal=run.llm_journal, run_id=RUN_ID, loop=self._loop)
        self.tools = ToolInvoker(registry=run.registry, journal=run.tool_journal, clock=ManualClock(), run_id=RUN_ID)

    def next_index(self, place: Place) -> int:
        self._indexes[(place.step_key, place.attempt)] += 1
        return self._indexes[(place.step_key, place.attempt)] - 1

    def add_artifact(self, path: str, body: bytes, *, media_type: str, place: Place | None = None) -> None:
        self._run.artifacts[path] = (body, media_type, place)

    def add_note(self, message: str, **facts: Json) -> None:
        raise AssertionError("no test of these makes a note")

    def run_blocking(self, work: Awaitable[Any]) -> Any:
        async def wait() -> Any:
            return await work

        return asyncio.run_coroutine_threadsafe(wait(), self._loop).result(timeout=30)


@dataclass
class DrivenRun:
    """What outlives a crash: the journals, and the provider's memory of what it was asked."""

    provider: Provider = field(default_factory=lambda: FakeProvider())
    registry: ToolRegistry = field(default_factory=ToolRegistry)
    project_dir: Path = Path()
    agents: Mapping[str, AgentSettings] = field(default_factory=dict)
    answer_journal: MemoryAnswerJournal = field(default_factory=MemoryAnswerJournal)
    llm_journal: MemoryLlmJournal = field(default_factory=MemoryLlmJournal)
    tool_journal: MemoryToolJournal = field(default_factory=MemoryToolJournal)
    artifacts: dict[str, tuple[bytes, str, Place | None]] = field(default_factory=dict)

    @property
    def gateway(self) -> Gateway:
        clock = ManualClock()

        async def wait(seconds: float) -> None:
            clock.advance(seconds)

        targets = Targets({"fake": self.provider}, routes=only(Target("fake", "fake-1")))
        return Gateway(targets, clock=clock, rng=Random(1), sleep=wait)

    @contextmanager
    def drive(self) -> Iterator[Drive]:
        """One worker's try."""
        drive = Drive(self)
        token = current_ports.set(drive)
        try:
            yield drive
        finally:
            current_ports.reset(token)

    @property
    def call_keys(self) -> list[str]:
        return [key for key, _hash in self.llm_journal.recorded]


async def drive_until_done(run: DrivenRun, graph: Any, state: Any, *, tries: int = 10) -> dict[str, Any]:
    """As the engine does it: the input once, then None on the same thread until nothing breaks any more."""
    config = {"configurable": {"thread_id": "t", RUN_KEY: RUN_ID}}
    given = state
    for _ in range(tries):
        with run.drive():
            try:
                result: dict[str, Any] = await graph.ainvoke(given, config, durability="sync")
            except Crash:
                given = None
            else:
                return result
    raise AssertionError(f"not done after {tries} tries")


async def drive_until_asking(run: DrivenRun, graph: Any, given: Any) -> Interrupt:
    """The only question that the run then waits for."""
    result = await drive_until_done(run, graph, given)
    (asked,) = result["__interrupt__"]
    found: Interrupt = asked
    return found


def settle(run: DrivenRun, question: Interrupt, decision: Json) -> Command[Any]:
    """What a person decided about a tool call in doubt; to be driven on with."""
    run.tool_journal.decisions[question.id] = decision
    return Command(resume={question.id: decision})


class Crash(Exception):
    """Stands for a worker that dies."""


class CrashOnce:
    """Raises `Crash` the first time it passes a point, not again after that."""

    def __init__(self, *points: str) -> None:
        self._points = set(points)

    def at(self, point: str) -> None:
        if point in self._points:
            self._points.discard(point)
            raise Crash(point)


@dataclass
class DyingToolJournal(MemoryToolJournal):
    """The worker dies right after it wrote down that a tool begins, as often as told."""

    deaths: int = 1

    async def start(self, call: CallId, start: ToolStart) -> None:
        await super().start(call, start)
        if self.deaths:
            self.deaths -= 1
            raise Crash
