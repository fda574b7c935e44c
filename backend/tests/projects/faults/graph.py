"""A small foreign project for the fault matrix: five nodes in a row that make six model calls, and one of them misbehaves as the input says.

START → researcher → planner → executor → coder (2 calls) → finalizer → END
"""

import asyncio
import operator
import os
import signal
import time
from pathlib import Path
from typing import Annotated, Any, Literal

from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt
from pydantic import Field
from typing_extensions import TypedDict

from shadowgraph import chat_model

NODES = ("researcher", "planner", "executor", "coder", "finalizer")
CALLS = {"coder": 2}
"""Of each node; one unless it stands here."""

HUGE_CHARACTERS = 6_000_000


class Trouble(TypedDict, total=False):
    node: str
    does: Literal["block", "hold", "kill", "nul", "surrogate", "nan", "huge", "ask"]
    when: Literal["first", "last"]
    """Before the node's calls, or after them."""
    seconds: float
    """`block`: how long nothing else of the process moves."""
    until: str
    """`hold`, and `kill` where it is given: the path of a file; the node waits until it is there."""


class FaultsInput(TypedDict, total=False):
    query: Annotated[str, Field(min_length=1)]
    trouble: Trouble


class FaultsOutput(TypedDict):
    log: list[str]


class FaultsState(TypedDict, total=False):
    query: str
    trouble: Trouble
    log: Annotated[list[str], operator.add]
    odd: Any


async def _misbehave(trouble: Trouble) -> dict[str, Any]:
    """What the node returns beside its own words."""
    match trouble["does"]:
        case "block":
            time.sleep(trouble["seconds"])  # noqa: ASYNC251  blocking the loop is the fault
        case "hold":
            await _wait_for_file(trouble["until"])
        case "kill":
            if "until" in trouble:
                await _wait_for_file(trouble["until"])
            os.kill(os.getpid(), signal.SIGKILL)
        case "nul":
            return {"odd": "before\x00after"}
        case "surrogate":
            return {"odd": "before\ud800after"}
        case "nan":
            return {"odd": {"numbers": [float("nan"), float("inf")]}}
        case "huge":
            return {"odd": "x" * HUGE_CHARACTERS}
        case "ask":
            return {"log": [f"a person said {interrupt({'question': 'Go on?'})}"]}
    return {}


async def _wait_for_file(path: str) -> None:
    while not Path(path).exists():  # noqa: ASYNC240, ASYNC110  a look at a local file every 20 ms
        await asyncio.sleep(0.02)


def _node(name: str) -> Any:
    async def run(state: FaultsState) -> dict[str, Any]:
        trouble = state.get("trouble", {})
        mine = trouble if trouble.get("node") == name else {}
        odd = await _misbehave(mine) if mine and mine.get("when", "first") == "first" else {}
        texts = [await _ask(state["query"], index) for index in range(CALLS.get(name, 1))]
        if mine and mine.get("when") == "last":
            odd = await _misbehave(mine)
        return {**odd, "log": [*odd.get("log", []), *(f"{name}: {text}" for text in texts)]}

    return run


async def _ask(query: str, index: int) -> str:
    answer = await chat_model().ainvoke([HumanMessage(f"Say one thing about {query}, number {index}")])
    return answer.text


builder = StateGraph(FaultsState, input_schema=FaultsInput, output_schema=FaultsOutput)
for before, name in zip((START, *NODES), NODES, strict=False):
    builder.add_node(name, _node(name))
    builder.add_edge(before, name)
builder.add_edge(NODES[-1], END)
graph = builder.compile()
