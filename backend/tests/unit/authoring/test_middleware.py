"""A foreign agent keeps its own model and tools; what they answered is not asked for again."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRequest, ModelResponse, ToolCallRequest, wrap_model_call, wrap_tool_call
from langchain.agents.structured_output import ToolStrategy
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import BaseTool, InjectedToolCallId
from langchain_core.tools import tool as plain_tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt
from pydantic import BaseModel

from shadowgraph import chat_model, middleware, tool
from shadowgraph.core.doubts import ToolInDoubt
from shadowgraph.core.json import Json
from tests.support.drives import CrashOnce, DrivenRun, DyingToolJournal, drive_until_asking, drive_until_done, settle
from tests.support.foreign import AuthorsModel
from tests.support.llm import FakeProvider, says

HELLO: Any = {"messages": [{"role": "user", "content": "hello"}]}


def calls(*tools: str, **arguments: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": f"c{n}"} for n, name in enumerate(tools)])


@dataclass
class Office:
    """Tools that count how often they are used."""

    used: list[str] = field(default_factory=list)

    def plain(self, name: str) -> BaseTool:
        def work() -> str:
            """Works."""
            self.used.append(name)
            return f"done {name}"

        work.__name__ = name
        return plain_tool(work)


def agent(model: Any, tools: Any = (), **options: Any) -> Any:
    return create_agent(model, list(tools), middleware=[middleware()], checkpointer=InMemorySaver(), **options)


@pytest.fixture
def run() -> DrivenRun:
    return DrivenRun(FakeProvider(says("from the gateway")))


def after_the_model(crashes: CrashOnce) -> Any:
    """Stands around ours: the answer is journaled when it dies."""

    @wrap_model_call
    async def dies(request: ModelRequest, handler: Callable[[ModelRequest], Any]) -> ModelResponse:
        response: ModelResponse = await handler(request)
        crashes.at("model")
        return response

    return dies


async def test_an_answer_is_given_again_after_a_crash(run: DrivenRun) -> None:
    model = AuthorsModel(answers=[calls("book"), AIMessage("booked")])
    office, crashes = Office(), CrashOnce("model")
    graph = create_agent(
        model, [office.plain("book")], middleware=[after_the_model(crashes), middleware()], checkpointer=InMemorySaver()
    )

    result = await drive_until_done(run, graph, HELLO)

    assert result["messages"][-1].text == "booked"
    assert [message.type for message in result["messages"]] == ["human", "ai", "tool", "ai"]
    assert (model.requests, office.used) == (2, ["book"])


async def test_what_comes_back_is_the_whole_message(run: DrivenRun) -> None:
    given = AIMessage(
        [{"type": "text", "text": "hm"}],
        response_metadata={"model_name": "acme-1"},
        additional_kwargs={"signature": "s"},
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    )
    graph = create_agent(
        AuthorsModel(answers=[given]),
        middleware=[after_the_model(CrashOnce("model")), middleware()],
        checkpointer=InMemorySaver(),
    )

    result = await drive_until_done(run, graph, HELLO)

    found = result["messages"][-1]
    assert found.model_copy(update={"id": None, "name": None}) == given


class Weather(BaseModel):
    city: str
    degrees: int


async def test_a_structured_answer_is_an_object_again(run: DrivenRun) -> None:
    model = AuthorsModel(answers=[calls("Weather", city="Ulm", degrees=3)])
    graph = create_agent(
        model,
        response_format=ToolStrategy(Weather),
        middleware=[after_the_model(CrashOnce("model")), middleware()],
        checkpointer=InMemorySaver(),
    )

    result = await drive_until_done(run, graph, HELLO)

    assert result["structured_response"] == Weather(city="Ulm", degrees=3)
    assert model.requests == 1


async def test_a_tool_that_finished_is_not_called_again(run: DrivenRun) -> None:
    office, crashes = Office(), CrashOnce("tool")

    @wrap_tool_call
    async def dies(request: ToolCallRequest, handler: Callable[[ToolCallRequest], Any]) -> Any:
        answer = await handler(request)
        crashes.at("tool")
        return answer

    graph = create_agent(
        AuthorsModel(answers=[calls("book"), AIMessage("booked")]),
        [office.plain("book")],
        middleware=[dies, middleware()],
        checkpointer=InMemorySaver(),
    )

    result = await drive_until_done(run, graph, HELLO)

    assert result["messages"][-2].text == "done book"
    assert office.used == ["book"]


@pytest.mark.parametrize(
    ("decision", "heard", "used"),
    [
        ("repeat", "done book", ["book"]),
        ({"result": "booked by phone"}, "booked by phone", []),
        ({"result": {"seat": 4}}, '{"seat":4}', []),
    ],
)
async def test_an_undeclared_tool_counts_as_a_write_and_a_person_settles_its_doubt(
    decision: Json, heard: str, used: list[str]
) -> None:
    run = DrivenRun(FakeProvider(says("")), tool_journal=DyingToolJournal())
    office = Office()
    graph = agent(AuthorsModel(answers=[calls("book"), AIMessage("ok")]), [office.plain("book")])

    question = await drive_until_asking(run, graph, HELLO)
    assert office.used == []
    result = await drive_until_done(run, graph, settle(run, question, decision))

    said = result["messages"][-2]
    assert (said.text, said.name, said.tool_call_id) == (heard, "book", "c0")
    assert office.used == used


async def test_a_tool_that_a_person_gives_up_ends_the_agent() -> None:
    run = DrivenRun(FakeProvider(says("")), tool_journal=DyingToolJournal())
    graph = agent(AuthorsModel(answers=[calls("book")]), [Office().plain("book")])

    question = await drive_until_asking(run, graph, HELLO)

    with pytest.raises(ToolInDoubt):
        await drive_until_done(run, graph, settle(run, question, "fail"))


async def test_a_declared_tool_keeps_its_own_journal(run: DrivenRun) -> None:
    used: list[str] = []

    @tool(effect="read")
    def look() -> str:
        """Looks."""
        used.append("look")
        return "seen"

    with run.drive():
        result = await agent(AuthorsModel(answers=[calls("look"), AIMessage("ok")]), [look]).ainvoke(
            HELLO, {"configurable": {"thread_id": "t"}}
        )

    assert result["messages"][-2].text == "seen"
    assert (used, run.tool_journal.events) == (["look"], ["find", "start look", "finish look"])


async def test_a_tool_that_steers_the_graph_does_so(run: DrivenRun) -> None:
    @plain_tool
    def steer(call: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Steers."""
        return Command(update={"messages": [ToolMessage("steered", tool_call_id=call)]})

    with run.drive():
        result = await agent(AuthorsModel(answers=[calls("steer"), AIMessage("ok")]), [steer]).ainvoke(
            HELLO, {"configurable": {"thread_id": "t"}}
        )

    assert result["messages"][-2].text == "steered"


async def test_a_tool_may_ask_a_person(run: DrivenRun) -> None:
    asked: list[str] = []

    @plain_tool
    def approve() -> str:
        """Asks."""
        asked.append("?")
        return str(interrupt("sure?"))

    graph = agent(AuthorsModel(answers=[calls("approve"), AIMessage("ok")]), [approve])
    config: Any = {"configurable": {"thread_id": "t"}}
    with run.drive():
        first = await graph.ainvoke(HELLO, config)
    with run.drive():
        result = await graph.ainvoke(Command(resume="yes"), config)

    assert first["__interrupt__"][0].value == "sure?"
    assert result["messages"][-2].text == "yes"


async def test_arguments_are_checked_as_leniently_as_without_us(run: DrivenRun) -> None:
    @plain_tool
    def double(number: int) -> int:
        """Doubles."""
        return 2 * number

    with run.drive():
        result = await agent(AuthorsModel(answers=[calls("double", number="4"), AIMessage("ok")]), [double]).ainvoke(
            HELLO, {"configurable": {"thread_id": "t"}}
        )

    assert result["messages"][-2].text == "8"


async def test_the_tools_own_exception_goes_on(run: DrivenRun) -> None:
    @plain_tool
    def breaks() -> str:
        """Breaks."""
        raise KeyError("no such thing")

    with run.drive(), pytest.raises(KeyError, match="no such thing"):
        await agent(AuthorsModel(answers=[calls("breaks")]), [breaks]).ainvoke(
            HELLO, {"configurable": {"thread_id": "t"}}
        )


async def test_a_failed_answer_is_not_recorded(run: DrivenRun) -> None:
    model = AuthorsModel(answers=[ValueError("overloaded"), AIMessage("ok")])
    graph = agent(model)

    with run.drive(), pytest.raises(ValueError, match="overloaded"):
        await graph.ainvoke(HELLO, {"configurable": {"thread_id": "t"}})
    with run.drive():
        result = await graph.ainvoke(None, {"configurable": {"thread_id": "t"}})

    assert result["messages"][-1].text == "ok"
    assert run.answer_journal.log == ["start model", "reject", "start model", "finish"]


async def test_our_own_model_is_journaled_once(run: DrivenRun) -> None:
    with run.drive():
        result = await agent(chat_model("writer")).ainvoke(HELLO, {"configurable": {"thread_id": "t"}})

    assert result["messages"][-1].text == "from the gateway"
    assert run.answer_journal.log == []
    assert run.llm_journal.agents == {"writer"}


async def test_a_changed_prompt_is_another_call(run: DrivenRun) -> None:
    model = AuthorsModel()
    for prompt in ("be brief", "be brief", "be long"):
        with run.drive():
            await agent(model, system_prompt=prompt).ainvoke(HELLO, {"configurable": {"thread_id": "t"}})

    assert model.requests == 2


def test_sync_agents_work_outside_any_run() -> None:
    office = Office()
    model = AuthorsModel(answers=[calls("book"), AIMessage("booked")])

    result = agent(model, [office.plain("book")]).invoke(HELLO, {"configurable": {"thread_id": "t"}})

    assert result["messages"][-1].text == "booked"
    assert office.used == ["book"]


def test_a_missing_library_is_named_with_the_command_that_installs_it() -> None:
    code = "import sys; sys.modules['langchain'] = None; from shadowgraph import *; import shadowgraph; shadowgraph.middleware"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)

    assert "pip install 'langchain>=1'" in done.stderr.splitlines()[-1]
