"""The failure table, row by row: each provider's true client against a server that produces the failure. Waits take no time."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Any

import pytest
from pydantic import SecretStr

from shadowgraph.core.calls import Completion, LlmRequest
from shadowgraph.core.clock import ManualClock
from shadowgraph.llm.attempt import TimeLimits
from shadowgraph.llm.errors import (
    BadCredentials,
    BadRequest,
    CircuitOpen,
    ContextTooLong,
    ModelGone,
    NoCapacity,
    ProviderError,
    QuotaUsedUp,
    RateLimited,
    ToolUseFailed,
)
from shadowgraph.llm.gateway import Gateway
from shadowgraph.llm.port import Provider, Target
from shadowgraph.llm.providers.anthropic import AnthropicProvider
from shadowgraph.llm.providers.groq import GroqProvider
from shadowgraph.llm.providers.openai_compatible import OpenAiCompatibleProvider
from shadowgraph.llm.routes import DEFAULT_ROUTE, Route, RouteSource, RouteTarget
from shadowgraph.llm.targets import Targets
from tests.support.failing_provider import (
    WORDS,
    AnswersWithError,
    Breaks,
    EndsEarly,
    FailingProvider,
    Failure,
    Refuses,
    SaysNothing,
    TakesUpTo,
    failing_provider,
)
from tests.support.llm import RUN_ID, MemoryLlmJournal, RecordingSink, ask, call_of
from tests.support.waiting import wait_until

CLIENTS: dict[str, Callable[[str], GroqProvider | OpenAiCompatibleProvider | AnthropicProvider]] = {
    "groq": lambda url: GroqProvider(SecretStr("k"), base_url=url),
    "openai_compatible": lambda url: OpenAiCompatibleProvider(SecretStr("k"), base_url=url),
    "anthropic": lambda url: AnthropicProvider(SecretStr("k"), base_url=url),
}
CHAT = ("groq", "openai_compatible")
ALL = tuple(CLIENTS)
FIRST, SECOND = "first", "second"
PATIENCE = TimeLimits(first_token_seconds=60.0, total_seconds=60.0)
SOON = 0.3
"""Seconds after which a server that says nothing is given up."""


class ChangingRoutes:
    """A `RouteSource` with one route, which a test may change."""

    def __init__(self, *targets: RouteTarget) -> None:
        self.route = Route(DEFAULT_ROUTE, targets)

    async def find(self, name: str) -> Route | None:
        return self.route


class Stage:
    """A gateway over one provider's true client."""

    def __init__(self, server: FailingProvider, provider: Provider, name: str) -> None:
        self.server = server
        self.journal = MemoryLlmJournal()
        self.clock = ManualClock()
        self.waited: list[float] = []
        self.routes: RouteSource = ChangingRoutes(target(name, FIRST), target(name, SECOND))
        self.name = name
        self._provider = provider
        self._gateway: Gateway | None = None

    async def ask(self, text: str = "hello", sink: RecordingSink | None = None, **changes: object) -> Completion:
        request = ask(text, **changes)
        return await self.call(request, sink)

    async def call(self, request: LlmRequest, sink: RecordingSink | None = None) -> Completion:
        gateway = self._gateway = self._gateway or self._build()
        return await gateway.call(request, call_of(request), journal=self.journal, run_id=RUN_ID, on_delta=sink)

    def _build(self) -> Gateway:
        targets = Targets({self.name: self._provider}, routes=self.routes, limits=PATIENCE)
        return Gateway(targets, clock=self.clock, rng=Random(1), sleep=self._wait)

    async def _wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.clock.advance(seconds)


def has_asked(stage: Stage, number: int) -> bool:
    return len(stage.server.asked) > number


def target(provider: str, model: str, **facts: Any) -> RouteTarget:
    return RouteTarget(Target(provider, model), **facts)


def first_of(row: "Row", provider: str) -> RouteTarget:
    return target(provider, FIRST, first_token_seconds=SOON if isinstance(row.failure, SaysNothing) else None)


@pytest.fixture
async def server() -> AsyncIterator[FailingProvider]:
    async with failing_provider() as provider:
        yield provider


@pytest.fixture
async def make_stage(server: FailingProvider) -> AsyncIterator[Callable[[str], Stage]]:
    async with AsyncExitStack() as stack:

        def make(name: str) -> Stage:
            provider = CLIENTS[name](server.url)
            stack.push_async_callback(provider.close)
            return Stage(server, provider, name)

        yield make


MakeStage = Callable[[str], Stage]


@dataclass(frozen=True)
class Row:
    """A line of the failure table. `attempts` at the first target, before the second one is asked."""

    id: str
    failure: Failure
    error_class: str
    attempts: int
    alone: type[ProviderError]
    """How a call ends that has no other target."""
    waits: float | None = None
    """Seconds that the provider asked for."""
    of: tuple[str, ...] = ALL


def says_429(seconds: str) -> Refuses:
    return Refuses(429, "slow down", headers={"Retry-After": seconds})


TABLE = [
    Row("429, short", says_429("7"), "rate_limited", 2, RateLimited, waits=7.0),
    Row("429, in words", Refuses(429, "try again in 2.1s"), "rate_limited", 2, RateLimited, waits=2.1),
    Row("429, long", says_429("120"), "rate_limited", 1, RateLimited),
    Row("408", Refuses(408), "timeout", 2, CircuitOpen),
    Row("500", Refuses(500), "server_error", 2, CircuitOpen),
    Row("502", Refuses(502), "server_error", 2, CircuitOpen),
    Row("503", Refuses(503), "server_error", 2, CircuitOpen),
    Row("504", Refuses(504), "server_error", 2, CircuitOpen),
    Row("529", Refuses(529), "server_error", 2, CircuitOpen),
    Row("498", Refuses(498, "no flex", "capacity_exceeded"), "no_capacity", 2, NoCapacity, of=("groq",)),
    Row("no first token", SaysNothing(), "timeout", 2, CircuitOpen),
    Row("broken stream", Breaks(), "broken_stream", 2, CircuitOpen),
    Row("stream without an end", EndsEarly(), "broken_stream", 2, CircuitOpen),
    Row(
        "error event",
        AnswersWithError("server_error", is_event=True),
        "server_error",
        2,
        CircuitOpen,
        of=CHAT,
    ),
    Row(
        "error event of anthropic",
        AnswersWithError("overloaded_error", is_event=True),
        "server_error",
        2,
        CircuitOpen,
        of=("anthropic",),
    ),
    Row("200 with a 502 inside", AnswersWithError(502), "server_error", 2, CircuitOpen, of=CHAT),
    Row("200 with a 502 in the stream", AnswersWithError(502, is_event=True), "server_error", 2, CircuitOpen, of=CHAT),
    Row("200 with a 400 inside", AnswersWithError(400), "bad_request", 1, BadRequest, of=CHAT),
    Row("tool_use_failed", Refuses(400, "bad call", "tool_use_failed"), "tool_use_failed", 2, ToolUseFailed, of=CHAT),
    Row(
        "context too long",
        Refuses(400, "maximum context length is 8192 tokens", "context_length_exceeded"),
        "context_too_long",
        1,
        ContextTooLong,
        of=CHAT,
    ),
    Row(
        "prompt too long",
        Refuses(400, "prompt is too long: 9 tokens > 8 maximum"),
        "context_too_long",
        1,
        ContextTooLong,
        of=("anthropic",),
    ),
    Row("decommissioned", Refuses(400, "gone", "model_decommissioned"), "model_gone", 1, ModelGone, of=CHAT),
    Row("404 model", Refuses(404, "model: first"), "model_gone", 1, ModelGone),
    Row("401", Refuses(401, "bad key"), "auth", 1, BadCredentials),
    Row("403", Refuses(403, "not for you"), "auth", 1, BadCredentials),
    Row("402", Refuses(402, "add credits"), "quota", 1, QuotaUsedUp, of=CHAT),
]
CASES = [pytest.param(row, name, id=f"{row.id}-{name}") for row in TABLE for name in row.of]


@pytest.mark.parametrize(("row", "name"), CASES)
async def test_the_next_target_answers(row: Row, name: str, make_stage: MakeStage) -> None:
    stage = make_stage(name)
    stage.routes = ChangingRoutes(first_of(row, name), target(name, SECOND))
    stage.server.failing[FIRST] = row.failure

    completion = await stage.ask()

    assert completion.text == "".join(WORDS)
    assert [start.model for start in stage.journal.starts] == [FIRST] * row.attempts + [SECOND]
    assert [end.error_class for end in stage.journal.ends] == [row.error_class] * row.attempts + [None]
    assert [(start.route, start.route_number) for start in stage.journal.starts] == [("default", 0)] * (
        row.attempts + 1
    )
    if row.waits is not None:
        assert row.waits <= stage.waited[0] < row.waits + 1
    assert sum(stage.waited) < 30, "no worker waits longer"


@pytest.mark.parametrize(("row", "name"), CASES)
async def test_without_another_target_the_call_says_how_it_may_go_on(
    row: Row, name: str, make_stage: MakeStage
) -> None:
    stage = make_stage(name)
    stage.routes = ChangingRoutes(first_of(row, name))
    stage.server.failing[FIRST] = row.failure

    with pytest.raises(ProviderError) as caught:
        await stage.ask()

    assert type(caught.value) is row.alone
    passes = caught.value.retry_after is not None
    assert passes is (row.alone in (CircuitOpen, RateLimited)), "then its run is parked, else it fails"


@pytest.mark.parametrize("name", ALL)
async def test_a_provider_that_is_not_there_is_left_for_another_one(
    name: str, make_stage: MakeStage, unused_tcp_port: int
) -> None:
    stage = make_stage(name)
    absent = CLIENTS[name](f"http://127.0.0.1:{unused_tcp_port}")
    targets = Targets(
        {"absent": absent, name: stage._provider},
        routes=ChangingRoutes(target("absent", FIRST), target(name, SECOND)),
    )
    gateway, request = Gateway(targets, clock=stage.clock, rng=Random(1), sleep=stage._wait), ask()

    await gateway.call(request, call_of(request), journal=stage.journal, run_id=RUN_ID)
    await absent.close()

    assert [end.error_class for end in stage.journal.ends] == ["unreachable", "unreachable", None]


async def test_what_was_shown_of_a_broken_answer_is_taken_back(make_stage: MakeStage) -> None:
    stage, sink = make_stage("groq"), RecordingSink()
    stage.server.failing[FIRST] = Breaks()

    await stage.ask(sink=sink)

    assert sink.pieces == [WORDS[0], "!", WORDS[0], "!", *WORDS]
    assert [end.usage.source for end in stage.journal.ends if end.usage] == ["estimated", "estimated", "provider"]


async def test_the_reason_of_a_failed_tool_use_is_told_to_the_same_model_only(make_stage: MakeStage) -> None:
    stage = make_stage("groq")
    stage.server.failing[FIRST] = Refuses(400, "no such tool", "tool_use_failed")

    await stage.ask()

    told = ["no such tool" in str(body["messages"]) for body in stage.server.bodies]
    assert told == [False, True, False]
    assert stage.waited == [0.0]


async def test_too_much_text_goes_to_a_model_that_takes_more(make_stage: MakeStage) -> None:
    stage = make_stage("groq")
    stage.routes = ChangingRoutes(
        target("groq", FIRST, context_tokens=8_192),
        target("groq", "as small", context_tokens=8_192),
        target("groq", SECOND, context_tokens=131_072),
    )
    stage.server.failing[FIRST] = Refuses(400, "too long", "context_length_exceeded")

    await stage.ask()

    assert stage.server.asked == [FIRST, SECOND]


async def test_text_that_is_too_much_for_every_model_is_shortened_once(make_stage: MakeStage) -> None:
    stage = make_stage("groq")
    small, large = (target("groq", FIRST, context_tokens=4_096), target("groq", SECOND, context_tokens=8_192))
    stage.routes = ChangingRoutes(small, large)
    stage.server.failing = {FIRST: TakesUpTo(16_000), SECOND: TakesUpTo(30_000)}

    completion = await stage.ask("x" * 60_000)

    assert stage.server.asked == [FIRST, SECOND, SECOND], "who takes more comes first"
    assert [end.error_class for end in stage.journal.ends] == ["context_too_long", "context_too_long", None]
    assert [start.left_out_characters for start in stage.journal.starts] == [0, 0, completion.left_out_characters]
    assert completion.left_out_characters > 30_000
    assert "cut: " in str(stage.server.bodies[-1]["messages"])


async def test_text_that_is_still_too_much_when_shortened_ends_the_call(make_stage: MakeStage) -> None:
    stage = make_stage("groq")
    stage.routes = ChangingRoutes(target("groq", FIRST))
    stage.server.failing[FIRST] = TakesUpTo(1_000)

    with pytest.raises(ContextTooLong):
        await stage.ask("x" * 60_000)

    assert stage.server.asked == [FIRST, FIRST]


async def test_nothing_is_left_out_while_a_model_that_takes_it_is_only_busy(make_stage: MakeStage) -> None:
    stage = make_stage("groq")
    stage.server.failing = {FIRST: TakesUpTo(1_000), SECOND: says_429("120")}

    with pytest.raises(RateLimited):
        await stage.ask("x" * 60_000)

    assert stage.server.asked == [FIRST, SECOND]


@pytest.mark.parametrize("name", ALL)
async def test_a_model_that_is_gone_is_not_asked_again_by_this_process(name: str, make_stage: MakeStage) -> None:
    stage = make_stage(name)
    stage.routes = routes = ChangingRoutes(target(name, FIRST), target(name, SECOND))
    stage.server.failing[FIRST] = Refuses(404, "model: first")
    await stage.ask("one")
    routes.route = Route(DEFAULT_ROUTE, routes.route.targets, number=1)

    await stage.ask("two")

    assert stage.server.asked == [FIRST, SECOND, SECOND]


@pytest.mark.parametrize("name", ALL)
async def test_a_refused_key_is_not_tried_again_before_the_route_is_changed(name: str, make_stage: MakeStage) -> None:
    stage = make_stage(name)
    stage.routes = routes = ChangingRoutes(target(name, FIRST), target(name, SECOND))
    stage.server.failing[FIRST] = Refuses(401, "bad key")
    await stage.ask("one")
    await stage.ask("two")
    routes.route = Route(DEFAULT_ROUTE, routes.route.targets, number=1)

    await stage.ask("three")

    assert stage.server.asked == [FIRST, SECOND, SECOND, FIRST, SECOND]
    assert stage.journal.starts[-1].route_number == 1


@pytest.mark.parametrize("name", ALL)
async def test_a_cancelled_call_is_charged_and_counts_for_nobody(name: str, make_stage: MakeStage) -> None:
    stage = make_stage(name)
    stage.routes = ChangingRoutes(target(name, FIRST))
    stage.server.failing[FIRST] = SaysNothing()
    for number in range(6):
        task = asyncio.create_task(stage.ask(str(number)))
        await wait_until(partial(has_asked, stage, number))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    stage.server.failing.clear()

    completion = await stage.ask("the last one")

    assert completion.text == "".join(WORDS)
    assert [end.error_class for end in stage.journal.ends] == ["cancelled"] * 6 + [None]
    assert all(end.usage and end.usage.source == "estimated" for end in stage.journal.ends[:6])


async def test_a_request_that_is_wrong_is_wrong_everywhere(make_stage: MakeStage) -> None:
    stage = make_stage("groq")
    stage.server.failing[FIRST] = Refuses(400, "temperature must be below 2")

    with pytest.raises(BadRequest):
        await stage.ask()

    assert stage.server.asked == [FIRST]


@pytest.mark.parametrize("name", CHAT)
async def test_a_limit_that_a_provider_reports_is_kept(name: str, make_stage: MakeStage) -> None:
    stage = make_stage(name)
    stage.server.headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "12.5s"}
    await stage.ask("one")

    await stage.ask("two")

    assert stage.server.asked == [FIRST, FIRST]
    assert 12.5 <= stage.waited[0] < 15


async def test_what_an_answer_costs_is_taken_from_the_proxy_that_says_it(make_stage: MakeStage) -> None:
    stage = make_stage("openai_compatible")
    stage.server.headers = {"x-litellm-response-cost": "0.00042"}
    seen = []

    class Prices:
        def price(self, *_: object, reported_cost: object = None, **__: object) -> object:
            seen.append(reported_cost)
            return None

    targets = Targets({stage.name: stage._provider}, routes=stage.routes)
    gateway, request = Gateway(targets, clock=stage.clock, rng=Random(1), prices=Prices()), ask()  # type: ignore[arg-type]

    await gateway.call(request, call_of(request), journal=stage.journal, run_id=RUN_ID)

    assert [str(cost) for cost in seen] == ["0.00042"]
