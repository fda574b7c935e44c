"""One node that is run so many times, and each time leaves so many bytes in a state that it replaces: text that does not compress well."""

from hashlib import shake_256
from typing import TypedDict

from langgraph.graph import END, START, StateGraph


class State(TypedDict, total=False):
    steps: int
    bytes: int
    done: int
    kept: list[str]


async def work(state: State) -> State:
    done = state.get("done", 0) + 1
    return {"done": done, "kept": [shake_256(f"{done}".encode()).hexdigest(state["bytes"] // 2)]}


def go_on(state: State) -> str:
    return "work" if state["done"] < state["steps"] else END


graph = StateGraph(State).add_node("work", work).add_edge(START, "work").add_conditional_edges("work", go_on)
