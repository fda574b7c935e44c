"""What graphs of authors ask through `shadowgraph`, driven on a real database."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import ModelRequest, ModelResponse, wrap_model_call
from langchain_core.messages import AIMessage
from langchain_core.tools import BaseTool
from langchain_core.tools import tool as plain_tool

from shadowgraph import chat_model, middleware, prompt, tool
from shadowgraph.authoring.grants import ToolNotGranted
from shadowgraph.core.agent_settings import AgentSettings
from shadowgraph.costs.ledger import sum_runs
from shadowgraph.db.engine import Database
from shadowgraph.llm.port import Chunk
from shadowgraph.runs import repository
from shadowgraph.runs.states import Status
from tests.support.foreign import TOKENS, AuthorsModel, Stage, open_stage
from tests.support.graphs import Graph, State, line
from tests.support.llm import FakeProvider, Forever, says


@pytest.fixture
def provider() -> FakeProvider:
    return FakeProvider(says("Hello ", "world"))


@pytest.fixture
async def stage(database: Database, provider: FakeProvider) -> AsyncIterator[Stage]:
    async with open_stage(database, provider) as stage:
        yield stage


# --- middleware -------------------------------------------------------------------------------------------------------------------


def booking(used: list[str]) -> BaseTool:
    def book(city: str) -> str:
        """Books."""
        used.append(city)
        return f"booked {city}"

    return plain_tool(book)


CALLS_BOOK = AIMessage("", tool_calls=[{"name": "book", "args": {"city": "Ulm"}, "id": "c1"}], usage_metadata=TOKENS)


def travel_agent(model: AuthorsModel, used: list[str]) -> Graph:
    """In a node that hands it a conversation."""
    agent: Any = create_agent(model, [booking(used)], middleware=[middleware()])

    async def talk(state: State) -> State:
        result = await agent.ainvoke({"messages": [("user", "to Ulm")]})
        return {"text": result["messages"][-1].text}

    return line({"talk": talk})


@pytest.mark.parametrize(
    "point", ["engine.answer.finished:model", "engine.tool.finished", "engine.pending.before:talk"]
)
async def test_no_finished_call_of_a_foreign_agent_is_made_again(stage: Stage, point: str) -> None:
    """The whole agent runs in one node, so all of it runs again."""
    model = AuthorsModel(answers=[CALLS_BOOK, AIMessage("have fun", usage_metadata=TOKENS)])
    used: list[str] = []

    run = await stage.run_over_a_crash(travel_agent(model, used), point)

    assert run.status is Status.COMPLETED, run.error
    assert (model.requests, used) == (2, ["Ulm"])
    attempts = await stage.attempts()
    assert [(attempt["status"], attempt["gated"], attempt["n"]) for attempt in attempts] == [("done", False, 1)] * 2
    assert all(call["response_ref"] for call in await stage.calls())
    assert [tool["effect"] for tool in await stage.tools()] == ["write"]
    async with stage.database.read() as connection:
        totals = (await sum_runs(connection, [run.id]))[run.id]
    assert totals.prompt_tokens == 2 * TOKENS["input_tokens"], "counted once, as attempts of the journaled call"


async def test_every_request_below_a_journaled_call_is_an_attempt_of_it(stage: Stage) -> None:
    @wrap_model_call
    async def twice(request: ModelRequest, handler: Callable[[ModelRequest], Any]) -> ModelResponse:
        await handler(request)
        response: ModelResponse = await handler(request)
        return response

    agent: Any = create_agent(AuthorsModel(), middleware=[middleware(), twice])

    async def talk(state: State) -> State:
        await agent.ainvoke({"messages": [("user", "hi")]})
        return {}

    await stage.run(line({"talk": talk}))

    (call,) = await stage.calls()
    assert [(attempt["call_key"], attempt["n"]) for attempt in await stage.attempts()] == [
        (call["call_key"], 1),
        (call["call_key"], 2),
    ]


# --- streams, threads -------------------------------------------------------------------------------------------------------------


async def test_a_stream_that_is_left_early_is_recorded_as_cut(stage: Stage, provider: FakeProvider) -> None:
    provider.scripts = [[Chunk(text="first"), Forever()]]

    async def read(state: State) -> State:
        async for chunk in chat_model().astream("hi"):
            return {"text": chunk.text}
        return {}

    run = await stage.run(line({"writer": read}))

    (call,), (attempt,) = await stage.calls(), await stage.attempts()
    assert run.status is Status.COMPLETED
    assert (call["status"], attempt["status"], attempt["tokens_source"]) == ("in_doubt", "in_doubt", "estimated")


async def test_a_sync_stream_that_is_left_early_is_finished_and_recorded(stage: Stage) -> None:
    def read(state: State) -> State:
        for chunk in chat_model().stream("hi"):
            return {"text": chunk.text}
        return {}

    await stage.run(line({"writer": read}))

    (call,), (attempt,) = await stage.calls(), await stage.attempts()
    assert (call["status"], attempt["status"], attempt["tokens_source"]) == ("done", "done", "provider")


async def test_a_bare_thread_without_a_key_is_marked_not_replayable(stage: Stage) -> None:
    def ask(state: State) -> State:
        thread = threading.Thread(target=chat_model("thread").invoke, args=("hi",))
        thread.start()
        thread.join()
        return {}

    run = await stage.run(line({"writer": ask}))

    (call,) = await stage.calls()
    assert (call["run_id"], call["status"], call["agent"]) == (run.id, "done", "thread")
    assert [event.payload["replayable"] for event in await stage.events(run, "call.")] == [False, False]


# --- shadowgraph.toml, prompts ----------------------------------------------------------------------------------------------------


@tool(effect="read")
def look() -> str:
    """Looks."""
    return "seen"


@tool(effect="read")
def shout() -> str:
    """Shouts."""
    return "heard"


async def test_what_the_project_says_of_an_agent_reaches_its_model(stage: Stage, provider: FakeProvider) -> None:
    stage.agents = {"coder": AgentSettings(model="fake:big", temperature=0.5, max_tokens=9, tools=("look",))}

    async def asks(state: State) -> State:
        model = chat_model(model="fake:small", temperature=0.1, top_p=0.9).bind_tools([look, shout])
        await model.ainvoke("hi")
        await model.bind(temperature=0.7).ainvoke("hi")
        return {}

    run = await stage.run(line({"coder": asks}))

    assert run.error is None
    first, second = provider.requests
    assert (first.model, first.parameters) == ("fake:big", {"temperature": 0.5, "max_tokens": 9, "top_p": 0.9})
    assert second.parameters["temperature"] == 0.7, "what is said of one call comes first"
    assert [described["function"]["name"] for described in first.tools] == ["look"]  # type: ignore[call-overload, index]


async def test_a_tool_that_is_not_granted_is_not_called(stage: Stage) -> None:
    stage.agents = {"coder": AgentSettings(tools=("look",))}

    async def asks(state: State) -> State:
        with pytest.raises(ToolNotGranted):
            await shout.ainvoke({})
        return {"text": await look.ainvoke({})}

    run = await stage.run(line({"coder": asks}))

    assert run.error is None
    assert [called["tool"] for called in await stage.tools()] == ["look"]


async def test_prompts_are_read_from_the_runs_project(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "writer.md").write_text("Write of ${topic}.")
    (tmp_path / "other.md").write_text("Code.")
    stage.directory, stage.agents = tmp_path, {"coder": AgentSettings(prompt="other.md")}

    async def asks(state: State) -> State:
        return {"text": prompt("writer").render(topic="cats") + prompt("coder").render()}

    run = await stage.run(line({"writer": asks}))

    async with stage.database.read() as connection:
        steps = await repository.list_steps(connection, run.id)
    assert run.error is None
    assert "Write of cats.Code." in str(steps[0].summary)


async def test_an_async_tool_works_in_a_sync_node_with_an_event_loop_of_its_own(stage: Stage) -> None:
    def asks(state: State) -> State:
        return {"text": str(asyncio.run(look.ainvoke({})))}

    run = await stage.run(line({"coder": asks}))

    assert run.error is None
    assert [(called["tool"], called["status"]) for called in await stage.tools()] == [("look", "done")]


async def test_a_foreign_agent_works_in_a_sync_node(stage: Stage) -> None:
    """Called in the sync way, and with an event loop of its own."""
    used: list[str] = []
    answers = [CALLS_BOOK, AIMessage("have fun", usage_metadata=TOKENS)]
    agent: Any = create_agent(AuthorsModel(answers=answers * 2), [booking(used)], middleware=[middleware()])
    asked = {"messages": [("user", "to Ulm")]}

    def talk(state: State) -> State:
        first = agent.invoke(asked)
        second = asyncio.run(agent.ainvoke(asked))
        return {"text": first["messages"][-1].text + second["messages"][-1].text}

    run = await stage.run(line({"talk": talk}))

    assert run.error is None
    assert used == ["Ulm", "Ulm"]
    assert [call["status"] for call in await stage.calls()] == ["done"] * 4
