from shadowgraph.core.calls import LlmRequest, Usage
from shadowgraph.core.json import JsonObject
from shadowgraph.llm.usage import (
    TOKENS_PER_MEDIUM,
    TOKENS_PER_MESSAGE,
    complete_usage,
    estimate_prompt_tokens,
    estimate_tokens,
)


def _request(*messages: JsonObject, tools: tuple[JsonObject, ...] = ()) -> LlmRequest:
    return LlmRequest(agent="coder", messages=messages, tools=tools)


def test_text_is_estimated_by_its_bytes() -> None:
    assert estimate_tokens("12345678") == 2
    assert estimate_tokens("123456789") == 3
    assert estimate_tokens("") == 0
    assert estimate_tokens("日本語") > estimate_tokens("abc")


def test_a_prompt_counts_texts_tool_calls_and_tools() -> None:
    plain = estimate_prompt_tokens(_request({"role": "user", "content": "12345678"}))
    blocks = estimate_prompt_tokens(_request({"role": "user", "content": [{"type": "text", "text": "12345678"}]}))
    calls = estimate_prompt_tokens(_request({"role": "assistant", "content": None, "tool_calls": [{"id": "call_1"}]}))
    tools = estimate_prompt_tokens(_request({"role": "user", "content": "12345678"}, tools=({"type": "function"},)))

    assert plain == blocks == TOKENS_PER_MESSAGE + 2
    assert calls > TOKENS_PER_MESSAGE
    assert tools > plain


def test_an_image_counts_the_same_whatever_its_size() -> None:
    image: JsonObject = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}}

    assert (
        estimate_prompt_tokens(_request({"role": "user", "content": [image]})) == TOKENS_PER_MESSAGE + TOKENS_PER_MEDIUM
    )


def test_reported_usage_is_taken_as_it_is() -> None:
    reported = Usage(100, 20, cached_tokens=60, reasoning_tokens=5)

    assert complete_usage(reported, request=_request(), answer="ignored") is reported
