"""Groq, through LangChain's client. The only module that knows `langchain_groq`.

Only the worker half imports it. Beside the graph library, which is there anyway, loading it costs less than a tenth of a second.
"""

import logging
from collections.abc import AsyncGenerator, Mapping

import httpx
from langchain_groq import ChatGroq
from pydantic import SecretStr

from shadowgraph.core.calls import LlmRequest
from shadowgraph.core.settings import RETIRED_GROQ_MODELS, Settings
from shadowgraph.llm.port import Chunk, Target
from shadowgraph.llm.providers.connections import TIMEOUT, Connections
from shadowgraph.llm.providers.langchain import stream_chunks

logger = logging.getLogger(__name__)

_API_PATH = "/openai/v1"


class GroqProvider:
    """Implements `llm.port.Provider`."""

    def __init__(self, api_key: SecretStr, *, base_url: str = "") -> None:
        """`base_url` is the server's address; with the API's path at its end it is understood, too: the client adds the path itself."""
        self._api_key = api_key
        self._base_url = base_url.rstrip("/").removesuffix(_API_PATH) or None
        self._connections = Connections(self._build_model)
        self._warned: set[str] = set()

    def current_name(self, model: str) -> str:
        successor = RETIRED_GROQ_MODELS.get(model)
        if successor and model not in self._warned:
            self._warned.add(model)
            logger.warning("Groq has retired %s; %s answers instead", model, successor)
        return successor or model

    async def stream(
        self, request: LlmRequest, target: Target, *, headers: Mapping[str, str]
    ) -> AsyncGenerator[Chunk, None]:
        model = self._connections.model(target.model)
        async for chunk in stream_chunks(model, request, target, headers=headers, heard=self._connections):
            yield chunk

    async def close(self) -> None:
        """Closes the connections of the current event loop."""
        await self._connections.close()

    def _build_model(self, name: str, client: httpx.AsyncClient) -> ChatGroq:
        return ChatGroq(
            model=name,
            api_key=self._api_key,
            base_url=self._base_url,
            timeout=TIMEOUT,
            max_retries=0,  # the gateway retries: the library sleeps through long limits and cannot be counted
            http_async_client=client,
        )


def build_provider(settings: Settings) -> GroqProvider:
    return GroqProvider(settings.groq_api_key, base_url=settings.groq_base_url)
