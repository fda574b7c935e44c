"""What a graph takes, as a schema, and what the check of an input says by it."""

import operator
import typing
from dataclasses import dataclass, field
from typing import Annotated, Any, Optional

import pytest
from langchain_core.messages import AnyMessage
from langgraph.func import entrypoint
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import MessagesState, add_messages
from langgraph.pregel import Pregel
from pydantic import BaseModel

from shadowgraph.engine.loading.schemas import input_schema_of, output_schema_of
from shadowgraph.runs.inputs import InvalidInput, check_input, with_bytes


class Part(typing.TypedDict, total=False):
    number: typing.Required[int]
    parts: list["Part"]


class Anything:
    pass


class PlainState(typing.TypedDict):  # pydantic refuses this one before Python 3.12
    text: str
    part: Part
    parts: Annotated[list[Part], operator.add]
    maybe: Part | None
    by_name: dict[str, Part]
    anything: Anything
    image: bytes
    thumbnail: Optional[bytes]  # noqa: UP045  as older code writes it


@dataclass
class DataState:
    number: int
    text: str = "x"
    log: list[str] = field(default_factory=list)


class ModelState(BaseModel):
    text: str
    number: int = 3
    messages: Annotated[list[AnyMessage], add_messages] = []


class OwnInput(typing.TypedDict):
    text: str
    number: typing.NotRequired[int]


@entrypoint()
def functional(inputs: OwnInput) -> dict[str, Any]:
    return {"text": inputs["text"]}


def graph_of(state: Any, **schemas: Any) -> Pregel[Any, Any, Any, Any]:
    builder = StateGraph(state, **schemas)
    builder.add_node("work", lambda state: {})
    builder.add_edge(START, "work")
    builder.add_edge("work", END)
    return builder.compile()


GRAPHS: dict[str, Pregel[Any, Any, Any, Any]] = {
    "typed dict": graph_of(PlainState),
    "dataclass": graph_of(DataState),
    "model": graph_of(ModelState),
    "own input": graph_of(PlainState, input_schema=OwnInput),
    "functional": functional,
    "messages": graph_of(MessagesState),
}


def errors_of(graph: str, value: Any) -> list[tuple[str, str]]:
    try:
        check_input(graph, input_schema_of(GRAPHS[graph]), value)
    except InvalidInput as error:
        return [(item["pointer"], item["detail"]) for item in error.facts["errors"]]  # type: ignore[attr-defined]
    return []


@pytest.mark.parametrize(
    ("graph", "value"),
    [
        ("typed dict", {}),
        ("typed dict", {"text": "a", "part": {"number": 1, "parts": [{"number": 2}]}, "maybe": None, "anything": [1]}),
        ("typed dict", {"parts": [{"number": 1}], "by_name": {"a": {"number": 1}}}),
        ("dataclass", {}),
        ("dataclass", {"number": 1}),
        ("model", {"text": "a"}),
        ("own input", {"text": "a"}),
        ("functional", {"text": "a", "number": 1}),
    ],
)
def test_what_a_graph_takes_is_accepted(graph: str, value: Any) -> None:
    assert errors_of(graph, value) == []


@pytest.mark.parametrize(
    ("graph", "value", "pointer", "said"),
    [
        ("typed dict", {"text": 1}, "/input/text", "1 is not of type 'string'"),
        ("typed dict", {"part": {}}, "/input/part", "'number' is a required property"),
        ("typed dict", {"parts": [{"number": "x"}]}, "/input/parts/0/number", "'x' is not of type 'integer'"),
        ("typed dict", {"by_name": {"a": {"number": "x"}}}, "/input/by_name/a/number", "not of type 'integer'"),
        ("typed dict", {"txet": "a"}, "/input/txet", "known are anything, by_name, image, maybe, part, parts, text"),
        ("dataclass", {"number": "x"}, "/input/number", "'x' is not of type 'integer'"),
        ("dataclass", {"log": "x"}, "/input/log", "'x' is not of type 'array'"),
        ("dataclass", {"nmber": 1}, "/input/nmber", "is not known; known are log, number, text"),
        ("model", {}, "/input", "'text' is a required property"),
        ("model", {"text": "a", "nmber": 1}, "/input/nmber", "is not known; known are messages, number, text"),
        ("own input", {}, "/input", "'text' is a required property"),
        ("own input", {"text": "a", "parts": []}, "/input/parts", "is not known; known are number, text"),
        ("functional", {"number": 1}, "/input", "'text' is a required property"),
        ("functional", {"text": "a", "txet": 1}, "/input/txet", "is not known; known are number, text"),
    ],
)
def test_what_does_not_fit_is_refused_at_its_place(graph: str, value: Any, pointer: str, said: str) -> None:
    [(found, detail)] = errors_of(graph, value)

    assert (found, said in detail) == (pointer, True), detail


@pytest.mark.parametrize("graph", ["messages", "model"])
@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "user", "content": "hi"}],
        [{"type": "human", "content": [{"type": "text", "text": "hi"}]}],
        [["user", "hi"]],
        ["hi"],
        "hi",
        {"role": "user", "content": "hi"},
        [],
    ],
    ids=str,
)
async def test_messages_are_taken_as_langgraph_takes_them(graph: str, messages: Any) -> None:
    given = {"messages": messages, **({"text": "a"} if graph == "model" else {})}

    errors = errors_of(graph, given)
    left = await GRAPHS[graph].ainvoke(given)

    assert errors == []
    assert [message.type for message in left["messages"]] == ["human"][: len(messages)]


@pytest.mark.parametrize(
    ("messages", "pointer"),
    [
        ([{"role": "usr", "content": "hi"}], "/input/messages/0/role"),
        ([{"content": "hi"}], "/input/messages/0"),
        ([{"role": "user"}], "/input/messages/0"),
        ([["user"]], "/input/messages/0"),
        ([3], "/input/messages/0"),
        (3, "/input/messages"),
    ],
    ids=str,
)
def test_what_is_no_message_is_refused(messages: Any, pointer: str) -> None:
    assert [found for found, _ in errors_of("messages", {"messages": messages})] == [pointer]


@pytest.mark.parametrize("key", ["image", "thumbnail"])
def test_bytes_are_sent_as_base64(key: str) -> None:
    schema = input_schema_of(GRAPHS["typed dict"])

    assert errors_of("typed dict", {key: "AAH/"}) == []
    assert with_bytes(schema, {key: "AAH/", "text": "AAH/"}) == {key: b"\x00\x01\xff", "text": "AAH/"}
    assert errors_of("typed dict", {key: "not base64!"}) == [(f"/input/{key}", "is not base64")]


def test_the_output_is_described_too() -> None:
    described = output_schema_of(graph_of(PlainState, output_schema=OwnInput))

    assert described["properties"].keys() == {"text", "number"}  # type: ignore[union-attr]
