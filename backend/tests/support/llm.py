"""A provider that does what a test says, and a journal in memory that remembers in which order it was used."""

import asyncio
import itertools
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

import httpx

from shadowgraph.core.calls import (
    AttemptEnd,
    AttemptStart,
    CallId,
    Completion,
    ForeignCall,
    LlmRequest,
    Place,
    Recorded,
    Usage,
)
from shadowgraph.core.clock import ManualClock
from shadowgraph.llm.attempt import TimeLimits
from shadowgraph.llm.gateway import Gateway, Sleep
from shadowgraph.llm.port import Chunk, Target, ToolCallPiece
from shadowgraph.llm.routes import only
from shadowgraph.llm.targets import Targets

RUN_ID = "run_0190aaaa-0000-7000-8000-000000000000"
USAGE = Usage(prompt_tokens=11, completion_tokens=7)


class Forever:
    """In a script: the provider says nothing more."""


Step = Chunk | Exception | Forever
Script = Sequence[Step]


def says(*pieces: str, usage: Usage | None = USAGE, finish_reason: str = "stop") -> list[Step]:
    return [*(Chunk(text=piece) for piece in pieces), Chunk(finish_reason=finish_reason, usage=usage, model="fake-1")]


def calls_tool(name: str, arguments: str) -> list[Step]:
    piece = ToolCallPiece(0, "call_1", name, arguments)
    return [Chunk(tool_calls=(piece,)), Chunk(finish_reason="tool_calls", usage=USAGE)]


def answers_status(status: int, body: object = None, **headers: str) -> list[Step]:
    """As httpx reports it; names of headers are written with underscores."""
    request = httpx.Request("POST", "http://provider.test/chat")
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    response = httpx.Response(status, request=request, json=body if body is not None else {}, headers=named)
    return [httpx.HTTPStatusError(f"status {status}", request=request, response=response)]


def breaks() -> Exception:
    return httpx.RemoteProtocolError("peer closed connection without sending complete message body")


class FakeProvider:
    """Plays one script per attempt; the last one again and again."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = list(scripts)
        self.requests: list[LlmRequest] = []
        self.targets: list[Target] = []
        self.headers: list[Mapping[str, str]] = []
        self.is_silent = asyncio.Event()
        """Set when a script has come to `Forever`."""
        self.closed = 0

    def current_name(self, model: str) -> str:
        return model.removeprefix("old-")

    async def stream(
        self, request: LlmRequest, target: Target, *, headers: Mapping[str, str]
    ) -> AsyncGenerator[Chunk, None]:
        self.requests.append(request)
        self.targets.append(target)
        self.headers.append(headers)
        try:
            for step in self.scripts[min(len(self.requests), len(self.scripts)) - 1]:
                if isinstance(step, Exception):
                    raise step
                if isinstance(step, Forever):
                    self.is_silent.set()
                    await asyncio.Event().wait()
                else:
                    yield step
        finally:
            self.closed += 1


@dataclass
class MemoryLlmJournal:
    """`core.calls.LlmJournal` in memory. `log` says what was written, in order."""

    recorded: dict[tuple[str, str], Recorded] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    starts: list[AttemptStart] = field(default_factory=list)
    ends: list[AttemptEnd] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)

    async def find(self, call: CallId) -> Recorded | None:
        self.log.append("find")
        return self.recorded.get((call.key, call.request_hash))

    async def start(self, call: CallId, *, agent: str, attempt: AttemptStart) -> None:
        self._begin(call, agent, attempt)
        self.log.append(f"start {attempt.n}")

    async def retry(
        self, call: CallId, *, agent: str, ended: AttemptEnd, attempt: AttemptStart, error: str, wait_seconds: float
    ) -> None:
        self._begin(call, agent, attempt)
        self.ends.append(ended)
        self.waits.append(wait_seconds)
        self.errors.append(error)
        self.log.append(f"retry {ended.n}->{attempt.n} {ended.error_class}")

    def _begin(self, call: CallId, agent: str, attempt: AttemptStart) -> None:
        self.agents.add(agent)
        self.starts.append(attempt)
        self.recorded[(call.key, call.request_hash)] = Recorded(None, attempt.n)

    async def finish(self, call: CallId, *, agent: str, ended: AttemptEnd, answer: bytes) -> None:
        self.ends.append(ended)
        self.recorded[(call.key, call.request_hash)] = Recorded(answer, ended.n)
        self.log.append(f"finish {ended.n}")

    async def reject(self, call: CallId, *, agent: str, ended: AttemptEnd, error: str) -> None:
        self.ends.append(ended)
        self.errors.append(error)
        self.recorded[(call.key, call.request_hash)] = Recorded(None, ended.n, failed=True)
        self.log.append(f"reject {ended.n} {ended.error_class}")

    async def cut(self, call: CallId, *, agent: str, ended: AttemptEnd) -> None:
        self.ends.append(ended)
        self.log.append(f"cut {ended.n} {ended.error_class}")


@dataclass
class MemoryAnswerJournal:
    """`core.calls.AnswerJournal` in memory. `log` says what was written, in order."""

    answers: dict[CallId, bytes] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    async def find(self, call: CallId) -> bytes | None:
        return self.answers.get(call)

    async def start(self, call: CallId, *, agent: str) -> ForeignCall:
        self.log.append(f"start {agent}")
        return ForeignCall(call, agent, itertools.count(1))

    async def finish(self, call: CallId, *, answer: bytes) -> None:
        self.log.append("finish")
        self.answers[call] = answer

    async def reject(self, call: CallId) -> None:
        self.log.append("reject")


class RecordingSink:
    """`core.calls.DeltaSink` that keeps what came; `!` stands for a restart."""

    def __init__(self) -> None:
        self.pieces: list[str] = []

    async def __call__(self, text: str) -> None:
        self.pieces.append(text)

    async def restart(self) -> None:
        self.pieces.append("!")


class Bench:
    """A gateway over a fake provider, with a clock that moves by its waits."""

    def __init__(
        self,
        *scripts: Script,
        limits: TimeLimits | None = None,
        journal: MemoryLlmJournal | None = None,
        sleep: Sleep | None = None,
    ) -> None:
        self.provider = FakeProvider(*scripts)
        self.journal = journal or MemoryLlmJournal()
        self.clock = ManualClock()
        self.waited: list[float] = []
        targets = Targets({"fake": self.provider}, routes=only(Target("fake", "fake-1")), limits=limits)
        self.gateway = Gateway(targets, clock=self.clock, rng=Random(1), sleep=sleep or self._wait)
        self.models = self.gateway.bind(journal=self.journal, run_id=RUN_ID)

    async def _wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.clock.advance(seconds)

    async def ask(self, request: LlmRequest | None = None, sink: RecordingSink | None = None) -> Completion:
        request = request or ask()
        return await self.models.call(request, call_of(request), sink)


def ask(text: str = "hello", **changes: object) -> LlmRequest:
    return LlmRequest(agent="coder", messages=[{"role": "user", "content": text}], **changes)  # type: ignore[arg-type]


def call_of(request: LlmRequest) -> CallId:
    return CallId("1//coder/3//0", request.request_hash(), Place("", "coder", 3, ""))
