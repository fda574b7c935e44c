"""A small foreign project with every shape that a durable run has to survive: a branch, a loop, and a fan-out that a reducer gathers.

    START → few | many → begin_round → work × items → end_round → begin_round … → report → END

It makes 1 + items × rounds model calls: one in the branch that is taken, one per item and round.
"""

import operator
from typing import Annotated, Any, Literal

from langchain_core.messages import HumanMessage
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from pydantic import Field
from typing_extensions import TypedDict

from shadowgraph import chat_model

MANY = 3


class Finding(TypedDict):
    item: str
    round: int
    text: str


class ShapesInput(TypedDict):
    items: Annotated[list[str], Field(min_length=1)]
    rounds: Annotated[int, Field(ge=1)]


class ShapesOutput(TypedDict):
    branch: str
    opening: str
    findings: list[Finding]
    report: str


class ShapesState(TypedDict, total=False):
    items: list[str]
    rounds: int
    round: int
    branch: str
    opening: str
    findings: Annotated[list[Finding], operator.add]
    report: str


class Task(TypedDict):
    item: str
    round: int


async def _ask(agent: str, text: str) -> str:
    answer = await chat_model(agent).ainvoke([HumanMessage(text)])
    return answer.text


def choose_branch(state: ShapesState) -> Literal["few", "many"]:
    return "many" if len(state["items"]) >= MANY else "few"


async def few(state: ShapesState) -> dict[str, Any]:
    return {"branch": "few", "opening": await _ask("few", f"Introduce these: {', '.join(state['items'])}")}


async def many(state: ShapesState) -> dict[str, Any]:
    return {"branch": "many", "opening": await _ask("many", f"Introduce this long list: {', '.join(state['items'])}")}


async def begin_round(state: ShapesState) -> dict[str, Any]:
    return {"round": state.get("round", 0) + 1}


def fan_out(state: ShapesState) -> list[Send]:
    return [Send("work", Task(item=item, round=state["round"])) for item in state["items"]]


async def work(state: Task) -> dict[str, Any]:
    text = await _ask("work", f"Round {state['round']}: say one thing about {state['item']}")
    return {"findings": [Finding(item=state["item"], round=state["round"], text=text)]}


async def end_round(state: ShapesState) -> dict[str, Any]:
    return {"report": f"{len(state['findings'])} findings after {state['round']} rounds"}


def choose_next(state: ShapesState) -> Literal["begin_round", "report"]:
    return "begin_round" if state["round"] < state["rounds"] else "report"


async def report(state: ShapesState) -> dict[str, Any]:
    lines = [f"{finding['round']} {finding['item']}: {finding['text']}" for finding in state["findings"]]
    return {"report": "\n".join([state["report"], *lines])}


builder = StateGraph(ShapesState, input_schema=ShapesInput, output_schema=ShapesOutput)
builder.add_node(few)
builder.add_node(many)
builder.add_node(begin_round)
builder.add_node("work", work, input_schema=Task)
builder.add_node(end_round)
builder.add_node("report", report)
builder.add_conditional_edges(START, choose_branch)
builder.add_edge("few", "begin_round")
builder.add_edge("many", "begin_round")
builder.add_conditional_edges("begin_round", fan_out, ["work"])
builder.add_edge("work", "end_round")
builder.add_conditional_edges("end_round", choose_next)
builder.add_edge("report", END)
graph = builder.compile()
