"""A small project whose tool changes the world outside: each letter that is sent is a line in a file. It must not be sent twice by accident.

START → alone | together | write × people → END
"""

import asyncio
import operator
from pathlib import Path
from typing import Annotated, Any, Literal

from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from typing_extensions import TypedDict

from shadowgraph import tool


class LettersInput(TypedDict):
    people: list[str]
    way: Literal["alone", "together", "fan_out"]
    """One after the other in one node, side by side in one node, or a node for each."""
    outbox: str
    """The file."""


class LettersState(LettersInput, total=False):
    log: Annotated[list[str], operator.add]


class LettersOutput(TypedDict):
    log: list[str]


class Letter(TypedDict):
    to: str
    outbox: str


@tool(effect="irreversible")
def send(to: str, outbox: str) -> str:
    """Sends a letter."""
    with Path(outbox).open("a") as file:
        file.write(f"{to}\n")
    return f"sent to {to}"


async def _send(to: str, state: Any) -> str:
    said: str = await send.ainvoke({"to": to, "outbox": state["outbox"]})
    return said


async def alone(state: LettersState) -> dict[str, Any]:
    return {"log": [await _send(to, state) for to in state["people"]]}


async def together(state: LettersState) -> dict[str, Any]:
    return {"log": await asyncio.gather(*(_send(to, state) for to in state["people"]))}


async def write(state: Letter) -> dict[str, Any]:
    return {"log": [await _send(state["to"], state)]}


def choose_way(state: LettersState) -> str | list[Send]:
    if state["way"] != "fan_out":
        return state["way"]
    return [Send("write", Letter(to=to, outbox=state["outbox"])) for to in state["people"]]


builder = StateGraph(LettersState, input_schema=LettersInput, output_schema=LettersOutput)
builder.add_node(alone)
builder.add_node(together)
builder.add_node("write", write, input_schema=Letter)
builder.add_conditional_edges(START, choose_way, ["alone", "together", "write"])
for name in ("alone", "together", "write"):
    builder.add_edge(name, END)
graph = builder.compile()
