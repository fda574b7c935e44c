"""Pause, resume, retry, fork, answers, threads and deadlines, with real graphs on both databases."""

import asyncio
import operator
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.pregel import Pregel
from langgraph.types import interrupt
from sqlalchemy import update
from typing_extensions import TypedDict

from shadowgraph.db.dialect import now_ms
from shadowgraph.db.engine import Database
from shadowgraph.engine.checkpoints.savers import open_savers
from shadowgraph.engine.driver import PAUSE, Drive, Driver
from shadowgraph.engine.history import find_checkpoint, list_checkpoints
from shadowgraph.engine.projects import LoadedWorkflow, Project, input_schema_of
from shadowgraph.engine.session import DriverParts
from shadowgraph.engine.writer import Writer
from shadowgraph.models.interactions import interactions
from shadowgraph.models.runs import runs
from shadowgraph.queue.inprocess import InProcessWakeups
from shadowgraph.runs import repository
from shadowgraph.runs.deadlines import fail_overdue, settle_unanswered
from shadowgraph.runs.interactions import (
    AlreadyAnswered,
    Interaction,
    InteractionQuery,
    InvalidAnswer,
    answer_interaction,
    list_interactions,
)
from shadowgraph.runs.lifecycle import ForkSpec, fork_run, pause_run, resume_run, retry_run
from shadowgraph.runs.payloads import load_json
from shadowgraph.runs.run import Run
from shadowgraph.runs.service import WrongState, cancel_run
from shadowgraph.runs.states import Status
from shadowgraph.runs.threads import ThreadBusy
from tests.support.runs import CLOCK, NoPorts, claim, start_run, try_claim

Graph = Pregel[Any, Any, Any, Any]
ANYBODY = "local"


class State(TypedDict, total=False):
    text: str
    plan: str
    log: Annotated[list[str], operator.add]


def chain(*nodes: tuple[str, Any]) -> Project:
    builder = StateGraph(State)
    names = [name for name, _ in nodes]
    for name, work in nodes:
        builder.add_node(name, work)
    for before, after in zip((START, *names), (*names, END), strict=True):
        builder.add_edge(before, after)
    return as_project(builder.compile())


def as_project(graph: Graph) -> Project:
    workflow = LoadedWorkflow("shapes", graph, input_schema_of(graph), {}, {}, "")
    return Project("test", Path("/nonexistent"), "digest", {"shapes": workflow})


def logs(name: str, ran: list[str] | None = None) -> Any:
    async def node(state: State) -> State:
        if ran is not None:
            ran.append(name)
        return {"log": [name]}

    return node


def asks(question: Any, *, times: int = 1) -> Any:
    async def node(state: State) -> State:
        return {"log": [str(interrupt(question if times == 1 else f"{question} {index}")) for index in range(times)]}

    return node


@pytest.fixture
async def driver(database: Database) -> AsyncIterator[Driver]:
    async with open_savers(database.url) as savers:
        yield Driver(DriverParts(database, Writer(database), savers, NoPorts(), InProcessWakeups(), CLOCK))


async def reread(database: Database, run: Run) -> Run:
    async with database.read() as connection:
        return await repository.require_run(connection, run.id)


async def result_of(database: Database, run: Run) -> Any:
    ended = await reread(database, run)
    assert ended.status is Status.COMPLETED, ended.error
    assert ended.result_ref
    async with database.read() as connection:
        return (await load_json(connection, ended.result_ref))["output"]


async def drive_next(database: Database, driver: Driver, project: Project) -> Run:
    run = await claim(database)
    await driver.drive(Drive(run), project)
    return await reread(database, run)


async def open_questions(database: Database) -> list[Interaction]:
    async with database.read() as connection:
        return list((await list_interactions(connection, InteractionQuery())).items)


async def answer(database: Database, found: Interaction, value: Any) -> Run:
    async with database.write() as connection:
        return await answer_interaction(connection, found.run_id, found.id, value, who=ANYBODY, clock=CLOCK)


async def event_types(database: Database, run: Run) -> list[str]:
    async with database.read() as connection:
        return [event.type for event in await repository.list_events(connection, run.id)]


async def test_questions_of_a_subgraph_and_of_tasks_side_by_side_name_their_nodes(
    database: Database, driver: Driver
) -> None:
    inner = StateGraph(State)
    inner.add_node("inner", asks("inner?"))
    inner.add_edge(START, "inner")
    builder = StateGraph(State)
    builder.add_node("below", inner.compile())
    builder.add_node("beside", asks("beside?"))
    builder.add_edge(START, "below")
    builder.add_edge(START, "beside")
    await start_run(database)

    await drive_next(database, driver, as_project(builder.compile()))

    asked = {(question.question["value"], question.node) for question in await open_questions(database)}
    assert asked == {("inner?", "inner"), ("beside?", "beside")}


async def test_a_question_waits_without_a_worker_and_its_answer_goes_on(database: Database, driver: Driver) -> None:
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    project = chain(("a", logs("a")), ("ask", asks({"question": "go on?", "schema": schema})), ("z", logs("z")))
    await start_run(database)

    waiting = await drive_next(database, driver, project)
    (question,) = await open_questions(database)
    with pytest.raises(InvalidAnswer):
        await answer(database, question, {"ok": "perhaps"})
    requeued = await answer(database, question, {"ok": True})
    await drive_next(database, driver, project)

    assert (waiting.status, waiting.lease_owner) == (Status.AWAITING_HUMAN, None)
    assert (question.question, question.node) == ({"value": {"question": "go on?", "schema": schema}}, "ask")
    assert requeued.status is Status.QUEUED
    assert await result_of(database, waiting) == {"text": "hello", "log": ["a", "{'ok': True}", "z"]}
    types = await event_types(database, waiting)
    assert [kind for kind in types if kind.startswith(("interaction", "run.awaiting"))] == [
        "interaction.created",
        "run.awaiting_human",
        "interaction.resolved",
    ]
    assert types.count("run.finished") == 1


async def test_an_answer_is_used_once(database: Database, driver: Driver) -> None:
    project = chain(("ask", asks("who?")))
    await start_run(database)
    await drive_next(database, driver, project)
    (question,) = await open_questions(database)

    await answer(database, question, "first")
    with pytest.raises(AlreadyAnswered) as refused:
        await answer(database, question, "second")

    assert refused.value.facts["who"] == ANYBODY


async def test_two_questions_of_one_node_are_asked_one_after_the_other(database: Database, driver: Driver) -> None:
    project = chain(("ask", asks("question", times=2)))
    await start_run(database)

    answers = ["one", "two"]
    for value in answers:
        waiting = await drive_next(database, driver, project)
        (question,) = await open_questions(database)
        await answer(database, question, value)
    await drive_next(database, driver, project)

    assert (await result_of(database, waiting))["log"] == answers


async def test_an_answer_that_comes_while_a_worker_asks_is_not_lost(database: Database, driver: Driver) -> None:
    project = chain(("ask", asks("who?")))
    await start_run(database)
    first = await drive_next(database, driver, project)
    (question,) = await open_questions(database)
    async with database.write() as connection:  # somebody resumes it although nobody has answered
        await connection.execute(update(runs).where(runs.c.id == first.id).values(status=Status.QUEUED))
    run = await claim(database)
    await answer(database, question, "me")

    await driver.drive(Drive(run), project)

    assert (await result_of(database, run))["log"] == ["me"]


async def test_a_question_past_its_deadline_gets_its_default_or_fails_the_run(
    database: Database, driver: Driver
) -> None:
    with_default = chain(("ask", asks({"question": "go?", "default": "yes"})))
    await start_run(database)
    await start_run(database)
    waits = await drive_next(database, driver, with_default)
    fails = await drive_next(database, driver, chain(("ask", asks("go?"))))
    async with database.write() as connection:
        await connection.execute(update(interactions).values(deadline_at=now_ms() - 1))

    async with database.write() as connection:
        settled = await settle_unanswered(connection, clock=CLOCK)
    await drive_next(database, driver, with_default)

    assert len(settled) == 2
    assert (await result_of(database, waits))["log"] == ["yes"]
    failed = await reread(database, fails)
    assert (failed.status, failed.reason) == (Status.FAILED, "unanswered")
    assert await open_questions(database) == []


async def test_a_running_run_pauses_at_the_next_boundary_and_goes_on_from_there(
    database: Database, driver: Driver
) -> None:
    ran: list[str] = []
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def slow(state: State) -> State:
        ran.append("slow")
        entered.set()
        await go_on.wait()
        return {"log": ["slow"]}

    project = chain(("slow", slow), ("z", logs("z", ran)))
    await start_run(database)
    drive = Drive(await claim(database))
    driving = asyncio.create_task(driver.drive(drive, project))
    await entered.wait()

    async with database.write() as connection:
        asked = await pause_run(connection, drive.run.id, who=ANYBODY, clock=CLOCK)
    with pytest.raises(WrongState):
        async with database.write() as connection:
            await pause_run(connection, drive.run.id, who=ANYBODY, clock=CLOCK)
    drive.control.request_drain(PAUSE)
    go_on.set()
    await driving
    paused = await reread(database, drive.run)
    async with database.write() as connection:
        await resume_run(connection, drive.run.id, who=ANYBODY, clock=CLOCK)
    await drive_next(database, driver, project)

    assert (asked.status, asked.control) == (Status.RUNNING, "pause")
    assert (paused.status, paused.control, paused.lease_owner) == (Status.PAUSED, None, None)
    assert ran == ["slow", "z"]
    assert (await result_of(database, drive.run))["log"] == ["slow", "z"]


async def test_a_pause_before_the_question_keeps_the_question(database: Database, driver: Driver) -> None:
    project = chain(("ask", asks("go?")))
    await start_run(database)
    waiting = await drive_next(database, driver, project)

    async with database.write() as connection:
        paused = await pause_run(connection, waiting.id, who=ANYBODY, clock=CLOCK)
    async with database.write() as connection:
        resumed = await resume_run(connection, waiting.id, who=ANYBODY, clock=CLOCK)

    assert (paused.status, resumed.status) == (Status.PAUSED, Status.AWAITING_HUMAN)


async def test_a_cancelled_question_closes_with_its_run(database: Database, driver: Driver) -> None:
    await start_run(database)
    waiting = await drive_next(database, driver, chain(("ask", asks("go?"))))
    (question,) = await open_questions(database)

    async with database.write() as connection:
        await cancel_run(connection, waiting.id, clock=CLOCK)

    assert await open_questions(database) == []
    with pytest.raises(AlreadyAnswered):
        await answer(database, question, "late")


async def test_a_failed_run_is_retried_from_its_last_checkpoint(database: Database, driver: Driver) -> None:
    ran: list[str] = []
    broken = [True]

    async def sometimes(state: State) -> State:
        if broken:
            broken.clear()
            raise ValueError("not now")
        return {"log": ["sometimes"]}

    project = chain(("a", logs("a", ran)), ("sometimes", sometimes))
    await start_run(database)
    failed = await drive_next(database, driver, project)

    async with database.write() as connection:
        retried = await retry_run(connection, failed.id, who=ANYBODY, clock=CLOCK)
    await drive_next(database, driver, project)

    assert failed.error is not None
    assert (failed.status, failed.error["step"]) == (Status.FAILED, "sometimes")
    assert (retried.status, retried.error, retried.finished_at) == (Status.QUEUED, None, None)
    assert ran == ["a"]
    assert (await result_of(database, failed))["log"] == ["a", "sometimes"]
    assert (await event_types(database, failed)).count("run.finished") == 2


async def test_a_fork_goes_on_from_an_edited_checkpoint_and_leaves_its_parent_alone(
    database: Database, driver: Driver
) -> None:
    async def plan(state: State) -> State:
        return {"plan": "dig", "log": ["plan"]}

    async def work(state: State) -> State:
        return {"log": [f"{state['plan']} done"]}

    project = chain(("plan", plan), ("work", work))
    await start_run(database)
    parent = await drive_next(database, driver, project)
    checkpoints = await list_checkpoints(database.url, parent.checkpoint_thread)
    before_work = next(item for item in checkpoints if item.next_nodes == ("work",))

    async with database.write() as connection:
        spec = ForkSpec(before_work.checkpoint_id, {"plan": "climb", "log": ["edited"]})
        fork = await fork_run(connection, database.dialect, parent.id, spec, who=ANYBODY, clock=CLOCK)
    await drive_next(database, driver, project)

    shown = await find_checkpoint(database.url, parent.checkpoint_thread, before_work.checkpoint_id)
    assert shown is not None
    assert shown.state == {"text": "hello", "plan": "dig", "log": ["plan"]}
    assert fork.parent_run_id == parent.id
    assert (await result_of(database, fork))["log"] == ["edited", "climb done"]
    assert (await result_of(database, parent))["log"] == ["plan", "dig done"]


async def test_a_fork_of_what_is_not_there_or_does_not_fit_fails_with_the_reason(
    database: Database, driver: Driver
) -> None:
    project = chain(("a", logs("a")))
    await start_run(database)
    parent = await drive_next(database, driver, project)
    (newest, *_) = await list_checkpoints(database.url, parent.checkpoint_thread)

    for spec in (ForkSpec("nowhere"), ForkSpec(newest.checkpoint_id, {"unknown": 1})):
        async with database.write() as connection:
            await fork_run(connection, database.dialect, parent.id, spec, who=ANYBODY, clock=CLOCK)
        failed = await drive_next(database, driver, project)

        assert failed.error is not None
        assert (failed.status, failed.error["code"]) == (Status.FAILED, "invalid_seed")


async def test_a_conversation_continues_over_three_turns(database: Database, driver: Driver) -> None:
    async def speak(state: State) -> State:
        return {"log": [state["text"]]}

    project = chain(("speak", speak))
    for turn in ("one", "two", "three"):
        await start_run(database, value={"text": turn}, thread_id="talk")
        last = await drive_next(database, driver, project)

    assert (await result_of(database, last))["log"] == ["one", "two", "three"]


async def test_a_turn_that_fails_leaves_the_conversation_as_it_was(database: Database, driver: Driver) -> None:
    async def speak(state: State) -> State:
        if state["text"] == "bad":
            raise ValueError("no")
        return {"log": [state["text"]]}

    project = chain(("speak", speak))
    for turn in ("one", "bad", "three"):
        await start_run(database, value={"text": turn}, thread_id="talk")
        last = await drive_next(database, driver, project)

    assert (await result_of(database, last))["log"] == ["one", "three"]


async def test_a_busy_thread_refuses_or_queues_the_next_run(database: Database, driver: Driver) -> None:
    project = chain(("a", logs("a")))
    first = await start_run(database, thread_id="talk")

    with pytest.raises(ThreadBusy) as refused:
        await start_run(database, thread_id="talk")
    second = await start_run(database, thread_id="talk", on_busy="enqueue")
    running = await claim(database)
    nothing = await try_claim(database)
    await driver.drive(Drive(running), project)
    then = await claim(database)

    assert refused.value.facts["run_id"] == first.id
    assert (running.id, nothing, then.id) == (first.id, None, second.id)


async def test_a_run_past_its_deadline_fails_wherever_it_is(database: Database, driver: Driver) -> None:
    entered = asyncio.Event()

    async def for_ever(state: State) -> State:
        entered.set()
        await asyncio.Event().wait()
        return {}

    waiting = await start_run(database, timeout_seconds=0.0)
    running = await start_run(database)
    async with database.write() as connection:
        overdue = await fail_overdue(connection, clock=CLOCK)
    drive = Drive(await claim(database), seconds_left=1.0)
    await driver.drive(drive, chain(("wait", for_ever)))

    assert overdue == [waiting.id]
    for run in (waiting, running):
        failed = await reread(database, run)
        assert (failed.status, failed.reason) == (Status.FAILED, "deadline")
    assert entered.is_set()


async def test_verbs_at_the_wrong_time_say_what_is_possible(database: Database) -> None:
    run = await start_run(database)

    refusals = {}
    for name, verb in {"resume": resume_run, "retry": retry_run}.items():
        with pytest.raises(WrongState) as refused:
            async with database.write() as connection:
                await verb(connection, run.id, who=ANYBODY, clock=CLOCK)
        refusals[name] = refused.value.facts["possible"]

    assert refusals == {"resume": ["pause", "cancel"], "retry": ["pause", "cancel"]}
