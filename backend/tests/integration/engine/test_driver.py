import operator
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

import pytest
from langgraph.graph import END, START, StateGraph
from langgraph.pregel import Pregel
from langgraph.types import Send
from pydantic import BaseModel
from sqlalchemy import select, update
from typing_extensions import TypedDict

from shadowgraph.core import failpoints
from shadowgraph.core.calls import current_ports
from shadowgraph.core.errors import Unavailable
from shadowgraph.db.dialect import now_ms
from shadowgraph.db.engine import Database
from shadowgraph.engine.checkpoints.savers import open_savers
from shadowgraph.engine.driver import Drive, Driver
from shadowgraph.engine.projects import LoadedWorkflow, Project, input_schema_of
from shadowgraph.engine.session import DriverParts
from shadowgraph.engine.writer import StateNotStorable, Writer
from shadowgraph.models.outbox import outbox
from shadowgraph.models.runs import runs
from shadowgraph.queue.inprocess import InProcessWakeups
from shadowgraph.runs import repository
from shadowgraph.runs.payloads import load_json
from shadowgraph.runs.run import Run
from shadowgraph.runs.states import Status
from shadowgraph.runs.takeover import take_orphans
from tests.support.runs import CLOCK, NoPorts, claim, start_run

Graph = Pregel[Any, Any, Any, Any]


class State(TypedDict, total=False):
    text: str
    log: Annotated[list[str], operator.add]


class Recorder:
    """Which nodes ran, in order."""

    def __init__(self) -> None:
        self.ran: list[str] = []

    def node(self, name: str) -> Any:
        async def run(state: State) -> State:
            self.ran.append(name)
            return {"log": [name]}

        return run


def chain(recorder: Recorder, *names: str) -> Graph:
    builder = StateGraph(State)
    for before, name in zip((START, *names), names, strict=False):
        builder.add_node(name, recorder.node(name))
        builder.add_edge(before, name)
    builder.add_edge(names[-1], END)
    return builder.compile()


def fan_out(recorder: Recorder) -> Graph:
    builder = StateGraph(State)
    builder.add_node("split", recorder.node("split"))
    builder.add_node("work", recorder.node("work"))
    builder.add_node("join", recorder.node("join"))
    builder.add_edge(START, "split")
    builder.add_conditional_edges("split", lambda _: [Send("work", {"text": str(i)}) for i in range(3)], ["work"])
    builder.add_edge("work", "join")
    builder.add_edge("join", END)
    return builder.compile()


def project(graph: Graph) -> Project:
    workflow = LoadedWorkflow("shapes", graph, input_schema_of(graph), {}, {}, "")
    return Project("test", Path("/nonexistent"), "digest", {"shapes": workflow})


@pytest.fixture
async def driver(database: Database) -> AsyncIterator[Driver]:
    async with open_savers(database.url) as savers:
        yield Driver(DriverParts(database, Writer(database), savers, NoPorts(), InProcessWakeups(), CLOCK))


async def reread(database: Database, run: Run) -> Run:
    async with database.read() as connection:
        return await repository.require_run(connection, run.id)


async def test_a_graph_runs_to_its_end_and_leaves_result_steps_and_events(database: Database, driver: Driver) -> None:
    recorder = Recorder()
    await start_run(database, value={"text": "hello"})
    run = await claim(database)

    await driver.drive(Drive(run), project(chain(recorder, "a", "b", "c")))

    ended = await reread(database, run)
    assert (ended.status, ended.lease_owner, ended.lease_expires_at) == (Status.COMPLETED, None, None)
    assert ended.result_ref
    assert ended.finished_at
    async with database.read() as connection:
        result = await load_json(connection, ended.result_ref)
        steps = await repository.list_steps(connection, run.id)
        events = await repository.list_events(connection, run.id)
    assert result == {"output": {"text": "hello", "log": ["a", "b", "c"]}}
    assert [(step.node, step.status, step.attempt) for step in steps] == [
        ("a", "finished", 1),
        ("b", "finished", 1),
        ("c", "finished", 1),
    ]
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert [event.type for event in events] == [
        "run.queued",
        "run.started",
        *["step.started", "step.finished"] * 3,
        "run.finished",
    ]
    assert ended.event_seq == len(events)


class Crash(BaseException):
    """As if the process had died: no `except Exception` may see it."""


def crash() -> None:
    raise Crash


@pytest.mark.parametrize(
    ("point", "hit"), [("engine.checkpoint.after", 4), ("engine.driver.leaving", 1), ("engine.step.started:b", 1)]
)
async def test_a_run_that_was_cut_goes_on_from_its_last_finished_step(
    database: Database, driver: Driver, point: str, hit: int
) -> None:
    recorder = Recorder()
    graph = project(chain(recorder, "a", "b", "c"))
    await start_run(database)
    first = await claim(database)
    failpoints.switch_on(point, crash, on_hit=hit)

    with pytest.raises(Crash):
        await driver.drive(Drive(first), graph)
    await give_up(database)
    await driver.drive(Drive(await claim(database)), graph)

    assert (await reread(database, first)).status is Status.COMPLETED
    assert recorder.ran == ["a", "b", "c"]


async def give_up(database: Database) -> None:
    async with database.write() as connection:
        taken = await take_orphans(connection, clock=CLOCK)
    assert [item.status for item in taken] == [Status.QUEUED]


class Plan(BaseModel):
    steps: list[str]


@dataclass
class Place:
    row: int


class Colour(Enum):
    RED = "red"


class Typed(TypedDict, total=False):
    text: str
    plan: Plan
    places: list[Place]
    colour: Colour | None


async def test_typed_values_of_a_state_survive_a_takeover(database: Database, driver: Driver) -> None:
    async def writes(state: Typed) -> Typed:
        return {"plan": Plan(steps=["one"]), "places": [Place(1)], "colour": Colour.RED}

    async def reads(state: Typed) -> Typed:
        return {"text": f"{state['plan'].steps} {state['places'][0].row} {state['colour']}"}

    inner = StateGraph(Typed)
    inner.add_node("writes", writes)
    inner.add_node("reads", reads)
    inner.add_edge(START, "writes")
    inner.add_edge("writes", "reads")
    outer = StateGraph(State)
    outer.add_node("inner", inner.compile())
    outer.add_edge(START, "inner")
    await start_run(database)
    run = await claim(database)
    failpoints.switch_on("engine.step.started:reads", crash)
    with pytest.raises(Crash):
        await driver.drive(Drive(run), project(outer.compile()))
    await give_up(database)

    await driver.drive(Drive(await claim(database)), project(outer.compile()))

    ended = await reread(database, run)
    assert ended.error is None
    assert ended.result_ref
    async with database.read() as connection:
        assert (await load_json(connection, ended.result_ref))["output"]["text"] == "['one'] 1 Colour.RED"


async def test_a_class_that_the_state_does_not_name_is_not_made_again(database: Database, driver: Driver) -> None:
    class Untyped(TypedDict, total=False):
        text: str
        anything: Any

    seen: list[Any] = []

    async def writes(state: Untyped) -> Untyped:
        return {"anything": Place(1)}

    async def reads(state: Untyped) -> Untyped:
        seen.append(state["anything"])
        return {}

    builder = StateGraph(Untyped)
    builder.add_node("writes", writes)
    builder.add_node("reads", reads)
    builder.add_edge(START, "writes")
    builder.add_edge("writes", "reads")
    await start_run(database)
    run = await claim(database)
    failpoints.switch_on("engine.step.started:reads", crash)
    with pytest.raises(Crash):
        await driver.drive(Drive(run), project(builder.compile()))
    await give_up(database)

    await driver.drive(Drive(await claim(database)), project(builder.compile()))

    assert seen == [{"row": 1}]


async def test_a_fan_out_has_a_step_for_each_of_its_tasks(database: Database, driver: Driver) -> None:
    await start_run(database)
    run = await claim(database)

    await driver.drive(Drive(run), project(fan_out(Recorder())))

    async with database.read() as connection:
        steps = await repository.list_steps(connection, run.id)
    assert [(step.superstep, step.node, step.status) for step in steps] == [
        (1, "split", "finished"),
        *[(2, "work", "finished")] * 3,
        (3, "join", "finished"),
    ]


async def test_a_node_that_raises_fails_the_run_with_its_own_lines(database: Database, driver: Driver) -> None:
    async def broken(state: State) -> State:
        raise ValueError("no such thing\x00\ud800")

    builder = StateGraph(State)
    builder.add_node("broken", broken)
    builder.add_edge(START, "broken")
    await start_run(database)
    run = await claim(database)

    await driver.drive(Drive(run), project(builder.compile()))

    ended = await reread(database, run)
    assert ended.status is Status.FAILED
    assert ended.error is not None
    assert (ended.error["code"], ended.error["exception"]) == ("node_failed", "ValueError")
    assert ended.error["message"] == "no such thing\ufffd"
    assert str(ended.error["where"]).count("in broken") == 1
    async with database.read() as connection:
        steps = await repository.list_steps(connection, run.id)
    assert [(step.node, step.status) for step in steps] == [("broken", "failed")]


async def test_a_worker_that_was_replaced_writes_nothing(database: Database, driver: Driver) -> None:
    recorder = Recorder()
    graph = project(chain(recorder, "a", "b"))
    await start_run(database)
    stale = await claim(database)
    await give_up(database)
    current = await claim(database)

    await driver.drive(Drive(stale), graph)
    untouched = await reread(database, current)
    await driver.drive(Drive(current), graph)

    assert recorder.ran == ["a", "b"]
    assert (untouched.lease_token, untouched.event_seq) == (current.lease_token, current.event_seq)
    assert (await reread(database, current)).status is Status.COMPLETED


async def test_a_loop_ends_at_the_step_limit(database: Database, driver: Driver) -> None:
    builder = StateGraph(State)
    builder.add_node("again", Recorder().node("again"))
    builder.add_edge(START, "again")
    builder.add_edge("again", "again")
    await start_run(database, max_steps=4)
    run = await claim(database)

    await driver.drive(Drive(run), project(builder.compile()))

    ended = await reread(database, run)
    assert ended.status is Status.FAILED
    assert ended.error is not None
    assert ended.error["code"] == "step_limit"


async def test_a_checkpoint_that_waits_for_an_unknown_node_parks_the_run(database: Database, driver: Driver) -> None:
    await start_run(database)
    first = await claim(database)
    failpoints.switch_on("engine.step.started:b", crash)
    with pytest.raises(Crash):
        await driver.drive(Drive(first), project(chain(Recorder(), "a", "b", "c")))
    await give_up(database)
    renamed = Recorder()

    await driver.drive(Drive(await claim(database)), project(chain(renamed, "a", "other", "c")))

    parked = await reread(database, first)
    assert (parked.status, parked.reason) == (Status.QUEUED, "unloadable")
    assert renamed.ran == []


async def test_a_join_that_waits_for_an_unknown_node_parks_the_run(database: Database, driver: Driver) -> None:
    def joined(recorder: Recorder, last: str) -> Graph:
        builder = StateGraph(State)
        for name in ("a", "b", last):
            builder.add_node(name, recorder.node(name))
        builder.add_edge(START, "a")
        builder.add_edge(START, "b")
        builder.add_edge(["a", "b"], last)
        return builder.compile()

    await start_run(database)
    first = await claim(database)
    failpoints.switch_on("engine.step.started:c", crash)
    with pytest.raises(Crash):
        await driver.drive(Drive(first), project(joined(Recorder(), "c")))
    await give_up(database)
    renamed = Recorder()

    await driver.drive(Drive(await claim(database)), project(joined(renamed, "other")))

    parked = await reread(database, first)
    assert (parked.status, parked.reason) == (Status.QUEUED, "unloadable")
    assert renamed.ran == []


async def test_a_graph_with_a_join_completes(database: Database, driver: Driver) -> None:
    recorder = Recorder()
    builder = StateGraph(State)
    for name in ("a", "b", "c", "d"):
        builder.add_node(name, recorder.node(name))
    builder.add_edge(START, "a")
    builder.add_edge(START, "b")
    builder.add_edge(["a", "b"], "c")
    builder.add_edge("c", "d")
    graph = project(builder.compile())
    await start_run(database)
    first = await claim(database)
    failpoints.switch_on("engine.step.started:d", crash)
    with pytest.raises(Crash):
        await driver.drive(Drive(first), graph)
    await give_up(database)

    await driver.drive(Drive(await claim(database)), graph)

    assert (await reread(database, first)).status is Status.COMPLETED
    assert recorder.ran == ["a", "b", "c", "d"]


@pytest.mark.parametrize("breakpoints", [{"interrupt_before": ["b"]}, {"interrupt_after": ["a"]}])
async def test_a_graph_that_stops_at_a_breakpoint_is_not_completed(
    database: Database, driver: Driver, breakpoints: dict[str, list[str]]
) -> None:
    recorder = Recorder()
    builder = StateGraph(State)
    builder.add_node("a", recorder.node("a"))
    builder.add_node("b", recorder.node("b"))
    builder.add_edge(START, "a")
    builder.add_edge("a", "b")
    await start_run(database)
    run = await claim(database)

    await driver.drive(Drive(run), project(builder.compile(**breakpoints)))  # type: ignore[arg-type]

    ended = await reread(database, run)
    assert ended.status is Status.FAILED
    assert ended.error is not None
    assert ended.error["code"] == "stopped_early"
    assert recorder.ran == ["a"]


async def test_a_note_and_a_file_with_text_that_no_database_stores_are_kept_clean(
    database: Database, driver: Driver
) -> None:
    async def leaves(state: State) -> State:
        here = current_ports.get()
        assert here is not None
        here.add_note("a\x00b", half="\ud800", anything=object())  # type: ignore[arg-type]
        here.add_artifact("a.txt", b"text", media_type="text/\x00plain")
        return {}

    builder = StateGraph(State)
    builder.add_node("leaves", leaves)
    builder.add_edge(START, "leaves")
    await start_run(database)
    run = await claim(database)

    await driver.drive(Drive(run), project(builder.compile()))

    assert (await reread(database, run)).status is Status.COMPLETED
    async with database.read() as connection:
        notes = [e for e in await repository.list_events(connection, run.id) if e.type == "note"]
        files = await repository.list_artifacts(connection, run.id)
    assert [(note.payload["message"], note.payload["half"]) for note in notes] == [("ab", "\ufffd")]
    assert [file.media_type for file in files] == ["text/plain"]


async def test_an_end_that_cannot_be_stored_fails_the_run_at_once(database: Database, driver: Driver) -> None:
    recorder = Recorder()
    await start_run(database)
    run = await claim(database)
    refuse_once = StateNotStorable("the database refuses this run's data")

    def refuse() -> None:
        raise refuse_once

    failpoints.switch_on("engine.driver.leaving", lambda: failpoints.switch_on("engine.writer.before_commit", refuse))
    await driver.drive(Drive(run), project(chain(recorder, "a")))

    ended = await reread(database, run)
    assert ended.status is Status.FAILED
    assert ended.error is not None
    assert ended.error["code"] == "state_not_storable"


class ComeBack(Unavailable):
    code = "come_back"


@pytest.mark.parametrize("retry_after", [0, -5, 0.2, 3])
async def test_a_run_that_has_to_wait_is_parked_for_a_second_at_least(
    database: Database, driver: Driver, retry_after: float
) -> None:
    async def waits(state: State) -> State:
        raise ComeBack("not now", retry_after=retry_after)

    builder = StateGraph(State)
    builder.add_node("waits", waits)
    builder.add_edge(START, "waits")
    await start_run(database)
    run = await claim(database)

    await driver.drive(Drive(run), project(builder.compile()))

    parked = await reread(database, run)
    assert (parked.status, parked.reason, parked.crash_streak) == (Status.QUEUED, "come_back", 0)
    async with database.read() as connection:
        now = await connection.scalar(select(now_ms()))
        message = (await connection.execute(select(outbox).order_by(outbox.c.id.desc()).limit(1))).mappings().one()
    assert now is not None
    assert now < parked.available_at <= message["available_at"] < now + 4_000
    assert message["payload"]["why"] == "come_back"


async def test_a_run_that_never_may_come_back_fails(database: Database, driver: Driver) -> None:
    async def waits(state: State) -> State:
        raise ComeBack("not now", retry_after=float("inf"))

    builder = StateGraph(State)
    builder.add_node("waits", waits)
    builder.add_edge(START, "waits")
    await start_run(database)
    run = await claim(database)

    await driver.drive(Drive(run), project(builder.compile()))

    assert (await reread(database, run)).status is Status.FAILED


async def test_a_parked_run_goes_on_with_the_node_that_had_to_wait(database: Database, driver: Driver) -> None:
    recorder = Recorder()
    refusals = [ComeBack("not now", retry_after=1)]

    async def waits(state: State) -> State:
        if refusals:
            raise refusals.pop()
        return {"log": ["b"]}

    builder = StateGraph(State)
    builder.add_node("a", recorder.node("a"))
    builder.add_node("b", waits)
    builder.add_edge(START, "a")
    builder.add_edge("a", "b")
    graph = project(builder.compile())
    await start_run(database)
    run = await claim(database)
    await driver.drive(Drive(run), graph)
    async with database.write() as connection:
        await connection.execute(update(runs).values(available_at=0))

    await driver.drive(Drive(await claim(database)), graph)

    ended = await reread(database, run)
    assert ended.status is Status.COMPLETED
    assert recorder.ran == ["a"]
    async with database.read() as connection:
        steps = await repository.list_steps(connection, run.id)
    assert [(step.node, step.status, step.attempt) for step in steps] == [
        ("a", "finished", 1),
        ("b", "failed", 1),
        ("b", "finished", 2),
    ]


@pytest.mark.parametrize(("digest", "notes"), [("digest", 0), ("another", 1)])
async def test_a_run_that_goes_on_with_other_code_says_so(
    database: Database, driver: Driver, digest: str, notes: int
) -> None:
    graph = project(chain(Recorder(), "a", "b"))
    await start_run(database)
    run = await claim(database)
    failpoints.switch_on("engine.step.started:b", crash)
    with pytest.raises(Crash):
        await driver.drive(Drive(run), graph)
    await give_up(database)

    await driver.drive(Drive(await claim(database)), replace(graph, code_digest=digest))

    assert (await reread(database, run)).status is Status.COMPLETED
    async with database.read() as connection:
        told = [e.payload for e in await repository.list_events(connection, run.id) if e.type == "note"]
    assert [(note["began_with"], note["goes_on_with"]) for note in told] == [("digest", "another")] * notes


async def test_a_name_that_no_worker_knows_fails_the_run(database: Database, driver: Driver) -> None:
    await start_run(database, workflow="nobody")
    run = await claim(database)

    await driver.drive(Drive(run), None)

    ended = await reread(database, run)
    assert ended.status is Status.FAILED
    assert ended.error is not None
    assert ended.error["code"] == "unknown_workflow"


async def test_text_that_a_database_cannot_store_fails_the_run_once(database: Database, driver: Driver) -> None:
    async def nul(state: State) -> State:
        return {"text": "a\x00b"}

    builder = StateGraph(State)
    builder.add_node("nul", nul)
    builder.add_edge(START, "nul")
    await start_run(database)
    run = await claim(database)

    await driver.drive(Drive(run), project(builder.compile()))

    ended = await reread(database, run)
    expected = {"sqlite": Status.COMPLETED, "postgresql": Status.FAILED}  # SQLite takes a NUL in a checkpoint
    assert ended.status is expected[database.dialect]
    if ended.error:
        assert ended.error["code"] == "state_not_storable"
