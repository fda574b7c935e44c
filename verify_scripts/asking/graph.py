"""A graph for `verify_reliability.py`: asks a model so many times, one question after the other, each in a step of its own."""

import operator
from typing import Annotated, Any, Literal

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from shadowgraph import chat_model


class Wish(TypedDict):
    model: str
    """`provider:model`, or the name of a route."""
    calls: int


class State(Wish, total=False):
    answers: Annotated[list[str], operator.add]


async def ask(state: State) -> dict[str, Any]:
    number = len(state.get("answers", [])) + 1
    answer = await chat_model(model=state["model"]).ainvoke(f"Question {number}?")
    return {"answers": [str(answer.content)]}


def what_next(state: State) -> Literal["ask", "__end__"]:
    return "ask" if len(state["answers"]) < state["calls"] else END


graph = StateGraph(State, input_schema=Wish)
graph.add_node(ask)
graph.add_edge(START, "ask")
graph.add_conditional_edges("ask", what_next)
