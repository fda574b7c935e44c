import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from langchain_core.callbacks import UsageMetadataCallbackHandler
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import BaseModel, Field, field_validator

from shadowgraph import chat_model
from shadowgraph.authoring.answers import AnswerRestarted
from shadowgraph.authoring.chat_model import UnknownParameter
from shadowgraph.core.calls import RunPorts
from shadowgraph.llm.errors import AnswerRefused
from shadowgraph.llm.port import Chunk
from tests.support.drives import Drive, DrivenRun
from tests.support.llm import USAGE, FakeProvider, Forever, Script, breaks, calls_tool, says
from tests.support.waiting import wait_until


@pytest.fixture
def provider() -> FakeProvider:
    return FakeProvider(says("Hello ", "world"))


@pytest.fixture
async def run(provider: FakeProvider) -> AsyncIterator[DrivenRun]:
    run = DrivenRun(provider)
    with run.drive():
        yield run


class Plan(BaseModel):
    """What to do."""

    title: str
    steps: list[str] = Field(min_length=1)

    @field_validator("title")
    @classmethod
    def _is_a_title(cls, title: str) -> str:
        if not title.istitle():
            raise ValueError("begin each word with a capital letter")
        return title


GOOD_PLAN = '{"title": "The Plan", "steps": ["write", "test"]}'


async def test_an_answer_carries_where_it_came_from(run: DrivenRun) -> None:
    message = await chat_model("writer").ainvoke("hi")

    assert message.text == "Hello world"
    assert message.response_metadata == {
        "model_name": "fake-1",
        "model_provider": "fake",
        "finish_reason": "stop",
        "synthetic": False,
        "tokens_source": "provider",
    }
    assert message.usage_metadata is not None
    assert message.usage_metadata["total_tokens"] == USAGE.prompt_tokens + USAGE.completion_tokens
    assert run.llm_journal.agents == {"writer"}


async def test_the_agent_is_named_after_the_node_unless_it_says_otherwise(run: DrivenRun) -> None:
    async def ask(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await chat_model().ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("critic", ask)
    builder.add_edge(START, "critic")

    await builder.compile().ainvoke({"messages": [HumanMessage("hi")]})

    assert run.llm_journal.agents == {"critic"}


async def test_a_conversation_reaches_the_provider_in_plain_form(run: DrivenRun, provider: FakeProvider) -> None:
    call = {"name": "search", "args": {"query": "cats"}, "id": "call_7", "type": "tool_call"}

    await chat_model("a").ainvoke(
        [
            SystemMessage("be\x00 brief", id="m1"),
            HumanMessage([{"type": "text", "text": "cats?"}], id="m2"),
            AIMessage("", tool_calls=[call], id="m3"),
            ToolMessage("found", tool_call_id="call_7", id="m4"),
        ]
    )

    assert provider.requests[0].messages == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "cats?"},
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"type": "function", "id": "call_7", "function": {"name": "search", "arguments": '{"query": "cats"}'}}
            ],
        },
        {"role": "tool", "content": "found", "tool_call_id": "call_7"},
    ]


async def test_ids_of_messages_do_not_make_another_request(run: DrivenRun, provider: FakeProvider) -> None:
    model = chat_model("a", key="same")

    for number in range(2):
        await model.ainvoke([HumanMessage("hi", id=f"m{number}")])

    assert provider.requests[0] == provider.requests[1]
    assert provider.requests[0].request_hash() == provider.requests[1].request_hash()


async def test_parameters_may_be_set_bound_or_given(run: DrivenRun, provider: FakeProvider) -> None:
    model = chat_model("a", temperature=0.0, max_tokens=5, model="fake:big")

    await model.bind(temperature=0.5).ainvoke("hi", seed=3, stop=["END"])

    request = provider.requests[0]
    assert request.parameters == {"temperature": 0.5, "max_tokens": 5, "seed": 3, "stop": ["END"]}
    assert request.model == "fake:big"


async def test_a_parameter_that_would_be_ignored_is_refused(run: DrivenRun) -> None:
    with pytest.raises(UnknownParameter, match="logit_bias"):
        await chat_model("a").ainvoke("hi", logit_bias={"x": 1})


def _add(a: int, b: int) -> int:
    """Adds."""
    return a + b


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, None),
        ("auto", "auto"),
        ("none", "none"),
        ("any", "required"),
        ("required", "required"),
        (True, {"type": "function", "function": {"name": "_add"}}),
        ("_add", {"type": "function", "function": {"name": "_add"}}),
        ({"type": "function", "function": {"name": "_add"}}, {"type": "function", "function": {"name": "_add"}}),
    ],
)
async def test_tool_choices_are_sent_in_one_form(
    run: DrivenRun, provider: FakeProvider, choice: Any, sent: object
) -> None:
    await chat_model("a").bind_tools([_add], tool_choice=choice).ainvoke("hi")

    assert provider.requests[0].tool_choice == sent
    assert provider.requests[0].tools[0]["function"]["name"] == "_add"  # type: ignore[index, call-overload]


def test_a_tool_choice_that_names_no_tool_is_refused() -> None:
    with pytest.raises(UnknownParameter, match="none of the tools"):
        chat_model("a").bind_tools([_add], tool_choice="subtract")


async def test_tool_calls_come_back_as_langchain_has_them(run: DrivenRun, provider: FakeProvider) -> None:
    provider.scripts = [calls_tool("_add", '{"a": 1, "b": 2}')]

    message = await chat_model("a").bind_tools([_add]).ainvoke("1+2")

    assert message.tool_calls == [{"name": "_add", "args": {"a": 1, "b": 2}, "id": "call_1", "type": "tool_call"}]


# --- structured output ----------------------------------------------------------------------------------------------------------


async def test_a_structured_answer_is_an_object(run: DrivenRun, provider: FakeProvider) -> None:
    provider.scripts = [calls_tool("Plan", GOOD_PLAN)]

    plan = await chat_model("a").with_structured_output(Plan).ainvoke("plan")

    assert plan == Plan(title="The Plan", steps=["write", "test"])
    assert provider.requests[0].tool_choice == {"type": "function", "function": {"name": "Plan"}}
    assert provider.requests[0].output_schema is not None


async def test_a_structured_answer_may_be_described_by_a_json_schema(run: DrivenRun, provider: FakeProvider) -> None:
    provider.scripts = [calls_tool("plan", '{"title": "x"}')]
    schema = {"title": "plan", "description": "d", "type": "object", "properties": {"title": {"type": "string"}}}

    plan = await chat_model("a").with_structured_output(schema).ainvoke("plan")

    assert plan == {"title": "x"}


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (calls_tool("Plan", '{"title": "The Plan", "steps": []}'), "steps"),
        (calls_tool("Plan", '{"title": "no capitals", "steps": ["x"]}'), "capital letter"),
        (calls_tool("Other", GOOD_PLAN), "does not call Plan"),
        (says("I would rather talk."), "does not call Plan"),
    ],
)
async def test_an_answer_of_the_wrong_shape_is_asked_for_once_more(
    run: DrivenRun, provider: FakeProvider, bad: Script, reason: str
) -> None:
    provider.scripts = [bad, calls_tool("Plan", GOOD_PLAN)]

    plan = await chat_model("a").with_structured_output(Plan).ainvoke("plan")

    assert plan.title == "The Plan"
    assert reason in str(provider.requests[1].messages[-1]["content"])


async def test_an_answer_of_the_wrong_shape_is_not_replayed(run: DrivenRun, provider: FakeProvider) -> None:
    provider.scripts = [says("no"), says("no"), calls_tool("Plan", GOOD_PLAN)]
    model = chat_model("a", key="plan").with_structured_output(Plan)
    with pytest.raises(AnswerRefused):
        await model.ainvoke("plan")

    with run.drive():
        plan = await model.ainvoke("plan")

    assert plan.title == "The Plan"


async def test_an_author_may_take_answers_as_they_are(run: DrivenRun, provider: FakeProvider) -> None:
    provider.scripts = [calls_tool("Plan", '{"title": "The Plan"}')]

    result = await chat_model("a").with_structured_output(Plan, include_raw=True).ainvoke("plan")

    assert result["parsed"] is None
    assert "steps" in str(result["parsing_error"])
    assert len(provider.requests) == 1


# --- streams --------------------------------------------------------------------------------------------------------------------


async def test_a_stream_gives_the_pieces_as_they_come(run: DrivenRun) -> None:
    chunks = [chunk async for chunk in chat_model("a").astream("hi")]

    assert [chunk.text for chunk in chunks if chunk.text] == ["Hello ", "world"]
    whole = _sum(chunks)
    assert whole.usage_metadata is not None
    assert whole.usage_metadata["output_tokens"] == USAGE.completion_tokens
    assert whole.response_metadata["model_provider"] == "fake"


async def test_a_stream_shows_a_piece_before_the_next_one_exists(run: DrivenRun, provider: FakeProvider) -> None:
    provider.scripts = [[Chunk(text="first"), Forever()]]

    stream = chat_model("a").astream("hi")
    first = await anext(stream)

    assert first.text == "first"
    await stream.aclose()  # type: ignore[attr-defined]


async def test_a_reader_that_leaves_early_cancels_the_call(run: DrivenRun, provider: FakeProvider) -> None:
    provider.scripts = [[Chunk(text="first"), Forever()]]

    stream = chat_model("a").astream("hi")
    await anext(stream)
    await stream.aclose()  # type: ignore[attr-defined]

    await wait_until(lambda: run.llm_journal.log[-1] == "cut 1 cancelled")


async def test_a_replayed_stream_gives_the_recorded_answer(run: DrivenRun, provider: FakeProvider) -> None:
    model = chat_model("a", key="k")
    await model.ainvoke("hi")

    with run.drive():
        chunks = [chunk async for chunk in model.astream("hi")]

    assert _sum(chunks).text == "Hello world"
    assert len(provider.requests) == 1


async def test_a_stream_goes_on_when_the_answer_begins_again_in_the_same_way(
    run: DrivenRun, provider: FakeProvider
) -> None:
    provider.scripts = [[Chunk(text="Hello "), breaks()], says("Hello ", "world")]

    chunks = [chunk async for chunk in chat_model("a").astream("hi")]

    assert _sum(chunks).text == "Hello world"


async def test_a_stream_never_mixes_two_answers(run: DrivenRun, provider: FakeProvider) -> None:
    provider.scripts = [[Chunk(text="Hello "), breaks()], says("Good day")]
    model = chat_model("a", key="k")

    with pytest.raises(AnswerRestarted) as caught:
        _ = [chunk async for chunk in model.astream("hi")]
    with run.drive():
        again = await model.ainvoke("hi")

    assert caught.value.facts["retry_after"] == 0, "the step may be repeated at once"
    assert again.text == "Good day", "the new answer is recorded"


async def test_invoke_never_mixes_two_answers_for_its_listeners(run: DrivenRun, provider: FakeProvider) -> None:
    provider.scripts = [[Chunk(text="Hello "), breaks()], says("Good day")]

    modes = {mode: value async for mode, value in _graph().astream(_HI, stream_mode=["messages", "values"])}

    assert modes["values"]["messages"][-1].text == "Good day"


async def test_listeners_see_tokens_and_one_message(run: DrivenRun) -> None:
    pieces: list[AIMessageChunk] = [
        message async for message, _ in _graph().astream(_HI, stream_mode="messages") if message.type != "human"
    ]

    assert [piece.text for piece in pieces] == ["Hello ", "world"]
    assert len({piece.id for piece in pieces}) == 1


async def test_usage_is_counted_once_by_callbacks(run: DrivenRun) -> None:
    usage = UsageMetadataCallbackHandler()

    await _graph().ainvoke(_HI, {"callbacks": [usage]})

    assert usage.usage_metadata["fake-1"]["input_tokens"] == USAGE.prompt_tokens


async def test_sync_code_can_stream(run: DrivenRun) -> None:
    def read() -> list[str]:
        return [chunk.text for chunk in chat_model("a").stream("hi") if chunk.text]

    assert await asyncio.to_thread(read) == ["Hello ", "world"]


async def test_sync_listeners_see_tokens(run: DrivenRun) -> None:
    def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [chat_model("a").invoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("answer", node)
    builder.add_edge(START, "answer")

    graph: Any = builder.compile()
    pieces = [
        message.text async for message, _ in graph.astream(_HI, stream_mode="messages") if message.type != "human"
    ]

    assert pieces == ["Hello ", "world"]


async def test_an_error_reaches_whoever_streams(run: DrivenRun, provider: FakeProvider) -> None:
    provider.scripts = [[KeyError("choices")]]

    with pytest.raises(Exception, match="choices"):
        _ = [chunk async for chunk in chat_model("a").astream("hi")]


async def test_nothing_is_left_running_after_a_sync_stream(run: DrivenRun) -> None:
    def read_one() -> str:
        stream = chat_model("a").stream("hi")
        first = next(stream).text
        stream.close()  # type: ignore[attr-defined]
        return first

    first = await asyncio.to_thread(read_one)

    assert first == "Hello "
    assert run.llm_journal.log[-1] == "finish 1", "a paid answer is recorded"
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("shadowgraph-stream")]


def test_a_drive_serves_the_ports_protocol() -> None:
    _: type[RunPorts] = Drive


_HI: Any = {"messages": [HumanMessage("hi")]}


def _graph() -> Any:
    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await chat_model().ainvoke(state["messages"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("answer", node)
    builder.add_edge(START, "answer")
    return builder.compile()


def _sum(chunks: list[AIMessageChunk]) -> AIMessageChunk:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole
