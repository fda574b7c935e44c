"""Whatever a graph's state is made of, a run gives what the graph gives without us."""

import typing
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage
from langgraph.func import entrypoint, task
from langgraph.graph import add_messages
from pydantic import BaseModel

from shadowgraph.db.engine import Database
from shadowgraph.engine.driver import Drive, Driver
from shadowgraph.engine.values import to_json
from shadowgraph.runs import repository
from shadowgraph.runs.payloads import load_json
from shadowgraph.runs.states import Status
from tests.support.graphs import Graph, driver_parts, line, project
from tests.support.runs import claim, start_run


class Point(BaseModel):
    x: int
    y: int = 0


class TypedState(typing.TypedDict):
    text: str
    points: list[Point]


@dataclass
class DataState:
    text: str = ""
    points: list[Point] = field(default_factory=list)


class ModelState(BaseModel):
    text: str
    points: list[Point] = []


class Talk(typing.TypedDict):
    text: str
    messages: Annotated[list[AnyMessage], add_messages]


def typed(state: TypedState) -> Any:
    return {"text": state["text"] + "!", "points": [Point(x=1)]}


def data(state: DataState) -> Any:
    return {"text": state.text + "!", "points": [*state.points, Point(x=len(state.points))]}


def model(state: ModelState) -> Any:
    return {"text": state.text + "!", "points": [*state.points, Point(x=len(state.points))]}


def talk(state: Talk) -> Any:
    said = state["messages"][-1].text
    return {"messages": [AIMessage([{"type": "text", "text": f"{said}!"}], id=f"after {said}")]}


@task
def shout(text: str) -> str:
    return text.upper()


@entrypoint()
async def functional(inputs: dict[str, Any]) -> dict[str, Any]:
    return {"text": await shout(inputs["text"])}


HELLO = {"role": "user", "content": "hello", "id": "question"}


@pytest.mark.parametrize(
    ("graph", "value"),
    [
        (line({"one": typed, "two": typed}, TypedState), {"text": "a"}),
        (line({"one": data, "two": data}, DataState), {"text": "a"}),
        (line({"one": data}, DataState), {"points": [{"x": 3}]}),
        (line({"one": model, "two": model}, ModelState), {"text": "a", "points": [{"x": 3}]}),
        (line({"one": talk, "two": talk}, Talk), {"messages": [HELLO]}),
        (functional, {"text": "a"}),
    ],
    ids=["typed dict", "dataclass", "part of a dataclass", "model", "messages", "functional"],
)
async def test_a_run_gives_what_the_graph_gives(database: Database, graph: Graph, value: dict[str, Any]) -> None:
    run = await start_run(database, value=value)
    expected = to_json(await graph.ainvoke(value))

    claimed = await claim(database)
    async with driver_parts(database) as parts:
        await Driver(parts).drive(Drive(claimed), project(graph))
    async with database.read() as connection:
        ended = await repository.require_run(connection, run.id)
        result = await load_json(connection, ended.result_ref) if ended.result_ref else None

    assert ended.status is Status.COMPLETED, ended.error
    assert result is not None
    assert result["output"] == expected
    assert result.get("text") == ("hello!!" if "messages" in value else None)
