"""What the adapters over LangChain's chat models share: a request out, chunks back."""

from collections.abc import AsyncGenerator, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Protocol

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk
from langchain_core.messages.ai import UsageMetadata
from langchain_core.runnables import RunnableConfig

from shadowgraph.core.calls import LlmRequest, Usage
from shadowgraph.llm.port import Chunk, Target, ToolCallPiece

COST_HEADER = "x-litellm-response-cost"
_ALONE = RunnableConfig(callbacks=[], metadata={}, tags=[])
"""The caller's callbacks have seen the author's model already: without this they would count and show everything twice."""


class Heard(Protocol):
    """Knows the headers of responses."""

    def take_headers(self, request_headers: Mapping[str, str]) -> Mapping[str, str]: ...


async def stream_chunks(
    model: BaseChatModel,
    request: LlmRequest,
    target: Target,
    *,
    headers: Mapping[str, str],
    heard: Heard | None = None,
) -> AsyncGenerator[Chunk, None]:
    messages = [dict(message) for message in request.messages]
    try:
        async for message in model.astream(messages, _ALONE, **_options(request, target, headers)):
            if heard and (response_headers := heard.take_headers(headers)):
                yield Chunk(headers=response_headers, reported_cost=reported_cost(response_headers))
            yield to_chunk(message)
    finally:
        if heard:
            heard.take_headers(headers)


def reported_cost(headers: Mapping[str, str]) -> Decimal | None:
    """USD, as a LiteLLM proxy says it; with streamed answers it rarely does."""
    return _usd(headers.get(COST_HEADER))


def _usd(text: str | None) -> Decimal | None:
    if text is None:
        return None
    try:
        cost = Decimal(text)
    except InvalidOperation:
        return None
    return cost if cost.is_finite() and cost >= 0 else None


def _options(request: LlmRequest, target: Target, headers: Mapping[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {**request.parameters, "model": target.model, "extra_headers": dict(headers)}
    if request.tools:
        options["tools"] = list(request.tools)
    if request.tool_choice is not None:
        options["tool_choice"] = request.tool_choice
    return options


def to_chunk(message: AIMessageChunk) -> Chunk:
    facts = message.response_metadata
    return Chunk(
        text=str(message.text),
        tool_calls=tuple(
            ToolCallPiece(piece["index"] or 0, piece["id"], piece["name"], piece["args"] or "")
            for piece in message.tool_call_chunks
        ),
        usage=_usage(message.usage_metadata, is_estimated=bool(facts.get("usage_estimated"))),
        finish_reason=facts.get("finish_reason") or facts.get("stop_reason"),
        model=facts.get("model_name"),
        synthetic=bool(facts.get("synthetic")),
        reported_cost=_usd(facts.get("price_usd")),
    )


def _usage(usage: UsageMetadata | None, *, is_estimated: bool) -> Usage | None:
    if usage is None:
        return None
    return Usage(
        prompt_tokens=usage["input_tokens"],
        completion_tokens=usage["output_tokens"],
        cached_tokens=usage.get("input_token_details", {}).get("cache_read", 0),
        reasoning_tokens=usage.get("output_token_details", {}).get("reasoning", 0),
        source="estimated" if is_estimated else "provider",
    )
