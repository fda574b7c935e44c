"""A tool that writes was begun, and its worker died: a person is asked before it is called again."""

import asyncio
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.types import Send, interrupt

from shadowgraph import middleware, tool
from shadowgraph.core.calls import ToolDescription
from shadowgraph.core.doubts import ToolInDoubt
from shadowgraph.core.json import Json, JsonObject
from shadowgraph.db.engine import Database
from shadowgraph.runs.interactions import Interaction, InvalidAnswer
from shadowgraph.runs.payloads import load_json
from shadowgraph.runs.run import Run
from shadowgraph.runs.states import Status
from shadowgraph.tools.registry import Tool, ToolContext, ToolRegistry
from tests.support.foreign import AuthorsModel, Stage, open_stage
from tests.support.graphs import Graph, State, line
from tests.support.llm import FakeProvider, says

STARTED, RAN = "engine.tool.started", "engine.tool.ran"

sent: Counter[str] = Counter()
held: set[str] = set()
"""Whose letters wait for ever, so that they are under way when their worker is lost."""


@tool
async def send(to: str) -> str:
    """Sends a letter."""
    if to in held:
        await asyncio.Event().wait()
    sent[to] += 1
    return f"sent to {to}"


@pytest.fixture(autouse=True)
def _nothing_is_sent() -> None:
    sent.clear()
    held.clear()


@pytest.fixture
async def stage(database: Database) -> AsyncIterator[Stage]:
    async with open_stage(database, FakeProvider(says("")), registry=ToolRegistry([_slow_tool()])) as stage:
        yield stage


def _slow_tool() -> Tool:
    async def wait(arguments: JsonObject, context: ToolContext) -> Json:
        sent["slowly"] += 1
        await asyncio.Event().wait()
        return None

    description = ToolDescription("send_slowly", "Sends.", {"type": "object"}, effect="write")
    return Tool(description, run=wait, timeout_seconds=0.01)


def node_of(*people: str) -> Callable[[State], Any]:
    async def write(state: State) -> State:
        return {"log": [await send.ainvoke({"to": name}) for name in people]}

    return write


LETTER = line({"write": node_of("ann")})


async def until_asked(stage: Stage, graph: Graph, point: str = STARTED) -> tuple[Run, Interaction]:
    """The run's worker died there, and the next one asks."""
    await stage.start()
    await stage.crash(graph, point)
    return await drive_until_asking(stage, graph)


async def lose_worker_with_letters_under_way(stage: Stage, graph: Graph, *people: str) -> None:
    await stage.start()
    held.update(people)
    await stage.lose_worker(graph, STARTED, on_hit=len(people))
    held.clear()


async def drive_until_asking(stage: Stage, graph: Graph) -> tuple[Run, Interaction]:
    run = await stage.drive(graph)
    assert run.status is Status.AWAITING_HUMAN, run.error
    (question,) = await stage.questions(run)
    return run, question


async def answer_and_drive(stage: Stage, graph: Graph, question: Interaction, value: Json) -> Run:
    await stage.answer(question, value)
    return await stage.drive(graph)


async def log_of(stage: Stage, run: Run) -> list[str]:
    assert run.status is Status.COMPLETED, run.error
    assert run.result_ref is not None
    async with stage.database.read() as connection:
        result = await load_json(connection, run.result_ref)
    log: list[str] = result["output"]["log"]
    return log


def asked_about(question: Interaction) -> str:
    return str(question.question["value"]["arguments"]["to"])


async def test_a_run_with_a_write_in_doubt_waits_for_a_person_without_a_worker(stage: Stage) -> None:
    run, question = await until_asked(stage, LETTER)

    assert (run.lease_owner, run.lease_expires_at) == (None, None)
    asked = question.question["value"]
    assert "'send'" in asked["question"]
    assert (asked["reason"], asked["tool"], asked["effect"]) == ("tool_in_doubt", "send", "write")
    assert asked["arguments"] == {"to": "ann"}
    assert question.default is None
    assert sent == {}
    (step,) = [event.payload["status"] for event in await stage.events(run, "step.finished")]
    assert step == "interrupted"


@pytest.mark.parametrize("value", ["yes", {}, {"result": 1, "more": 2}, None, ["repeat"]])
async def test_only_what_can_be_done_is_taken_for_an_answer(stage: Stage, value: Json) -> None:
    _, question = await until_asked(stage, LETTER)

    with pytest.raises(InvalidAnswer):
        await stage.answer(question, value)


@pytest.mark.parametrize(("point", "times"), [(STARTED, 1), (RAN, 2)])
async def test_it_is_called_again_when_a_person_says_so(stage: Stage, point: str, times: int) -> None:
    _, question = await until_asked(stage, LETTER, point)

    run = await answer_and_drive(stage, LETTER, question, "repeat")

    assert run.status is Status.COMPLETED, run.error
    assert sent == {"ann": times}
    (call,) = await stage.tools()
    assert (call["status"], call["doubts"]) == ("done", 1)


@pytest.mark.parametrize("point", [STARTED, RAN])
async def test_a_person_may_give_its_result(stage: Stage, point: str) -> None:
    _, question = await until_asked(stage, LETTER, point)
    before = sent.copy()

    run = await answer_and_drive(stage, LETTER, question, {"result": "carried to ann"})

    assert await log_of(stage, run) == ["carried to ann"]
    assert sent == before
    (call,) = await stage.tools()
    assert call["status"] == "done"


async def test_given_up_it_fails_the_run_and_a_retry_asks_again(stage: Stage) -> None:
    _, question = await until_asked(stage, LETTER)

    failed = await answer_and_drive(stage, LETTER, question, "fail")
    (given_up,) = await stage.tools()
    await stage.retry(failed)
    _, again = await drive_until_asking(stage, LETTER)
    done = await answer_and_drive(stage, LETTER, again, "repeat")

    assert failed.status is Status.FAILED
    assert failed.error is not None
    assert failed.error["code"] == "tool_in_doubt"
    assert given_up["status"] == "given_up"
    assert again.id != question.id
    assert done.status is Status.COMPLETED
    assert sent == {"ann": 1}


async def test_a_node_that_can_do_without_it_goes_on_and_nobody_is_asked_again(stage: Stage) -> None:
    async def write(state: State) -> State:
        try:
            return {"log": [await send.ainvoke({"to": "ann"})]}
        except ToolInDoubt:
            return {"log": ["nobody wrote to ann", await send.ainvoke({"to": "bob"})]}

    graph = line({"write": write})
    _, question = await until_asked(stage, graph)
    await stage.answer(question, "fail")
    await stage.crash(graph, "engine.pending.before:write")
    run = await stage.drive(graph)

    assert run.status is Status.COMPLETED, run.error
    assert sent == {"bob": 1}


@pytest.mark.parametrize("point", [STARTED, RAN])
async def test_a_repeat_that_is_cut_off_is_asked_about_again(stage: Stage, point: str) -> None:
    _, first = await until_asked(stage, LETTER, point)
    await stage.answer(first, "repeat")
    await stage.crash(LETTER, point)
    _, second = await drive_until_asking(stage, LETTER)
    before = sent.copy()

    run = await answer_and_drive(stage, LETTER, second, {"result": "sent twice"})

    assert first.id != second.id
    assert run.status is Status.COMPLETED, run.error
    assert sent == before


@pytest.mark.parametrize("value", ["repeat", {"result": "carried"}, "fail"])
async def test_an_answer_survives_the_worker_that_dies_right_after_it_came(stage: Stage, value: Json) -> None:
    _, question = await until_asked(stage, LETTER)
    await stage.answer(question, value)
    await stage.crash(LETTER, "engine.step.started:write")

    run = await stage.drive(LETTER)

    assert run.status is (Status.FAILED if value == "fail" else Status.COMPLETED)
    assert sent == ({"ann": 1} if value == "repeat" else {})


async def test_doubts_one_after_the_other_in_one_node_are_asked_about_one_by_one(stage: Stage) -> None:
    graph = line({"write": node_of("ann", "bob", "cid")})
    _, about_ann = await until_asked(stage, graph)
    await stage.answer(about_ann, {"result": "ann has it"})
    await stage.crash(graph, STARTED)
    _, about_bob = await drive_until_asking(stage, graph)
    run = await answer_and_drive(stage, graph, about_bob, "repeat")

    assert [asked_about(question) for question in (about_ann, about_bob)] == ["ann", "bob"]
    assert await log_of(stage, run) == ["ann has it", "sent to bob", "sent to cid"]
    assert sent == {"bob": 1, "cid": 1}


@pytest.mark.parametrize("order", [("ann", "bob", "cid"), ("cid", "bob", "ann")])
async def test_of_doubts_side_by_side_each_gets_its_own_answer(stage: Stage, order: tuple[str, ...]) -> None:
    """Issued in another order after the crash, too."""
    issued = [("ann", "bob", "cid"), *[order] * 9]

    async def write(state: State) -> State:
        return {"log": await asyncio.gather(*(send.ainvoke({"to": name}) for name in issued.pop(0)))}

    graph = line({"write": write})
    await lose_worker_with_letters_under_way(stage, graph, "ann", "bob", "cid")
    run = await stage.drive(graph)
    asked = []
    while run.status is Status.AWAITING_HUMAN:
        (question,) = await stage.questions(run)
        asked.append(name := asked_about(question))
        run = await answer_and_drive(stage, graph, question, {"result": f"{name} has it"})

    assert sorted(asked) == ["ann", "bob", "cid"]
    assert await log_of(stage, run) == [f"{name} has it" for name in order]
    assert sent == {}


async def test_branches_in_doubt_are_asked_about_at_once_and_answered_in_any_order(stage: Stage) -> None:
    async def write(state: State) -> State:
        return {"log": [await send.ainvoke({"to": state["text"]})]}

    builder = StateGraph(State)
    builder.add_node("write", write)
    people = ("ann", "bob", "cid")
    builder.add_conditional_edges(START, lambda _: [Send("write", {"text": name}) for name in people], ["write"])
    graph = builder.compile()
    await lose_worker_with_letters_under_way(stage, graph, *people)

    run = await stage.drive(graph)
    questions = {asked_about(question): question for question in await stage.questions(run)}
    assert set(questions) == set(people)
    await stage.answer(questions["cid"], {"result": "cid has it"})
    await stage.answer(questions["ann"], "repeat")
    waiting = await stage.drive(graph)
    await stage.answer(questions["bob"], {"result": "bob has it"})
    run = await stage.drive(graph)

    assert waiting.status is Status.AWAITING_HUMAN
    assert await log_of(stage, run) == ["sent to ann", "bob has it", "cid has it"]
    assert sent == {"ann": 1}


async def test_questions_of_the_node_itself_get_their_own_answers(stage: Stage) -> None:
    """LangGraph counts them; a question about a tool is not counted, asked or answered from the journal."""

    async def write(state: State) -> State:
        before = interrupt("to whom?")
        letter = await send.ainvoke({"to": before})
        return {"log": [letter, f"signed {interrupt('who signs?')}"]}

    graph = line({"write": write})
    await stage.start()
    _, to_whom = await drive_until_asking(stage, graph)
    await stage.answer(to_whom, "ann")
    await stage.crash(graph, STARTED)
    _, in_doubt = await drive_until_asking(stage, graph)
    await stage.answer(in_doubt, {"result": "carried to ann"})
    _, who_signs = await drive_until_asking(stage, graph)
    run = await answer_and_drive(stage, graph, who_signs, "bob")

    assert [str(question.question["value"]) for question in (to_whom, who_signs)] == ["to whom?", "who signs?"]
    assert await log_of(stage, run) == ["carried to ann", "signed bob"]
    assert sent == {}


async def test_what_runs_beside_a_question_ends_first(stage: Stage) -> None:
    """Cut off by the question, it would be in doubt itself."""
    tries: list[str] = []
    letter_may_go = asyncio.Event()

    @tool
    async def post(to: str) -> str:
        """Posts a letter."""
        await letter_may_go.wait()
        sent[to] += 1
        return f"posted to {to}"

    async def write(state: State) -> State:
        tries.append("")
        if len(tries) == 1:
            return {"log": [await send.ainvoke({"to": "ann"})]}
        posting = asyncio.create_task(post.ainvoke({"to": "bob"}))
        try:
            return {"log": [await send.ainvoke({"to": "ann"}), await posting]}
        finally:
            asyncio.get_running_loop().call_later(0.05, letter_may_go.set)  # when the node has long ended

    graph = line({"write": write})
    _, question = await until_asked(stage, graph)
    calls = {call["tool"]: call["status"] for call in await stage.tools()}
    run = await answer_and_drive(stage, graph, question, "repeat")

    assert calls == {"send": "in_doubt", "post": "done"}
    assert run.status is Status.COMPLETED, run.error
    assert sent == {"ann": 1, "bob": 1}


async def test_in_a_graph_that_would_keep_the_question_to_itself_it_is_an_error(stage: Stage) -> None:
    apart = line({"write": node_of("ann")})
    apart.checkpointer = InMemorySaver()

    async def talk(state: State) -> State:
        result = await apart.ainvoke({"log": []}, {"configurable": {"thread_id": secrets.token_hex(8)}})
        return {"log": result["log"]}

    graph = line({"talk": talk})
    await stage.start()
    await stage.crash(graph, STARTED)
    run = await stage.drive(graph)

    assert run.error is not None
    assert run.error["code"] == "tool_in_doubt"
    assert sent == {}


async def test_a_write_that_takes_too_long_is_asked_about(stage: Stage) -> None:
    async def write(state: State) -> State:
        return {"log": [str(await tool("send_slowly").ainvoke({}))]}

    graph = line({"write": write})
    await stage.start()
    _, first = await drive_until_asking(stage, graph)
    await stage.answer(first, "repeat")
    _, second = await drive_until_asking(stage, graph)
    run = await answer_and_drive(stage, graph, second, {"result": "arrived"})

    assert first.id != second.id
    assert await log_of(stage, run) == ["arrived"]
    assert sent == {"slowly": 2}


def in_a_subgraph() -> Graph:
    return line({"outer": line({"write": node_of("ann")})})


def in_a_sync_node() -> Graph:
    def write(state: State) -> State:
        return {"log": [send.invoke({"to": "ann"})]}

    return line({"write": write})


def in_a_sync_node_with_a_loop_of_its_own() -> Graph:
    def write(state: State) -> State:
        return {"log": [asyncio.run(send.ainvoke({"to": "ann"}))]}

    return line({"write": write})


def in_a_foreign_agent() -> Graph:
    def carry(to: str) -> str:
        """Carries."""
        sent[to] += 1
        return f"carried to {to}"

    asks = AIMessage("", tool_calls=[{"name": "carry", "args": {"to": "ann"}, "id": "c1"}])
    agent: Any = create_agent(AuthorsModel(answers=[asks, AIMessage("bye")]), [carry], middleware=[middleware()])

    async def talk(state: State) -> State:
        result = await agent.ainvoke({"messages": [("user", "carry it")]})
        return {"log": [message.text for message in result["messages"]]}

    return line({"talk": talk})


@pytest.mark.parametrize(
    "build", [in_a_subgraph, in_a_sync_node, in_a_sync_node_with_a_loop_of_its_own, in_a_foreign_agent]
)
async def test_wherever_it_is_called(stage: Stage, build: Callable[[], Graph]) -> None:
    graph = build()
    _, first = await until_asked(stage, graph)
    await stage.answer(first, "repeat")
    await stage.crash(graph, STARTED)
    _, second = await drive_until_asking(stage, graph)
    run = await answer_and_drive(stage, graph, second, {"result": "ann has it"})

    assert first.id != second.id
    assert "ann has it" in await log_of(stage, run)
    assert sent == {}
