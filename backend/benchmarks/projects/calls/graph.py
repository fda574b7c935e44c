"""One node that times calls of the demo model: bare, and through the run's single door. Blocks of both alternate."""

import asyncio
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import TypedDict

from langchain_core.language_models import LanguageModelInput
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable
from langgraph.graph import END, START, StateGraph

from shadowgraph import chat_model
from shadowgraph.llm.offline.chat_model import OfflineChatModel
from shadowgraph.llm.offline.knobs import parse_knobs

QUESTION = "Name three colours."
TOKENS = 20


class State(TypedDict, total=False):
    rounds: int
    calls: int
    side_by_side: int
    knobs: str
    bare_ms: list[float]
    durable_ms: list[float]
    bare_wall_ms: list[float]
    durable_wall_ms: list[float]


async def measure(state: State) -> State:
    """`calls` per block, `side_by_side` of them at once. A wall time is that of a whole block."""
    bare, durable = (
        OfflineChatModel(knobs=parse_knobs(state["knobs"])).bind(max_tokens=TOKENS),
        chat_model(max_tokens=TOKENS),
    )
    found: State = {"bare_ms": [], "durable_ms": [], "bare_wall_ms": [], "durable_wall_ms": []}
    await _block(bare, state, [])
    await _block(durable, state, [])
    for _ in range(state["rounds"]):
        found["bare_wall_ms"].append(await _block(bare, state, found["bare_ms"]))
        found["durable_wall_ms"].append(await _block(durable, state, found["durable_ms"]))
    return found


async def _block(model: Runnable[LanguageModelInput, AIMessage], state: State, samples: list[float]) -> float:
    began = perf_counter()
    waves, width = state["calls"] // state["side_by_side"], state["side_by_side"]
    for _ in range(waves):
        await asyncio.gather(*(_timed(lambda: model.ainvoke(QUESTION), samples) for _ in range(width)))
    return (perf_counter() - began) * 1000


async def _timed(ask: Callable[[], Awaitable[object]], samples: list[float]) -> None:
    began = perf_counter()
    await ask()
    samples.append((perf_counter() - began) * 1000)


graph = StateGraph(State).add_node("measure", measure).add_edge(START, "measure").add_edge("measure", END)
