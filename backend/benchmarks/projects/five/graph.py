"""Five nodes in a row, each with one answer of a model and 2 KB of state: nothing of it knows Shadowgraph."""

import asyncio
from typing import Annotated, Any, TypedDict

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages

NODES = ("read", "sort", "draft", "check", "close")
USAGE = {"input_tokens": 100, "output_tokens": 50, "total_tokens": 150}


class State(TypedDict, total=False):
    messages: Annotated[list[BaseMessage], add_messages]
    seconds: float
    """How long each answer takes."""
    read: dict[str, Any]
    sort: dict[str, Any]
    draft: dict[str, Any]
    check: dict[str, Any]
    close: dict[str, Any]


class SteadyModel(BaseChatModel):
    """Says the same after the same time."""

    seconds: float = 0

    @property
    def _llm_type(self) -> str:
        return "steady"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        answer = AIMessage("the quick brown fox jumps over the lazy dog. " * 4, usage_metadata=USAGE)
        return ChatResult(generations=[ChatGeneration(message=answer)])

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if self.seconds:
            await asyncio.sleep(self.seconds)
        return self._generate(messages)


def _build() -> StateGraph[State]:
    builder = StateGraph(State)
    for name in NODES:
        builder.add_node(name, _node(name))
    for before, after in zip((START, *NODES), (*NODES, END), strict=True):
        builder.add_edge(before, after)
    return builder


def _node(name: str) -> Any:
    async def node(state: State) -> dict[str, Any]:
        answer = await SteadyModel(seconds=state.get("seconds", 0)).ainvoke("go on")
        return {"messages": [answer], name: _two_kilobytes(name)}

    return node


def _two_kilobytes(name: str) -> dict[str, Any]:
    text = "lorem ipsum dolor sit amet " * 2
    return {"items": [{"id": n, "title": f"{name} item {n}", "score": n / 7, "text": text} for n in range(20)]}


graph = _build()
