"""One node, one streamed answer."""

from typing import TypedDict

from langgraph.graph import END, START, StateGraph

from shadowgraph import chat_model


class State(TypedDict, total=False):
    question: str
    answer: str


async def talk(state: State) -> State:
    return {"answer": str((await chat_model().ainvoke(state["question"])).content)}


graph = StateGraph(State).add_node("talk", talk).add_edge(START, "talk").add_edge("talk", END)
