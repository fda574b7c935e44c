"""One suite for every adapter of a provider. Groq's true client speaks to the offline model over HTTP."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from langchain_core.callbacks import AsyncCallbackHandler
from langchain_core.runnables import RunnableLambda
from pydantic import SecretStr

from shadowgraph.core.calls import Completion, LlmRequest
from shadowgraph.core.json import JsonObject
from shadowgraph.core.settings import RETIRED_GROQ_MODELS
from shadowgraph.llm.answer import Answer
from shadowgraph.llm.classify import classify
from shadowgraph.llm.errors import BrokenStream, Overloaded, ProviderError, RateLimited, Unreachable
from shadowgraph.llm.offline.calls import CALL_HEADER, build_call_header
from shadowgraph.llm.offline.chat_model import OfflineChatModel
from shadowgraph.llm.offline.knobs import parse_knobs
from shadowgraph.llm.port import Provider, Target
from shadowgraph.llm.providers.groq import GroqProvider
from shadowgraph.llm.providers.offline import OfflineProvider
from shadowgraph.llm.providers.openai_compatible import OpenAiCompatibleProvider
from tests.support.offline import offline_server

KEY = SecretStr("not-a-real-key")
MakeProvider = Callable[[str], Provider]
"""Takes the offline model's knobs."""

TOOL: JsonObject = {
    "type": "function",
    "function": {
        "name": "save_plan",
        "description": "Saves a plan.",
        "parameters": {
            "type": "object",
            "properties": {"title": {"type": "string"}, "steps": {"type": "array", "items": {"type": "string"}}},
            "required": ["title", "steps"],
        },
    },
}
FORCED: JsonObject = {"type": "function", "function": {"name": "save_plan"}}


CLIENTS: dict[str, type[GroqProvider | OpenAiCompatibleProvider]] = {
    "groq": GroqProvider,
    "openai_compatible": OpenAiCompatibleProvider,
}
"""Those whose servers the offline model can play."""


@pytest.fixture(params=["offline", *CLIENTS])
async def make_provider(request: pytest.FixtureRequest) -> AsyncIterator[MakeProvider]:
    async with AsyncExitStack() as stack:

        def make(knobs: str = "") -> Provider:
            if request.param == "offline":
                return OfflineProvider(OfflineChatModel(knobs=parse_knobs(knobs)))
            provider = CLIENTS[request.param](KEY, base_url=stack.enter_context(offline_server(knobs)))
            stack.push_async_callback(provider.close)
            return provider

        yield make


@pytest.fixture
async def make_groq() -> AsyncIterator[Callable[[str], GroqProvider]]:
    """Takes the server's address."""
    async with AsyncExitStack() as stack:

        def make(url: str) -> GroqProvider:
            provider = GroqProvider(KEY, base_url=url)
            stack.push_async_callback(provider.close)
            return provider

        yield make


def _request(**changes: Any) -> LlmRequest:
    return LlmRequest(agent="coder", messages=[{"role": "user", "content": "Write a haiku about queues"}], **changes)


async def _receive(
    provider: Provider, request: LlmRequest | None = None, *, model: str = "offline-demo-1"
) -> Completion:
    request = request or _request()
    answer = Answer(Target("test", model))
    headers = {CALL_HEADER: build_call_header(run_id="run_1", call_key="1//coder/1//0", attempt=1)}
    async with aclosing(provider.stream(request, answer.target, headers=headers)) as stream:
        async for chunk in stream:
            answer.add(chunk)
    return answer.to_completion(request)


async def _trouble(provider: Provider) -> ProviderError:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one it is, is the adapter's own business
        await _receive(provider)
    return classify(caught.value, now=lambda: datetime(2026, 1, 1, tzinfo=UTC))


async def test_an_answer_has_text_usage_model_and_a_finish_reason(make_provider: MakeProvider) -> None:
    completion = await _receive(make_provider(""))

    assert "queues" in completion.text
    assert completion.usage.prompt_tokens > 0
    assert completion.usage.completion_tokens > 0
    assert completion.model == "offline-demo-1"
    assert completion.finish_reason == "stop"


async def test_a_forced_tool_is_called_with_whole_arguments(make_provider: MakeProvider) -> None:
    completion = await _receive(make_provider(""), _request(tools=[TOOL], tool_choice=FORCED))

    [call] = completion.tool_calls
    assert call.name == "save_plan"
    assert call.id
    assert set(call.arguments) == {"title", "steps"}


async def test_results_of_tools_can_be_sent_back(make_provider: MakeProvider) -> None:
    function = {"name": "save_plan", "arguments": '{"title": "t", "steps": []}'}
    messages: list[JsonObject] = [
        {"role": "system", "content": "You are brief."},
        {"role": "user", "content": "Plan"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "saved"},
    ]

    completion = await _receive(make_provider(""), LlmRequest(agent="coder", messages=messages, tools=[TOOL]))

    assert completion.text or completion.tool_calls


async def test_parameters_are_sent(make_provider: MakeProvider) -> None:
    completion = await _receive(
        make_provider(""), _request(parameters={"max_tokens": 3, "temperature": 0.0, "seed": 1})
    )

    assert completion.finish_reason == "length"


async def test_a_rate_limit_says_how_long(make_provider: MakeProvider) -> None:
    error = await _trouble(make_provider("fail=429:retry_after=7"))

    assert isinstance(error, RateLimited)
    assert error.retry_after == 7


async def test_a_server_error_is_told_apart(make_provider: MakeProvider) -> None:
    assert isinstance(await _trouble(make_provider("fail=503")), Overloaded)


async def test_a_cut_stream_is_told_apart(make_provider: MakeProvider) -> None:
    assert isinstance(await _trouble(make_provider("cut_stream_after=3")), BrokenStream)


async def test_the_callers_callbacks_do_not_see_the_adapters_own_model(make_provider: MakeProvider) -> None:
    class Spy(AsyncCallbackHandler):
        seen = 0

        async def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
            self.seen += 1

    provider, spy = make_provider(""), Spy()

    async def node(_: object) -> str:
        return (await _receive(provider)).text

    await RunnableLambda(node).ainvoke("go", {"callbacks": [spy]})

    assert spy.seen == 0


async def test_an_adapter_serves_several_event_loops(make_provider: MakeProvider) -> None:
    provider = make_provider("")
    first = await _receive(provider)

    second = await asyncio.to_thread(asyncio.run, _receive_and_close(provider))

    assert first.text == second.text


async def _receive_and_close(provider: Provider) -> Completion:
    completion = await _receive(provider)
    if isinstance(provider, GroqProvider | OpenAiCompatibleProvider):
        await provider.close()
    return completion


# --- Groq alone -----------------------------------------------------------------------------------------------------------------


MakeGroq = Callable[[str], GroqProvider]


async def test_groq_never_retries_by_itself_and_names_each_call(make_groq: MakeGroq) -> None:
    with offline_server("fail=500") as url:
        await _trouble(make_groq(url))

        async with httpx.AsyncClient() as client:
            calls = (await client.get(f"{url}/calls")).json()

    assert [(call["run_id"], call["node"], call["attempt"], call["outcome"]) for call in calls] == [
        ("run_1", "coder", 1, "failed")
    ]


@pytest.mark.parametrize("suffix", ["", "/", "/openai/v1", "/openai/v1/"])
async def test_groqs_address_is_understood_with_and_without_the_path(make_groq: MakeGroq, suffix: str) -> None:
    with offline_server() as url:
        completion = await _receive(make_groq(url + suffix))

    assert completion.text


async def test_a_server_that_is_not_there_is_unreachable(make_groq: MakeGroq, unused_tcp_port: int) -> None:
    error = await _trouble(make_groq(f"http://127.0.0.1:{unused_tcp_port}"))

    assert isinstance(error, Unreachable)


async def test_groq_is_asked_for_the_model_of_the_target(make_groq: MakeGroq) -> None:
    with offline_server() as url:
        completion = await _receive(make_groq(url), model="openai/gpt-oss-20b")

    assert completion.model == "openai/gpt-oss-20b"


def test_retired_models_are_replaced_with_one_warning_each(caplog: pytest.LogCaptureFixture) -> None:
    provider = GroqProvider(KEY)

    with caplog.at_level(logging.WARNING):
        names = [
            provider.current_name(name) for name in [*RETIRED_GROQ_MODELS, *RETIRED_GROQ_MODELS, "openai/gpt-oss-120b"]
        ]

    assert set(names) == {"openai/gpt-oss-120b", "openai/gpt-oss-20b"}
    assert len(caplog.records) == len(RETIRED_GROQ_MODELS)
