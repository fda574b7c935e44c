import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from jsonschema import Draft202012Validator
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import BaseTool
from langchain_core.tools import tool as langchain_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.config import get_config
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import InjectedState, ToolNode
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from shadowgraph import tool
from shadowgraph.core.calls import ToolDescription
from shadowgraph.core.doubts import ToolInDoubt
from shadowgraph.core.errors import ShadowgraphError
from shadowgraph.core.json import Json, JsonObject
from shadowgraph.core.text import NotJson
from shadowgraph.tools.registry import InvalidArguments, Tool, ToolContext, ToolRegistry, UnknownTool
from tests.support.drives import (
    Crash,
    CrashOnce,
    DrivenRun,
    DyingToolJournal,
    drive_until_asking,
    drive_until_done,
    settle,
)

made: list[str] = []


@pytest.fixture(autouse=True)
def _forget_what_was_made() -> None:
    made.clear()


@pytest.fixture
async def run() -> AsyncIterator[DrivenRun]:
    run = DrivenRun(registry=ToolRegistry([_look_up()]))
    with run.drive():
        yield run


def _look_up() -> Tool:
    async def look_up(arguments: JsonObject, context: ToolContext) -> Json:
        made.append(f"{context.agent} {arguments['word']}")
        return {"meaning": f"of {arguments['word']}"}

    parameters = {"type": "object", "properties": {"word": {"type": "string"}}, "required": ["word"]}
    return Tool(ToolDescription("look_up", "Looks a word up.", parameters, effect="read"), run=look_up)


@tool(effect="read")
def weigh(animal: str, in_pounds: bool = False) -> dict[str, Any]:
    """Weighs an animal."""
    made.append(animal)
    return {"animal": animal, "weight": 9 if in_pounds else 4}


@tool(effect="write", idempotent=True)
async def feed(animal: str) -> str:
    """Feeds an animal."""
    made.append(animal)
    return f"{animal} is full"


def test_a_function_becomes_a_langchain_tool() -> None:
    assert (weigh.name, weigh.description) == ("weigh", "Weighs an animal.")
    assert set(weigh.args) == {"animal", "in_pounds"}


async def test_a_tool_runs_through_the_journal(run: DrivenRun) -> None:
    result = await weigh.ainvoke({"animal": "cat"})

    assert result == {"animal": "cat", "weight": 4}
    assert run.tool_journal.events == ["find", "start weigh", "finish weigh"]


async def test_an_async_tool_runs_through_the_journal(run: DrivenRun) -> None:
    assert await feed.ainvoke({"animal": "cat"}) == "cat is full"
    assert run.tool_journal.events == ["find", "start feed", "finish feed"]


async def test_either_kind_can_be_called_from_sync_code(run: DrivenRun) -> None:
    results = await asyncio.to_thread(lambda: [weigh.invoke({"animal": "cat"}), feed.invoke({"animal": "dog"})])

    assert results == [{"animal": "cat", "weight": 4}, "dog is full"]


async def test_many_sync_calls_at_once_do_not_wait_for_each_other_for_ever(run: DrivenRun) -> None:
    inputs: list[Any] = [{"animal": str(number)} for number in range(60)]

    results = await asyncio.gather(*(asyncio.to_thread(weigh.invoke, value) for value in inputs))

    assert len(results) == 60


async def test_a_registered_tool_is_given_by_its_name(run: DrivenRun) -> None:
    look_up = tool("look_up")

    result = await look_up.ainvoke({"word": "cat"})

    assert result == {"meaning": "of cat"}
    assert look_up.description == "Looks a word up."
    assert run.tool_journal.events == ["find", "start look_up", "finish look_up"]


async def test_a_registered_tool_can_be_called_from_sync_code(run: DrivenRun) -> None:
    assert await asyncio.to_thread(tool("look_up").invoke, {"word": "cat"}) == {"meaning": "of cat"}


async def test_an_unknown_tool_is_named(run: DrivenRun) -> None:
    with pytest.raises(UnknownTool, match="look_down"):
        tool("look_down")


async def test_arguments_are_checked_before_a_registered_tool_runs(run: DrivenRun) -> None:
    with pytest.raises(InvalidArguments):
        await tool("look_up").ainvoke({"word": 7})

    assert made == []


async def test_a_finished_call_is_not_made_again_after_a_crash() -> None:
    run, crashes = DrivenRun(), CrashOnce("after cat", "after dog")

    async def node(state: MessagesState) -> dict[str, Any]:
        await weigh.ainvoke({"animal": "cat"})
        crashes.at("after cat")
        await feed.ainvoke({"animal": "dog"})
        crashes.at("after dog")
        return {"messages": [AIMessage("done")]}

    await drive_until_done(run, _graph(node), {"messages": []})

    assert made == ["cat", "dog"]


async def test_tool_calls_of_one_answer_find_their_own_results_after_a_crash() -> None:
    """LangGraph's tool node runs them side by side, sync ones in threads."""
    run, crashes = DrivenRun(), CrashOnce("after tools")
    calls = [_tool_call("weigh", animal=name, id=f"call_{name}") for name in ("cat", "dog", "cow")]
    tools = ToolNode([weigh])

    async def node(state: MessagesState) -> dict[str, Any]:
        result = await asyncio.to_thread(_in_this_graph(tools.invoke), {"messages": [AIMessage("", tool_calls=calls)]})
        crashes.at("after tools")
        return dict(result)

    result = await drive_until_done(run, _graph(node), {"messages": []})

    assert sorted(made) == ["cat", "cow", "dog"]
    assert [message.tool_call_id for message in result["messages"]] == ["call_cat", "call_dog", "call_cow"]
    assert {key.key.split("~")[-1] for key in run.tool_journal.recorded} == {"call_cat/0", "call_dog/0", "call_cow/0"}


async def test_what_the_graph_puts_in_is_no_part_of_the_recorded_call() -> None:
    run = DrivenRun()
    seen: list[object] = []

    @tool(effect="read")
    def count(word: str, state: Annotated[dict[str, Any], InjectedState]) -> int:
        """Counts the messages."""
        seen.append(word)
        return len(state["messages"])

    builder = StateGraph(MessagesState)
    builder.add_node("tools", ToolNode([count]))
    builder.add_edge(START, "tools")
    message = AIMessage("", tool_calls=[_tool_call("count", word="cat", id="call_1")])

    with run.drive():
        result = await builder.compile().ainvoke({"messages": [HumanMessage("hi"), message]})

    assert result["messages"][-1].content == "2"
    assert seen == ["cat"]


async def test_the_tools_own_exception_reaches_the_author(run: DrivenRun) -> None:
    class Empty(Exception):
        pass

    @tool(effect="read")
    def milk(animal: str) -> str:
        """Milks."""
        raise Empty(animal)

    with pytest.raises(Empty, match="cow"):
        await milk.ainvoke({"animal": "cow"})

    assert run.tool_journal.events[-1] == "fail milk"
    assert run.tool_journal.errors == ["Empty: cow"]


async def test_a_failed_call_is_made_again(run: DrivenRun) -> None:
    crashes = CrashOnce("cow")

    @tool
    def milk(animal: str) -> str:
        """Milks."""
        crashes.at(animal)
        return "milk"

    with pytest.raises(Crash):
        await milk.ainvoke({"animal": "cow"})

    assert await milk.ainvoke({"animal": "cow"}) == "milk"


async def test_a_tool_may_ask_a_person() -> None:
    run = DrivenRun()

    @tool(effect="write")
    async def sell(animal: str) -> str:
        """Sells an animal."""
        answer = interrupt(f"sell {animal}?")
        made.append(f"{animal} {answer}")
        return str(answer)

    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(await sell.ainvoke({"animal": "cow"}))]}

    graph = _graph(node)
    config: Any = {"configurable": {"thread_id": "t"}}
    with run.drive():
        waiting = await graph.ainvoke({"messages": []}, config)
    with run.drive():
        result = await graph.ainvoke(Command(resume="yes"), config)

    assert waiting["__interrupt__"][0].value == "sell cow?"
    assert result["messages"][-1].content == "yes"
    assert made == ["cow yes"]


async def test_results_are_json_the_first_time_as_after_a_crash(run: DrivenRun) -> None:
    class Animal(BaseModel):
        name: str
        legs: tuple[int, ...]

    @tool(effect="read")
    def find() -> Animal:
        """Finds one."""
        return Animal(name="cat", legs=(1, 2, 3, 4))

    assert await find.ainvoke({}) == {"name": "cat", "legs": [1, 2, 3, 4]}


@pytest.mark.parametrize("result", [object(), Command(goto="x"), [HumanMessage("hi")]])
async def test_a_result_that_cannot_be_recorded_is_refused(run: DrivenRun, result: object) -> None:
    @tool(effect="read")
    def find() -> Any:
        """Finds one."""
        return result

    with pytest.raises(NotJson):
        await find.ainvoke({})


async def test_a_content_and_artifact_tool_keeps_both(run: DrivenRun) -> None:
    @tool(effect="read")
    @langchain_tool(response_format="content_and_artifact")
    def draw(animal: str) -> tuple[str, dict[str, int]]:
        """Draws."""
        return f"a {animal}", {"width": 3}

    message = await draw.ainvoke(_tool_call("draw", animal="cat", id="call_1"))

    assert (message.content, message.artifact) == ("a cat", {"width": 3})


async def test_a_tool_may_get_another_name(run: DrivenRun) -> None:
    @tool(effect="read", name="balance")
    def weigh_it(animal: str) -> str:
        """Weighs."""
        return "4 kg"

    await weigh_it.ainvoke({"animal": "cat"})

    assert weigh_it.name == "balance"
    assert run.tool_journal.events[-1] == "finish balance"


def _letters() -> Any:
    @tool
    async def burn(letter: str) -> str:
        """Burns."""
        made.append(letter)
        return f"{letter} is ash"

    return burn


@pytest.mark.parametrize("is_sync", [False, True])
@pytest.mark.parametrize(
    ("decision", "heard", "burnt"), [("repeat", "A is ash", ["A"]), ({"result": "found ash"}, "found ash", [])]
)
async def test_a_write_in_doubt_is_a_question_to_a_person(
    is_sync: bool, decision: Json, heard: str, burnt: list[str]
) -> None:
    run, burn = DrivenRun(tool_journal=DyingToolJournal()), _letters()

    def sync_node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(burn.invoke({"letter": "A"}))]}

    async def async_node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(await burn.ainvoke({"letter": "A"}))]}

    graph = _graph(sync_node if is_sync else async_node)
    question = await drive_until_asking(run, graph, {"messages": []})
    result = await drive_until_done(run, graph, settle(run, question, decision))

    assert (question.value["tool"], question.value["arguments"]) == ("burn", {"letter": "A"})
    assert isinstance(question.response_schema, dict)
    Draft202012Validator(question.response_schema).validate(decision)
    assert result["messages"][-1].content == heard
    assert made == burnt


async def test_what_a_person_gives_up_is_an_error_in_the_node() -> None:
    run, burn = DrivenRun(tool_journal=DyingToolJournal()), _letters()

    async def node(state: MessagesState) -> dict[str, Any]:
        with pytest.raises(ToolInDoubt):
            await burn.ainvoke({"letter": "A"})
        return {"messages": [AIMessage("without it")]}

    graph = _graph(node)
    question = await drive_until_asking(run, graph, {"messages": []})
    result = await drive_until_done(run, graph, settle(run, question, "fail"))

    assert result["messages"][-1].content == "without it"
    assert made == []


async def test_a_person_may_give_the_content_without_the_artifact() -> None:
    run = DrivenRun(tool_journal=DyingToolJournal())

    @tool
    @langchain_tool(response_format="content_and_artifact")
    def draw(animal: str) -> tuple[str, dict[str, int]]:
        """Draws."""
        return f"a {animal}", {"width": 3}

    async def node(state: MessagesState) -> dict[str, Any]:
        return {"messages": [await draw.ainvoke(_tool_call("draw", animal="cat", id="call_1"))]}

    graph = _graph(node)
    question = await drive_until_asking(run, graph, {"messages": []})
    result = await drive_until_done(run, graph, settle(run, question, {"result": "a dog"}))

    message = result["messages"][-1]
    assert (message.content, message.artifact) == ("a dog", None)


async def test_outside_a_graph_a_write_in_doubt_is_an_error() -> None:
    """There is no node to ask, and undeclared tools count as writes."""
    run, begun = DrivenRun(), asyncio.Event()

    @tool
    async def burn(letter: str) -> str:
        """Burns."""
        made.append(letter)
        begun.set()
        await asyncio.Event().wait()
        return "ashes"

    call = _tool_call("burn", letter="A", id="call_1")
    with run.drive():
        task = asyncio.create_task(burn.ainvoke(call))
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])

    with run.drive(), pytest.raises(ShadowgraphError) as caught:
        await burn.ainvoke(call)

    assert caught.value.code == "tool_in_doubt"
    assert made == ["A"]


def test_a_tool_that_is_no_function_is_refused() -> None:
    class Hammer(BaseTool):
        name: str = "hammer"
        description: str = "Hits."

        def _run(self) -> str:
            return "hit"

    with pytest.raises(TypeError, match="Hammer is not made of a function"):
        tool(Hammer())


def _graph(node: Any) -> Any:
    builder = StateGraph(MessagesState)
    builder.add_node("n", node)
    builder.add_edge(START, "n")
    return builder.compile(checkpointer=InMemorySaver())


def _tool_call(name: str, /, *, id: str, **arguments: Any) -> Any:
    return {"name": name, "args": arguments, "id": id, "type": "tool_call"}


def _in_this_graph(function: Any) -> Any:
    """Threads get the context from `asyncio.to_thread`; the tool node wants the graph's runtime, too."""
    config = get_config()
    return lambda value: function(value, config)
