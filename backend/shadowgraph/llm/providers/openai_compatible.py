"""Every server that speaks OpenAI's chat API, through LangChain's client. The only module that knows `langchain_openai`.

OpenAI itself, Ollama, llama-server, vLLM, DeepSeek, OpenRouter, a LiteLLM proxy and others, by their address.
"""

from collections.abc import AsyncGenerator, Mapping
from urllib.parse import urlsplit

import httpx
from langchain_openai import ChatOpenAI
from langchain_openai.chat_models.base import BaseChatOpenAI
from pydantic import SecretStr

from shadowgraph.core.calls import LlmRequest
from shadowgraph.core.settings import Settings
from shadowgraph.llm.port import Chunk, Target
from shadowgraph.llm.providers.connections import TIMEOUT, Connections
from shadowgraph.llm.providers.langchain import stream_chunks

OPENAI_URL = "https://api.openai.com/v1"
NO_KEY = SecretStr("none")
"""The client insists on one; servers in one's own network ask for none."""


class OpenAiCompatibleProvider:
    """Implements `llm.port.Provider`."""

    def __init__(self, api_key: SecretStr, *, base_url: str = "") -> None:
        """`base_url` with the API's path, which is `/v1` when none is given; without any it is OpenAI itself."""
        self._api_key = api_key if api_key.get_secret_value() else NO_KEY
        self._base_url = with_path(base_url) if base_url else OPENAI_URL
        self._connections = Connections(self._build_model)

    def current_name(self, model: str) -> str:
        return model

    async def stream(
        self, request: LlmRequest, target: Target, *, headers: Mapping[str, str]
    ) -> AsyncGenerator[Chunk, None]:
        model = self._connections.model(target.model)
        async for chunk in stream_chunks(model, request, target, headers=headers, heard=self._connections):
            yield chunk

    async def close(self) -> None:
        """Closes the connections of the current event loop."""
        await self._connections.close()

    def _build_model(self, name: str, client: httpx.AsyncClient) -> BaseChatOpenAI:
        # ChatOpenAI renames max_tokens to what only OpenAI's own newest models insist on and some other servers do not know.
        chat_class = ChatOpenAI if self._base_url == OPENAI_URL else BaseChatOpenAI
        return chat_class(
            model=name,
            api_key=self._api_key,
            base_url=self._base_url,
            timeout=TIMEOUT,
            max_retries=0,  # the gateway retries: the library sleeps through a Retry-After of any length
            stream_usage=True,  # with an address of one's own it would ask for none
            stream_chunk_timeout=None,
            use_responses_api=False,
            http_async_client=client,
        )


def with_path(base_url: str) -> str:
    bare = base_url.rstrip("/")
    return bare if urlsplit(bare).path else f"{bare}/v1"


def build_provider(settings: Settings) -> OpenAiCompatibleProvider:
    return OpenAiCompatibleProvider(settings.openai_api_key, base_url=settings.openai_api_base)
