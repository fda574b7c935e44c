"""LangChain's own suites for chat models, over the whole way: author's model, gateway, adapter, offline model."""

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from shadowgraph.authoring.chat_model import ShadowgraphChatModel


class TestUnit(ChatModelUnitTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ShadowgraphChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {}


class TestIntegration(ChatModelIntegrationTests):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ShadowgraphChatModel

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {}

    @property
    def supports_json_mode(self) -> bool:
        return True
