"""The offline demo model as a provider."""

from collections.abc import AsyncGenerator, Mapping

from langchain_core.language_models import BaseChatModel

from shadowgraph.core.calls import LlmRequest
from shadowgraph.llm.port import Chunk, Target
from shadowgraph.llm.providers.langchain import stream_chunks


class OfflineProvider:
    """Implements `llm.port.Provider`."""

    def __init__(self, model: BaseChatModel) -> None:
        self._model = model

    def current_name(self, model: str) -> str:
        return model

    async def stream(
        self, request: LlmRequest, target: Target, *, headers: Mapping[str, str]
    ) -> AsyncGenerator[Chunk, None]:
        async for chunk in stream_chunks(self._model, request, target, headers=headers):
            yield chunk
