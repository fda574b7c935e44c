"""One node that is run so many times, and each time leaves so many bytes in a state that it replaces."""

from typing import TypedDict

from langgraph.graph import END, START, StateGraph


class State(TypedDict, total=False):
    steps: int
    bytes: int
    done: int
    kept: list[str]


async def work(state: State) -> State:
    done = state.get("done", 0) + 1
    return {"done": done, "kept": [f"{done:08d} ".ljust(state["bytes"], "x")]}


def go_on(state: State) -> str:
    return "work" if state["done"] < state["steps"] else END


graph = StateGraph(State).add_node("work", work).add_edge(START, "work").add_conditional_edges("work", go_on)
