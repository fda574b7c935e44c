import asyncio
from decimal import Decimal
from typing import Any

import httpx
import pytest
from langchain_core.messages import AIMessage
from pydantic import BaseModel

from shadowgraph.llm.offline.calls import CALL_HEADER, CallPlace, build_call_header
from shadowgraph.llm.offline.chat_model import OfflineChatModel
from shadowgraph.llm.offline.knobs import parse_knobs
from shadowgraph.llm.offline.service import MODEL_NAME, End, OfflineRequest, Pause, send
from shadowgraph.llm.offline.tokens import TOKENS_PER_PIECE
from shadowgraph.llm.offline.wording import LABEL

SNAKE = "Build a snake game"


class Notes(BaseModel):
    """Notes."""

    summary: str
    needs_search: bool


def model(knobs: str = "", **options: Any) -> OfflineChatModel:
    return OfflineChatModel(knobs=parse_knobs(knobs), **options)


def headers(node: str = "coder", *, attempt: int = 1, run_id: str = "run_1", index: int = 0) -> dict[str, Any]:
    key = f"0//{node}/1/p/{index}"
    return {"extra_headers": {CALL_HEADER: build_call_header(run_id=run_id, call_key=key, attempt=attempt)}}


def test_an_answer_says_what_it_is() -> None:
    message = model().invoke(SNAKE)

    assert message.response_metadata == {
        "model_name": MODEL_NAME,
        "model_provider": "offline",
        "synthetic": True,
        "usage_estimated": True,
        "finish_reason": "stop",
    }
    assert message.text.endswith(LABEL)


async def test_all_four_ways_to_ask_give_the_same_answer() -> None:
    chat = model()

    answers = [
        chat.invoke(SNAKE).text,
        (await chat.ainvoke(SNAKE)).text,
        "".join(chunk.text for chunk in chat.stream(SNAKE)),
        "".join([chunk.text async for chunk in chat.astream(SNAKE)]),
    ]

    assert len(set(answers)) == 1


def test_streamed_and_whole_answers_count_the_same_tokens() -> None:
    usages = [chunk.usage_metadata for chunk in model().stream(SNAKE) if chunk.usage_metadata]

    assert usages == [model().invoke(SNAKE).usage_metadata]


def test_structured_output_comes_as_a_tool_call() -> None:
    notes = model().with_structured_output(Notes).invoke(SNAKE)

    assert isinstance(notes, Notes)
    assert not notes.needs_search


def test_a_limit_of_tokens_cuts_the_text_and_says_so() -> None:
    message = model(max_tokens=5).invoke(SNAKE)

    assert message.response_metadata["finish_reason"] == "length"
    assert message.usage_metadata
    assert message.usage_metadata["output_tokens"] == 5


def test_a_limit_of_tokens_leaves_tool_calls_whole() -> None:
    message = model(max_tokens=5).bind_tools([Notes], tool_choice="any").invoke(SNAKE)

    assert isinstance(message, AIMessage)
    assert message.tool_calls[0]["args"]["needs_search"] is False
    assert message.response_metadata["finish_reason"] == "tool_calls"


def test_a_stop_word_ends_the_text_before_it() -> None:
    assert model().invoke("Hello", stop=["game", "snake"]).text == "Hello. Ask me for a "
    assert model(stop=["snake"]).invoke("Hello").text == "Hello. Ask me for a "


def test_a_made_up_price_is_told() -> None:
    price = model("price_usd_per_call=0.01").invoke("Hello").response_metadata["price_usd"]

    assert Decimal(price) == Decimal("0.01")


class TestTrouble:
    async def test_a_failure_is_an_http_error_with_the_providers_body(self) -> None:
        with pytest.raises(httpx.HTTPStatusError) as caught:
            await model("fail=429:retry_after=2").ainvoke("Hello")

        response = caught.value.response
        assert response.status_code == 429
        assert response.headers["Retry-After"] == "2"
        assert response.json()["error"]["code"] == "rate_limit_exceeded"

    def test_threads_meet_the_same_trouble(self) -> None:
        with pytest.raises(httpx.HTTPStatusError):
            model("fail=500").invoke("Hello")

        with pytest.raises(httpx.RemoteProtocolError):
            list(model("cut_stream_after=2").stream(SNAKE))

    async def test_a_cut_stream_breaks_after_its_first_pieces(self) -> None:
        seen: list[str] = []

        async def read() -> None:
            async for chunk in model("cut_stream_after=3").astream(SNAKE):
                seen.append(chunk.text)  # noqa: PERF401 - what came before the break counts

        with pytest.raises(httpx.RemoteProtocolError):
            await read()

        assert len(seen) == 3

    async def test_an_answer_that_is_shorter_than_the_cut_breaks_before_its_end(self) -> None:
        with pytest.raises(httpx.RemoteProtocolError):
            await model("cut_stream_after=1000").ainvoke("Hello")

    def test_trouble_can_be_limited_to_a_node(self) -> None:
        chat = model("coder.fail=500")

        assert chat.invoke("Hello", **headers("planner"))
        with pytest.raises(httpx.HTTPStatusError):
            chat.invoke("Hello", **headers("coder"))

    def test_a_second_attempt_can_succeed(self) -> None:
        chat = model("fail_first=1")

        with pytest.raises(httpx.HTTPStatusError):
            chat.invoke("Hello", **headers(attempt=1))
        assert chat.invoke("Hello", **headers(attempt=2))

    def test_without_the_header_requests_are_counted(self) -> None:
        chat = model("fail_first=1")

        with pytest.raises(httpx.HTTPStatusError):
            chat.invoke("Hello")
        assert chat.invoke("Hello")


class TestNoise:
    def test_two_runs_of_one_request_differ_and_attempts_of_one_call_do_not(self) -> None:
        chat = model("noise=0.5&seed=3")

        first, again, other = (
            chat.invoke(SNAKE, **headers(run_id=run_id, attempt=attempt)).text
            for run_id, attempt in (("run_1", 1), ("run_1", 2), ("run_2", 1))
        )

        assert first == again
        assert first != other


class TestWaiting:
    def test_latency_comes_first_and_every_piece_waits_for_its_tokens(self) -> None:
        place = CallPlace("run_1", "k", 1)
        request = OfflineRequest([{"role": "user", "content": "Hello"}])

        steps = list(send(request, knobs=parse_knobs("latency_ms=200&token_ms=5"), place=place).steps())

        assert steps[0] == Pause(0.2)
        assert steps[1::2][:-1] == [Pause(5 * TOKENS_PER_PIECE / 1000)] * len(steps[2::2])
        assert isinstance(steps[-1], End)

    def test_by_default_nothing_waits(self) -> None:
        request = OfflineRequest([{"role": "user", "content": "Hello"}])

        steps = send(request, knobs=parse_knobs(""), place=CallPlace("run_1", "k", 1)).steps()

        assert not any(isinstance(step, Pause) for step in steps)

    async def test_a_wait_is_really_made(self) -> None:
        answer = asyncio.create_task(model("latency_ms=600000").ainvoke("Hello"))

        done, _ = await asyncio.wait({answer}, timeout=0.05)
        answer.cancel()

        assert not done
