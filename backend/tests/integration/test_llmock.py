"""The gateway against a fault server that is not ours, with its verdicts: it sees each attempt and judges how the client coped."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from random import Random

import pytest
from llmock.pytest_plugin import LLMock
from llmock.testing import LLMockServer
from pydantic import SecretStr

from shadowgraph.core.calls import Completion
from shadowgraph.core.clock import SystemClock
from shadowgraph.llm.attempt import TimeLimits
from shadowgraph.llm.errors import BadCredentials, CircuitOpen, ContextTooLong, ProviderError, RateLimited
from shadowgraph.llm.gateway import Gateway
from shadowgraph.llm.port import Target
from shadowgraph.llm.providers.anthropic import AnthropicProvider
from shadowgraph.llm.providers.groq import GroqProvider
from shadowgraph.llm.providers.openai_compatible import OpenAiCompatibleProvider
from shadowgraph.llm.routes import only
from shadowgraph.llm.targets import Targets
from shadowgraph.llm.usage import estimate_tokens
from tests.support.llm import RUN_ID, MemoryLlmJournal, ask, call_of

KEY = SecretStr("not-a-real-key")
MODELS = {"groq": "openai/gpt-oss-120b", "openai_compatible": "gpt-4o-mini", "anthropic": "claude-for-tests"}
CLIENTS: dict[str, type[GroqProvider | OpenAiCompatibleProvider | AnthropicProvider]] = {
    "groq": GroqProvider,
    "openai_compatible": OpenAiCompatibleProvider,
    "anthropic": AnthropicProvider,
}
NAMES_THERE = {"groq": "groq", "openai_compatible": "openai", "anthropic": "anthropic"}
TOOL = {
    "type": "function",
    "function": {
        "name": "find_city",
        "description": "Finds a city",
        "parameters": {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
    },
}


class Client:
    """A gateway over one true client; waits are real."""

    def __init__(self, provider: GroqProvider | OpenAiCompatibleProvider | AnthropicProvider, name: str) -> None:
        self.name = name
        self.journal = MemoryLlmJournal()
        target = Target(name, MODELS[name])
        # Its stalls are shorter than the patience of a client that has no limit of its own.
        limits = TimeLimits(first_token_seconds=5.0, total_seconds=30.0, idle_seconds=1.0)
        targets = Targets({name: provider}, routes=only(target), limits=limits)
        self._gateway = Gateway(targets, clock=SystemClock(), rng=Random(1))

    async def ask(self, text: str = "hello", **changes: object) -> Completion:
        request = ask(text, **changes)
        return await self._gateway.call(request, call_of(request), journal=self.journal, run_id=RUN_ID)

    @property
    def failures(self) -> list[str]:
        return [end.error_class for end in self.journal.ends if end.error_class]


@pytest.fixture(scope="module")
def server() -> Iterator[LLMockServer]:
    with LLMockServer() as server:
        yield server


@pytest.fixture
def mock(server: LLMockServer) -> LLMock:
    return LLMock(server).reset()


@pytest.fixture(params=list(MODELS))
async def client(mock: LLMock, request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    name = request.param
    url = mock.base_url(NAMES_THERE[name])
    async with AsyncExitStack() as stack:
        provider = CLIENTS[name](KEY, base_url=url)
        stack.push_async_callback(provider.close)
        yield Client(provider, name)


async def test_an_answer_and_its_usage_arrive(client: Client, mock: LLMock) -> None:
    mock.reply("All is well.")

    completion = await client.ask()

    assert completion.text == "All is well."
    assert completion.finish_reason == "stop"
    # Its Groq reports no tokens at all, and its Anthropic none of the prompt: those are estimated, and say so.
    assert completion.usage.source == ("provider" if client.name == "openai_compatible" else "estimated")
    assert completion.usage.completion_tokens > 0
    assert MODELS[client.name] in completion.model


async def test_a_tool_call_arrives_whole(client: Client, mock: LLMock) -> None:
    mock.call_tool("find_city", {"name": "Paris"})

    completion = await client.ask(tools=[TOOL], tool_choice="required")

    assert [(call.name, call.arguments) for call in completion.tool_calls] == [("find_city", {"name": "Paris"})]
    assert completion.finish_reason == "tool_calls"


async def test_a_limit_is_waited_out_as_long_as_it_says(client: Client, mock: LLMock) -> None:
    mock.rate_limit(times=2, retry_after=0.4)

    await client.ask()

    assert client.failures == ["rate_limited"] * 2
    mock.assert_resilient(strict=True)


async def test_a_server_error_is_waited_out(client: Client, mock: LLMock) -> None:
    mock.fail(503).fail(500).fail(529 if client.name == "anthropic" else 502)

    await client.ask()

    assert client.failures == ["server_error"] * 3
    mock.assert_resilient()


@pytest.mark.parametrize("fault", ["disconnect", "truncate", "corrupt"])
async def test_a_stream_that_does_not_end_well_is_never_taken_for_an_answer(
    client: Client, mock: LLMock, fault: str
) -> None:
    mock.reply("All is well, and there is more to say about it.", times=None)
    getattr(mock, fault)(after_chunks=3)

    completion = await client.ask()

    assert completion.text == "All is well, and there is more to say about it."
    assert len(client.failures) == 1
    mock.assert_resilient()


async def test_a_stream_that_stalls_is_given_up(client: Client, mock: LLMock) -> None:
    mock.stall(seconds=8)

    await client.ask()

    assert client.failures == ["timeout"]
    mock.assert_resilient()


async def test_broken_arguments_of_a_tool_are_asked_for_again(client: Client, mock: LLMock) -> None:
    mock.call_tool("find_city", {"name": "Paris"}, times=None).break_tool_call("malformed_arguments")

    completion = await client.ask(tools=[TOOL], tool_choice="required")

    assert completion.tool_calls[0].arguments == {"name": "Paris"}
    assert client.failures == ["answer_refused"]


@pytest.mark.parametrize(
    ("status", "error"), [(401, BadCredentials), (403, BadCredentials), (400, ProviderError), (404, ProviderError)]
)
async def test_what_cannot_help_is_not_tried_again(
    client: Client, mock: LLMock, status: int, error: type[ProviderError]
) -> None:
    mock.fail(status, times=None)

    with pytest.raises(error):
        await client.ask()

    assert len(mock.requests) == 1
    mock.assert_resilient(strict=True)


async def test_a_prompt_that_is_too_long_is_told_apart(client: Client, mock: LLMock) -> None:
    mock.limits(context_window=50)
    prompt = "word " * 400
    assert estimate_tokens(prompt) > 50

    with pytest.raises(ContextTooLong):
        await client.ask(prompt)

    mock.assert_resilient()


async def test_an_outage_opens_the_breaker_and_then_nobody_asks(client: Client, mock: LLMock) -> None:
    mock.outage()
    with pytest.raises(CircuitOpen):
        await client.ask("one")
    asked = len(mock.requests)

    with pytest.raises(CircuitOpen):
        await client.ask("two")

    assert len(mock.requests) == asked == 5


async def test_a_true_quota_is_kept_by_what_its_headers_say(client: Client, mock: LLMock) -> None:
    if client.name == "anthropic":
        pytest.skip("its headers are other ones, which are not read yet: a 429 tells it")
    mock.limits(rpm=3)
    for number in range(3):
        await client.ask(str(number))

    with pytest.raises(RateLimited) as caught:
        await client.ask("one too many")

    assert caught.value.retry_after
    assert len(mock.requests) == 3, "the headers said that nothing is left"
