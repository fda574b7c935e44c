"""A project whose first node does to its process what the input says; the second one tells where it ran.

START → trouble → tell → END, or round and round in `trouble`
"""

import asyncio
import ctypes
import os
from pathlib import Path
from typing import Literal

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

HALF_WAY = 50
"""Pass of `loop`."""


class Unruly(TypedDict, total=False):
    does: Literal["exit", "block", "eat", "hold", "loop", "spin", "work", "huge"]
    once: str
    """The path of a file: nothing happens when it is there; it is made first."""
    pid_file: str
    until: str
    """The path of a file: `hold`, `huge` and the 50th pass of `loop` wait until it is there, `spin` lets nothing else happen before, and
    `work` does the same in a thread, as a sync node does."""
    passes: int
    """Of `loop`, which has no end."""
    huge: str
    megabytes: int
    pid: int


async def trouble(state: Unruly) -> Unruly:
    if "pid_file" in state:
        Path(state["pid_file"]).write_text(str(os.getpid()))  # noqa: ASYNC240  a small local file
    if "once" in state:
        if Path(state["once"]).exists():  # noqa: ASYNC240
            return {}
        Path(state["once"]).touch()  # noqa: ASYNC240
    match state.get("does"):
        case "exit":
            os._exit(7)
        case "block":
            ctypes.PyDLL(None).sleep(60)  # holds the interpreter's lock
        case "eat":
            eaten = b"x" * (state["megabytes"] << 20)
            await asyncio.sleep(60)
            del eaten
        case "hold":
            await wait_for_file(state["until"])
        case "loop":
            passes = state.get("passes", 0) + 1
            if passes == HALF_WAY:
                await wait_for_file(state["until"])
            return {"passes": passes}
        case "spin":
            spin(state["until"])
        case "work":
            await asyncio.to_thread(spin, state["until"])
        case "huge":
            await wait_for_file(state["until"])
            return {"huge": "x" * (state["megabytes"] << 20)}
    return {}


def spin(path: str) -> None:
    while not Path(path).exists():
        pass


async def wait_for_file(path: str) -> None:
    while not Path(path).exists():  # noqa: ASYNC240, ASYNC110  a look at a local file every 20 ms
        await asyncio.sleep(0.02)


def go_on(state: Unruly) -> Literal["trouble", "tell"]:
    return "trouble" if state.get("does") == "loop" else "tell"


async def tell(state: Unruly) -> Unruly:
    return {"pid": os.getpid()}


builder = StateGraph(Unruly)
builder.add_node(trouble)
builder.add_node(tell)
builder.add_edge(START, "trouble")
builder.add_conditional_edges("trouble", go_on)
builder.add_edge("tell", END)
graph = builder.compile()
