"""Anthropic, through LangChain's client. The only module that knows `langchain_anthropic`, which is an extra."""

from collections.abc import AsyncGenerator, Mapping
from dataclasses import replace
from typing import Any, cast

import anthropic
import httpx2
from langchain_anthropic import ChatAnthropic
from langchain_anthropic.chat_models import convert_to_anthropic_tool
from pydantic import SecretStr

from shadowgraph.core.calls import LlmRequest
from shadowgraph.core.json import Json, JsonObject
from shadowgraph.core.settings import Settings
from shadowgraph.llm.port import Chunk, Target
from shadowgraph.llm.providers.connections import SILENT_SECONDS, Connections
from shadowgraph.llm.providers.langchain import stream_chunks

ANTHROPIC_URL = "https://api.anthropic.com"
NOT_TAKEN = frozenset({"seed"})
"""Parameters that the API does not have: they are left out, because another target of the same route may have them."""
FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""Anthropic's words for it, and those of everybody else."""


class _ChatAnthropic(ChatAnthropic):
    """With a client of our own, which the library takes for the other providers but not here."""

    shared_client: Any = None

    @property
    def _async_client(self) -> anthropic.AsyncClient:
        return anthropic.AsyncClient(**self._client_params, http_client=self.shared_client)


class AnthropicProvider:
    """Implements `llm.port.Provider`."""

    def __init__(self, api_key: SecretStr, *, base_url: str = "") -> None:
        self._api_key = api_key
        self._base_url = base_url.rstrip("/") or ANTHROPIC_URL
        self._connections = Connections(self._build_model, http=httpx2)

    def current_name(self, model: str) -> str:
        return model

    async def stream(
        self, request: LlmRequest, target: Target, *, headers: Mapping[str, str]
    ) -> AsyncGenerator[Chunk, None]:
        model = self._connections.model(target.model)
        asked = to_anthropic(request)
        async for chunk in stream_chunks(model, asked, target, headers=headers, heard=self._connections):
            yield replace(chunk, finish_reason=_finish_reason(chunk.finish_reason))

    async def close(self) -> None:
        """Closes the connections of the current event loop."""
        await self._connections.close()

    def _build_model(self, name: str, client: httpx2.AsyncClient) -> ChatAnthropic:
        return _ChatAnthropic(
            model_name=name,
            api_key=self._api_key,
            base_url=self._base_url,
            timeout=SILENT_SECONDS,
            max_retries=0,  # the gateway retries
            stop=None,
            shared_client=client,
        )


def to_anthropic(request: LlmRequest) -> LlmRequest:
    """Tools and their choice in Anthropic's shape; the messages are the library's business."""
    return replace(
        request,
        parameters={name: value for name, value in request.parameters.items() if name not in NOT_TAKEN},
        tools=[_tool(tool) for tool in request.tools],
        tool_choice=_tool_choice(request.tool_choice),
    )


def _tool(tool: JsonObject) -> JsonObject:
    return cast(JsonObject, convert_to_anthropic_tool(dict(tool)))


def _tool_choice(choice: Json) -> Json:
    if isinstance(choice, Mapping):
        function = choice.get("function")
        return {"type": "tool", "name": function["name"]} if isinstance(function, Mapping) else dict(choice)
    if isinstance(choice, str):
        return {"type": "any" if choice == "required" else choice}
    return None


def _finish_reason(reason: str | None) -> str | None:
    return FINISH_REASONS.get(reason, reason) if reason else None


def build_provider(settings: Settings) -> AnthropicProvider:
    return AnthropicProvider(settings.anthropic_api_key, base_url=settings.anthropic_base_url)
