"""Ports for code under test that calls the authoring functions: a model that answers as a test says, the real tools, a journal in memory."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from shadowgraph.core.agent_settings import AgentSettings
from shadowgraph.core.calls import (
    AnswerCheck,
    CallId,
    Completion,
    DeltaSink,
    LlmRequest,
    Place,
    ToolCall,
    ToolRecord,
    ToolStart,
    ToolState,
    Usage,
    current_ports,
)
from shadowgraph.core.clock import ManualClock
from shadowgraph.core.doubts import doubt_id
from shadowgraph.core.json import Json, JsonObject
from shadowgraph.tools.invoke import ToolInvoker
from shadowgraph.tools.registry import ToolRegistry
from tests.support.llm import MemoryAnswerJournal

RUN_ID = "run_0190aaaa-0000-7000-8000-000000000000"

Answer = str | JsonObject
"""Text, or the arguments of the one function that a structured answer calls."""
Brain = Callable[[LlmRequest], Answer]


@dataclass
class ScriptedModels:
    """A `ModelPort` that answers with a function of the request, and remembers what it was asked."""

    answer: Brain
    requests: list[LlmRequest] = field(default_factory=list)

    async def call(
        self,
        request: LlmRequest,
        call: CallId,
        on_delta: DeltaSink | None = None,
        *,
        check: AnswerCheck | None = None,
    ) -> Completion:
        completion = self._answer(request)
        if check and (reason := check(completion)):
            correction = {"role": "user", "content": f"your answer was refused: {reason}"}
            completion = self._answer(replace(request, messages=[*request.messages, correction]))
            assert check(completion) is None, "refused twice"
        return completion

    def _answer(self, request: LlmRequest) -> Completion:
        self.requests.append(request)
        answer = self.answer(request)
        if isinstance(answer, str):
            return _completion(answer)
        return _completion("", (ToolCall(f"call_{len(self.requests)}", _function(request), answer),))

    def asked(self, agent: str) -> list[str]:
        """All text of each request that this agent made."""
        return [
            "\n".join(str(message["content"]) for message in request.messages)
            for request in self.requests
            if request.agent == agent
        ]


def _completion(text: str, calls: tuple[ToolCall, ...] = ()) -> Completion:
    return Completion(text=text, model="scripted", provider="test", usage=Usage(10, 5), tool_calls=calls)


def _function(request: LlmRequest) -> str:
    function = request.tools[0]["function"]
    assert isinstance(function, dict)
    return str(function["name"])


@dataclass
class MemoryToolJournal:
    """A `ToolJournal` that forgets nothing; `events` tells in which order it was used."""

    recorded: dict[CallId, ToolRecord] = field(default_factory=dict)
    events: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    decisions: dict[str, Json] = field(default_factory=dict)
    """What a person answered, by the doubt's id."""

    async def find(self, call: CallId) -> ToolRecord:
        self.events.append("find")
        found = self.recorded.get(call, ToolRecord(call.key))
        return replace(found, decision=self.decisions.get(doubt_id(call.key, call.request_hash, found.doubts)))

    async def start(self, call: CallId, start: ToolStart) -> None:
        self.events.append(f"start {start.tool}")
        self._remember(call, start, "in_doubt")

    async def finish(self, call: CallId, start: ToolStart, *, result: bytes, at: datetime) -> None:
        self.events.append(f"finish {start.tool}")
        self._remember(call, start, "done", result)

    async def fail(self, call: CallId, start: ToolStart, *, error: str, at: datetime) -> None:
        self.events.append(f"fail {start.tool}")
        self.errors.append(error)
        self._remember(call, start, "failed")

    async def give_up(self, call: CallId, start: ToolStart, *, error: str, at: datetime) -> None:
        self.events.append(f"give up {start.tool}")
        self.errors.append(error)
        self._remember(call, start, "given_up")

    def _remember(self, call: CallId, start: ToolStart, state: ToolState, answer: bytes | None = None) -> None:
        self.recorded[call] = ToolRecord(call.key, state, answer, start.doubts)


class TestPorts:
    """`core.calls.RunPorts` for one test."""

    __test__ = False

    def __init__(self, answer: Brain, *, registry: ToolRegistry, project_dir: Path) -> None:
        self.run_id = RUN_ID
        self.generation = 1
        self.project_dir = project_dir
        self.agents: Mapping[str, AgentSettings] = {}
        self.models = ScriptedModels(answer)
        self.answers = MemoryAnswerJournal()
        self.journal = MemoryToolJournal()
        self.tools = ToolInvoker(registry=registry, journal=self.journal, clock=ManualClock(), run_id=self.run_id)
        self.artifacts: dict[str, bytes] = {}
        self.notes: list[str] = []
        self._indexes: Counter[str] = Counter()

    def next_index(self, place: Place) -> int:
        self._indexes[place.step_key] += 1
        return self._indexes[place.step_key] - 1

    def add_artifact(self, path: str, body: bytes, *, media_type: str, place: Place | None = None) -> None:
        self.artifacts[path] = body

    def add_note(self, message: str, **facts: Json) -> None:
        self.notes.append(message)

    def run_blocking(self, work: Awaitable[Any]) -> Any:
        async def wait() -> Any:
            return await work

        return asyncio.run(wait())


@contextmanager
def ports_in_place(ports: TestPorts) -> Iterator[TestPorts]:
    token = current_ports.set(ports)
    try:
        yield ports
    finally:
        current_ports.reset(token)


def tool_results(request: LlmRequest) -> list[Json]:
    """Results of tools that the request carries as messages."""
    return [orjson.loads(str(message["content"])) for message in request.messages if message["role"] == "tool"]
