"""The offline model over HTTP, asked by the clients that ask real providers."""

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import groq
import httpx
import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_groq import ChatGroq
from pydantic import BaseModel, SecretStr

from shadowgraph.api.offline_wire import FINGERPRINT
from shadowgraph.llm.offline.calls import CALL_HEADER, build_call_header
from shadowgraph.llm.offline.wording import LABEL
from tests.support.offline import offline_server

CHAT = "/openai/v1/chat/completions"
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}


@tool
def get_weather(location: str) -> str:
    """Get the weather at a location."""
    return f"It is sunny in {location}."


@tool
def save_file(path: str, content: str) -> str:
    """Save a file."""
    return f"{path}: {len(content)}"


class Note(BaseModel):
    """A note."""

    summary: str
    approved: bool


@pytest.fixture(scope="module")
def running() -> Iterator[str]:
    with offline_server() as url:
        yield url


@pytest.fixture
def server(running: str) -> str:
    """An offline model without trouble, that has seen nothing yet."""
    httpx.delete(f"{running}/calls")
    return running


@asynccontextmanager
async def chat_groq(url: str) -> AsyncIterator[ChatGroq]:
    """The true client, whose connections are closed in the end."""
    with httpx.Client() as client:
        async with httpx.AsyncClient() as async_client:
            yield ChatGroq(
                model="openai/gpt-oss-120b",
                api_key=SecretStr("any"),
                base_url=url,
                max_retries=0,
                http_client=client,
                http_async_client=async_client,
            )


def post(url: str, body: dict[str, Any], *, header: str | None = None, path: str = CHAT) -> httpx.Response:
    headers = {CALL_HEADER: header} if header else {}
    return httpx.post(f"{url}{path}", json=body, headers=headers)


def calls_at(url: str) -> list[dict[str, Any]]:
    calls: list[dict[str, Any]] = httpx.get(f"{url}/calls").json()
    return calls


def header_of(node: str, *, attempt: int = 1, index: int = 0) -> str:
    return build_call_header(run_id="run_1", call_key=f"0//{node}/1/{node}/{index}", attempt=attempt)


def events_of(response: httpx.Response) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


class TestChatGroq:
    async def test_an_answer_with_its_usage(self, server: str) -> None:
        async with chat_groq(server) as model:
            message = model.invoke("Hello")

        assert message.text.endswith(LABEL)
        assert message.usage_metadata
        assert message.usage_metadata["output_tokens"] > 0

    async def test_a_stream_is_the_same_answer_in_pieces(self, server: str) -> None:
        async with chat_groq(server) as model:
            chunks = [chunk async for chunk in model.astream("Build a snake game")]
            whole = await model.ainvoke("Build a snake game")

        assert len(chunks) > 20
        assert "".join(chunk.text for chunk in chunks) == whole.text
        assert [chunk.usage_metadata for chunk in chunks if chunk.usage_metadata] == [whole.usage_metadata]

    async def test_a_whole_turn_with_a_tool(self, server: str) -> None:
        messages: list[BaseMessage] = [HumanMessage("What is the weather in Graz?")]

        async with chat_groq(server) as plain:
            model = plain.bind_tools([get_weather])
            asked = await model.ainvoke(messages)
            result = get_weather.invoke(asked.tool_calls[0])
            answer = await model.ainvoke([*messages, asked, result])

        assert asked.tool_calls[0]["args"] == {"location": "Graz"}
        assert isinstance(result, ToolMessage)
        assert "It is sunny in Graz." in answer.text
        assert answer.tool_calls == []

    async def test_streamed_tool_calls_are_put_together(self, server: str) -> None:
        async with chat_groq(server) as plain:
            model = plain.bind_tools([save_file], tool_choice="save_file")
            chunks = [chunk async for chunk in model.astream("Build a snake game")]

        whole: BaseMessage = chunks[0]
        for chunk in chunks[1:]:
            assert isinstance(whole, AIMessageChunk)
            whole = whole + chunk

        assert isinstance(whole, AIMessage)
        assert len(chunks) > 20
        assert [call["name"] for call in whole.tool_calls] == ["save_file"]
        assert whole.tool_calls[0]["args"]["path"] == "game.py"
        assert "class Game" in whole.tool_calls[0]["args"]["content"]

    async def test_the_call_header_arrives(self, server: str) -> None:
        headers = {CALL_HEADER: header_of("coder", attempt=3)}

        async with chat_groq(server) as model:
            await model.ainvoke("Hello", extra_headers=headers)

        assert [(call["node"], call["attempt"]) for call in calls_at(server)] == [("coder", 3)]

    @pytest.mark.parametrize("method", ["function_calling", "json_schema"])
    async def test_structured_output(self, server: str, method: Any) -> None:
        async with chat_groq(server) as model:
            note = await model.with_structured_output(Note, method=method).ainvoke("Build a snake game")

        assert isinstance(note, Note)
        assert note.approved
        assert "snake" in note.summary.lower()

    async def test_a_rate_limit_carries_its_waiting_time(self) -> None:
        with offline_server("fail=429:retry_after=1.5") as url:
            async with chat_groq(url) as model:
                with pytest.raises(groq.RateLimitError) as caught:
                    await model.ainvoke("Hello")

        assert caught.value.response.headers["retry-after"] == "1.5"
        assert caught.value.status_code == 429

    async def test_a_failure_before_the_first_token_of_a_stream_has_its_status(self) -> None:
        with offline_server("fail=503") as url:
            async with chat_groq(url) as model:
                with pytest.raises(groq.InternalServerError) as caught:
                    await anext(model.astream("Hello"))

        assert caught.value.status_code == 503

    async def test_a_cut_stream_breaks_after_its_first_pieces(self) -> None:
        seen: list[str] = []

        async def read(model: ChatGroq) -> None:
            async for chunk in model.astream("Build a snake game"):
                seen.append(chunk.text)  # noqa: PERF401 - what came before the break counts

        with offline_server("cut_stream_after=5") as url:
            async with chat_groq(url) as model:
                with pytest.raises(httpx.RemoteProtocolError):
                    await read(model)

        assert len("".join(seen)) > 50

    async def test_an_answer_in_one_piece_can_be_cut_too(self) -> None:
        with offline_server("cut_stream_after=5") as url:
            async with chat_groq(url) as model:
                with pytest.raises((groq.APIConnectionError, httpx.RemoteProtocolError)):
                    await model.ainvoke("Build a snake game")


class TestWire:
    @pytest.mark.parametrize("path", [CHAT, "/v1/chat/completions"])
    def test_both_paths_answer(self, server: str, path: str) -> None:
        body = post(server, {**HELLO, "model": "some-model"}, path=path).json()

        assert body["object"] == "chat.completion"
        assert body["model"] == "some-model"
        assert body["choices"][0]["finish_reason"] == "stop"
        assert body["usage"]["total_tokens"] == body["usage"]["prompt_tokens"] + body["usage"]["completion_tokens"]

    def test_every_answer_says_that_rules_wrote_it(self, server: str) -> None:
        body = post(server, HELLO).json()

        assert body["system_fingerprint"] == FINGERPRINT
        assert body["x_shadowgraph"] == {"synthetic": True, "usage_estimated": True}

    def test_a_made_up_price_is_shown_as_such(self) -> None:
        with offline_server("price_usd_per_call=0.01") as url:
            assert post(url, HELLO).json()["x_shadowgraph"]["price_usd"] == "0.01"

    def test_usage_comes_in_groqs_place_and_on_demand_in_openais(self, server: str) -> None:
        plain = events_of(post(server, {**HELLO, "stream": True}))
        asked = events_of(post(server, {**HELLO, "stream": True, "stream_options": {"include_usage": True}}))

        assert plain[-1]["x_groq"]["usage"]["total_tokens"] > 0
        assert asked[-1]["choices"] == []
        assert asked[-1]["usage"] == asked[-2]["x_groq"]["usage"]

    def test_stop_words_and_a_token_limit_shorten_the_answer(self, server: str) -> None:
        stopped = post(server, {**HELLO, "stop": "game"}).json()["choices"][0]
        limited = post(server, {**HELLO, "max_completion_tokens": 3}).json()["choices"][0]

        assert "game" not in stopped["message"]["content"]
        assert stopped["finish_reason"] == "stop"
        assert limited["finish_reason"] == "length"

    def test_json_mode_gives_json(self, server: str) -> None:
        body = {
            "messages": [{"role": "user", "content": "A joke as JSON with 'setup' and 'punchline' keys."}],
            "response_format": {"type": "json_object"},
        }

        content = post(server, body).json()["choices"][0]["message"]["content"]

        assert set(json.loads(content)) == {"setup", "punchline"}

    def test_the_model_is_listed(self, server: str) -> None:
        listed = httpx.get(f"{server}/openai/v1/models").json()

        assert listed == httpx.get(f"{server}/v1/models").json()
        assert [model["id"] for model in listed["data"]] == ["offline-demo-1"]

    def test_it_says_that_it_lives(self, server: str) -> None:
        assert httpx.get(f"{server}/healthz").status_code == 200

    def test_names_of_other_hosts_are_refused(self, server: str) -> None:
        response = httpx.get(f"{server}/calls", headers={"Host": "evil.example"})

        assert response.status_code == 400


class TestBadRequests:
    @pytest.mark.parametrize(
        ("body", "told"),
        [
            (b"{broken", "JSON"),
            (b"[]", "object"),
            (b"{}", "messages"),
            (b'{"messages": []}', "messages"),
            (b'{"messages": [{"role": "king", "content": "x"}]}', "role"),
            (b'{"messages": [{"role": "user", "content": "x"}], "n": 2}', "n"),
            (b'{"messages": [{"role": "user", "content": "x"}], "max_tokens": 0}', "max_tokens"),
            (b'{"messages": [{"role": "user", "content": "x"}], "tool_choice": "required"}', "tool_choice"),
            (
                b'{"messages": [{"role": "user", "content": "x"}], "tool_choice": {"function": {"name": "f"}}}',
                "not among the tools",
            ),
        ],
    )
    def test_they_get_an_error_in_the_providers_shape(self, server: str, body: bytes, told: str) -> None:
        response = httpx.post(f"{server}{CHAT}", content=body)

        assert response.status_code == 400
        assert response.json()["error"]["type"] == "invalid_request_error"
        assert told in response.json()["error"]["message"]

    def test_unknown_paths_and_methods_do_too(self, server: str) -> None:
        missing, wrong = httpx.get(f"{server}/v1/nothing"), httpx.get(f"{server}{CHAT}")

        assert (missing.status_code, wrong.status_code) == (404, 405)
        assert "message" in missing.json()["error"]

    def test_a_request_that_is_too_large_is_refused(self, server: str) -> None:
        response = httpx.post(f"{server}{CHAT}", content=b" " * 4_000_001)

        assert response.status_code == 413


class TestCalls:
    def test_every_request_is_remembered_until_it_is_forgotten(self) -> None:
        with offline_server("coder.fail=500") as url:
            post(url, {**HELLO, "model": "m"}, header=header_of("planner"))
            post(url, HELLO, header=header_of("coder", attempt=2))

            calls = httpx.get(f"{url}/calls").json()
            httpx.delete(f"{url}/calls")

            assert httpx.get(f"{url}/calls").json() == []
        assert [(call["order"], call["node"], call["attempt"], call["status"]) for call in calls] == [
            (1, "planner", 1, 200),
            (2, "coder", 2, 500),
        ]
        assert calls[0]["model"] == "m"
        assert calls[0]["call"] == header_of("planner")
        assert calls[0]["outcome"] == "answered"

    def test_a_refused_body_is_no_call(self, server: str) -> None:
        httpx.post(f"{server}{CHAT}", content=b"{}")

        assert httpx.get(f"{server}/calls").json() == []

    def test_the_first_attempts_of_each_call_fail_and_later_ones_do_not(self) -> None:
        with offline_server("fail_first=2&fail=429:retry_after=1") as url:
            statuses = [
                post(url, HELLO, header=header_of("coder", attempt=attempt)).status_code for attempt in (1, 2, 3)
            ]

        assert statuses == [429, 429, 200]

    def test_without_the_header_requests_are_counted(self) -> None:
        with offline_server("fail_first=1") as url:
            assert [post(url, HELLO).status_code for _ in range(2)] == [503, 200]

    def test_a_cut_stream_is_remembered_as_cut(self) -> None:
        with offline_server("cut_stream_after=1") as url:
            with pytest.raises(httpx.RemoteProtocolError):
                post(url, {**HELLO, "stream": True})

            assert httpx.get(f"{url}/calls").json()[0]["outcome"] == "cut"
