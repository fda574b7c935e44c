"""Tokens: what the provider reported, else an estimate that says that it is one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from shadowgraph.core.calls import LlmRequest, Usage
from shadowgraph.core.json import Json, canonical

BYTES_PER_TOKEN = 4
TOKENS_PER_MESSAGE = 4
"""Role and separators."""
TOKENS_PER_MEDIUM = 1_000
"""An image, a sound or a file: its size in bytes says nothing."""


def estimate_tokens(text: str) -> int:
    """By bytes, not characters: scripts beyond Latin need more tokens per character."""
    return -(-len(text.encode()) // BYTES_PER_TOKEN)


def estimate_prompt_tokens(request: LlmRequest) -> int:
    messages = sum(_message_tokens(message) for message in request.messages)
    return messages + (estimate_tokens(canonical(request.tools).decode()) if request.tools else 0)


def max_completion_tokens(request: LlmRequest) -> int | None:
    """None: the request sets no limit."""
    asked = request.parameters.get("max_tokens") or request.parameters.get("max_completion_tokens")
    return asked if isinstance(asked, int) else None


def _message_tokens(message: Mapping[str, Json]) -> int:
    calls = message.get("tool_calls")
    return (
        TOKENS_PER_MESSAGE
        + _content_tokens(message.get("content"))
        + (estimate_tokens(canonical(calls).decode()) if calls else 0)
    )


def _content_tokens(content: Json) -> int:
    if isinstance(content, str):
        return estimate_tokens(content)
    if isinstance(content, Mapping):
        text = content.get("text")
        return estimate_tokens(text) if isinstance(text, str) else TOKENS_PER_MEDIUM
    if isinstance(content, Sequence):
        return sum(_content_tokens(block) for block in content)
    return 0


def complete_usage(reported: Usage | None, *, request: LlmRequest, answer: str) -> Usage:
    """`answer` is all that the model wrote, tool calls included. Some servers report a prompt of 0 tokens: that is estimated, too."""
    if reported is None:
        return Usage(estimate_prompt_tokens(request), estimate_tokens(answer), source="estimated")
    if reported.prompt_tokens == 0:
        return replace(reported, prompt_tokens=estimate_prompt_tokens(request), source="estimated")
    return reported
