"""LangChain's messages to our own plain values, and back."""

from collections.abc import Sequence
from typing import Any, cast

import orjson
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, convert_to_openai_messages
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import ToolCall as LangChainToolCall
from langchain_core.messages.tool import tool_call, tool_call_chunk

from shadowgraph.core.calls import Completion, Usage
from shadowgraph.core.json import JsonObject
from shadowgraph.core.text import sanitise


def to_request_messages(messages: Sequence[BaseMessage]) -> list[JsonObject]:
    """OpenAI chat shape, cleaned, without message ids: they are new each time and would make every request another one."""
    return sanitise(cast("list[JsonObject]", convert_to_openai_messages(list(messages))))


def to_message(completion: Completion, *, message_id: str | None = None) -> AIMessage:
    return AIMessage(
        content=completion.text,
        tool_calls=_tool_calls(completion),
        usage_metadata=_usage_metadata(completion.usage),
        response_metadata=_response_metadata(completion),
        id=message_id,
    )


def text_chunk(text: str, *, message_id: str | None = None) -> AIMessageChunk:
    return AIMessageChunk(content=text, id=message_id)


def last_chunk(completion: Completion, *, rest: str) -> AIMessageChunk:
    """Everything of the answer but the text that went out before."""
    return AIMessageChunk(
        content=rest,
        tool_call_chunks=[
            tool_call_chunk(name=call.name, args=orjson.dumps(call.arguments).decode(), id=call.id, index=index)
            for index, call in enumerate(completion.tool_calls)
        ],
        usage_metadata=_usage_metadata(completion.usage),
        response_metadata=_response_metadata(completion),
        chunk_position="last",
    )


def _tool_calls(completion: Completion) -> list[LangChainToolCall]:
    return [tool_call(name=call.name, args=dict(call.arguments), id=call.id) for call in completion.tool_calls]


def _usage_metadata(usage: Usage) -> UsageMetadata:
    return UsageMetadata(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        input_token_details=InputTokenDetails(cache_read=usage.cached_tokens),
        output_token_details=OutputTokenDetails(reasoning=usage.reasoning_tokens),
    )


def _response_metadata(completion: Completion) -> dict[str, Any]:
    shortened = {"left_out_characters": completion.left_out_characters} if completion.left_out_characters else {}
    return {
        "model_name": completion.model,
        "model_provider": completion.provider,
        "finish_reason": completion.finish_reason,
        "synthetic": completion.synthetic,
        "tokens_source": completion.usage.source,
        **shortened,
    }
