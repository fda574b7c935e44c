"""Deleting runs: what goes, what stays, and what stands in the way."""

import asyncio
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.types import interrupt
from sqlalchemy import func, select, text

from shadowgraph import artifact, chat_model, models, tool
from shadowgraph.authoring.ports import require_ports
from shadowgraph.core.errors import Conflict
from shadowgraph.db.engine import Database
from shadowgraph.db.scrubbing import scrub
from shadowgraph.engine.checkpoints import retention
from shadowgraph.engine.driver import Drive, Driver
from shadowgraph.engine.history import list_checkpoints
from shadowgraph.engine.projects import Project
from shadowgraph.llm.gateway import Gateway
from shadowgraph.llm.port import Target
from shadowgraph.llm.routes import only
from shadowgraph.llm.targets import Targets
from shadowgraph.models.audit import audit
from shadowgraph.models.base import metadata
from shadowgraph.models.llm_calls import llm_attempts
from shadowgraph.models.payloads import payloads
from shadowgraph.runs import repository
from shadowgraph.runs.alerts import raise_alert
from shadowgraph.runs.deletion import HasForks, ThreadContinues, delete_run, delete_thread
from shadowgraph.runs.idempotency import IdempotencyKey
from shadowgraph.runs.interactions import InteractionQuery, answer_interaction, list_interactions
from shadowgraph.runs.lifecycle import ForkSpec, fork_run
from shadowgraph.runs.payloads import load_json
from shadowgraph.runs.references import COLUMNS
from shadowgraph.runs.repository import RunNotFound
from shadowgraph.runs.run import Run
from shadowgraph.runs.service import RunSpec, WrongState, cancel_run, create_run
from shadowgraph.runs.states import Status
from shadowgraph.tools.registry import ToolRegistry
from shadowgraph.wiring.ports import Ports
from tests.support.graphs import State, driver_parts, line, project
from tests.support.llm import FakeProvider, says
from tests.support.runs import CLOCK, claim, start_run
from tests.support.traces import count_in_files, tables_with
from tests.support.waiting import wait_until

ANYBODY = "local"
MARKER = "k7q9zx4v"
THREAD = f"thread-{MARKER}"


def marked(place: str) -> str:
    return f"{place}-{MARKER}"


class Talk:
    """A graph that leaves a marked text in every place where a run can leave one. Its last node fails while it is told to."""

    def __init__(self) -> None:
        self.is_broken = False

    async def speak(self, state: State) -> State:
        answer = await chat_model(key=marked("key")).ainvoke([HumanMessage(state["text"])])
        call = {"type": "tool_call", "id": marked("call"), "name": "look_up", "args": {"what": marked("argument")}}
        found = (await look_up.ainvoke(call)).content
        artifact(f"{marked('path')}.txt", marked("body"))
        require_ports().add_note(marked("note"))
        return {"log": [answer.text, found]}

    async def ask(self, state: State) -> State:
        return {"log": [str(interrupt({"question": marked("question"), "default": marked("default")}))]}

    async def last(self, state: State) -> State:
        if self.is_broken:
            await chat_model().ainvoke([HumanMessage(marked("prompt"))])  # its live text stays: the step never finishes
            raise ValueError(marked("error"))
        return {}

    @property
    def project(self) -> Project:
        return project(line({"speak": self.speak, "ask": self.ask, "last": self.last}))


@tool(effect="read")
async def look_up(what: str) -> str:
    """Looks something up."""
    return f"{what} {marked('finding')}"


@pytest.fixture
async def driver(database: Database) -> AsyncIterator[Driver]:
    targets = Targets(
        {"fake": FakeProvider(says(marked("answer"), " and so on"))}, routes=only(Target("fake", "fake-1"))
    )
    ports = Ports(Gateway(targets, clock=CLOCK, rng=Random(1)), ToolRegistry(), CLOCK)
    async with driver_parts(database, ports=ports) as parts:
        yield Driver(parts)


async def drive_next(database: Database, driver: Driver, graph: Project) -> Run:
    run = await claim(database)
    await driver.drive(Drive(run), graph)
    return await reread(database, run.id)


async def reread(database: Database, run_id: str) -> Run:
    async with database.read() as connection:
        return await repository.require_run(connection, run_id)


async def answer_all(database: Database) -> None:
    async with database.write() as connection:
        for found in (await list_interactions(connection, InteractionQuery())).items:
            await answer_interaction(connection, found.run_id, found.id, marked("reply"), who=ANYBODY, clock=CLOCK)


async def turn(database: Database, driver: Driver, talk: Talk, **fields: Any) -> Run:
    await start_run(database, thread_id=THREAD, **fields)
    await drive_next(database, driver, talk.project)
    await answer_all(database)
    return await drive_next(database, driver, talk.project)


async def fork(database: Database, parent: Run, state: dict[str, Any] | None = None) -> Run:
    (newest, *_) = await list_checkpoints(database.url, parent.checkpoint_thread)
    async with database.write() as connection:
        spec = ForkSpec(newest.checkpoint_id, state)
        return await fork_run(connection, database.dialect, parent.id, spec, who=ANYBODY, clock=CLOCK)


async def hold_marked_conversation(database: Database, driver: Driver) -> list[str]:
    """A completed turn, a failed one, and a fork of the first with an edited state."""
    talk = Talk()
    first = await turn(
        database,
        driver,
        talk,
        value={"text": marked("input")},
        subject=marked("subject"),
        metadata={marked("label"): marked("value")},
        idempotency=IdempotencyKey(marked("idempotency"), "hash"),
    )
    forked = await fork(database, first, {"text": marked("edit")})
    await drive_next(database, driver, talk.project)
    talk.is_broken = True
    failed = await turn(database, driver, talk)
    async with database.write() as connection:
        await raise_alert(
            connection, database.dialect, kind="odd", subject=first.id, message=marked("alert"), at=CLOCK.now()
        )
    assert [(await reread(database, run.id)).status for run in (first, forked, failed)] == [
        Status.COMPLETED,
        Status.COMPLETED,
        Status.FAILED,
    ]
    return [first.id, forked.id, failed.id]


async def sums(database: Database) -> Any:
    c = llm_attempts.c
    statement = select(
        func.count(), func.sum(c.prompt_tokens), func.sum(c.completion_tokens), func.count(func.distinct(c.run_id))
    )
    async with database.read() as connection:
        return tuple((await connection.execute(statement)).one())


async def delete(database: Database, run_id: str, **choice: Any) -> list[str]:
    async with database.write() as connection:
        return list(
            await delete_run(
                connection,
                database.dialect,
                run_id,
                erase_checkpoints=retention.erase,
                who=ANYBODY,
                clock=CLOCK,
                **choice,
            )
        )


async def drop_thread(database: Database, thread_id: str, **choice: Any) -> list[str]:
    async with database.write() as connection:
        return list(
            await delete_thread(
                connection,
                database.dialect,
                thread_id,
                erase_checkpoints=retention.erase,
                who=ANYBODY,
                clock=CLOCK,
                **choice,
            )
        )


TABLES_WITH_TEXTS = {
    "alerts", "artifacts", "checkpoints", "events", "idempotency_keys", "interactions", "llm_attempts", "llm_calls", "payloads",
    "run_texts", "runs", "steps", "tool_calls",
}  # fmt: skip
LIBRARY_TABLES = {"sqlite": {"writes"}, "postgresql": {"checkpoint_writes", "checkpoint_blobs"}}


async def test_no_byte_of_a_deleted_conversation_is_left_and_its_totals_stay(
    database: Database, driver: Driver
) -> None:
    bystander = await start_run(database, value={"text": "hello"})
    await drive_next(database, driver, project(line({"quiet": Talk().last})))
    conversation = await hold_marked_conversation(database, driver)
    spent = await sums(database)
    found_before = tables_with(database.url, MARKER)

    gone = await drop_thread(database, THREAD, forks="delete")
    is_scrubbed = await scrub(database)

    assert {name.partition("_20")[0] for name in found_before} >= TABLES_WITH_TEXTS | LIBRARY_TABLES[database.dialect]
    assert sorted(gone) == sorted(conversation)
    assert tables_with(database.url, MARKER) == set()
    if database.dialect == "sqlite":
        assert is_scrubbed
        assert count_in_files(database.url, MARKER[3:]) == 0  # the search index keeps words without what they share
    assert await sums(database) == spent
    assert spent[1] > 0
    untouched = await reread(database, bystander.id)
    async with database.read() as connection:
        assert await load_json(connection, untouched.input_ref) == {"text": "hello"}
        assert await load_json(connection, str(untouched.result_ref)) == {"output": {"text": "hello", "log": []}}
        assert await connection.scalar(select(func.count()).select_from(audit).where(audit.c.action == "thread.delete"))


async def complete(database: Database, driver: Driver, **fields: Any) -> Run:
    """A short run that has ended."""
    await start_run(database, **fields)
    return await drive_next(database, driver, project(line({"quiet": Talk().last})))


async def is_gone(database: Database, run: Run) -> bool:
    async with database.read() as connection:
        return await repository.find_run(connection, run.id) is None


async def test_an_unfinished_run_has_to_be_cancelled_first(database: Database) -> None:
    run = await start_run(database)

    with pytest.raises(WrongState) as refused:
        await delete(database, run.id)

    assert (refused.value.facts["state"], refused.value.facts["possible"]) == (Status.QUEUED, ["cancel"])
    assert not await is_gone(database, run)


async def test_a_run_that_a_later_one_continues_goes_with_its_thread_only(database: Database, driver: Driver) -> None:
    first = await complete(database, driver, thread_id="talk")
    second = await complete(database, driver, thread_id="talk")

    with pytest.raises(ThreadContinues) as refused:
        await delete(database, first.id)
    await delete(database, second.id)

    assert refused.value.facts["run_id"] == second.id
    assert await delete(database, first.id) == [first.id]


async def test_forks_are_named_and_go_along_only_when_that_is_wanted(database: Database, driver: Driver) -> None:
    parent = await complete(database, driver)
    child = await fork(database, parent)
    await drive_next(database, driver, project(line({"quiet": Talk().last})))
    grandchild = await fork(database, child)
    await drive_next(database, driver, project(line({"quiet": Talk().last})))

    with pytest.raises(HasForks) as refused:
        await delete(database, parent.id)
    gone = await delete(database, parent.id, forks="delete")

    assert refused.value.facts["forks"] == [child.id]
    assert sorted(gone) == sorted([parent.id, child.id, grandchild.id])


async def test_a_fork_that_has_not_ended_stands_in_the_way(database: Database, driver: Driver) -> None:
    parent = await complete(database, driver)
    waiting = await fork(database, parent)

    with pytest.raises(Conflict) as refused:
        await delete(database, parent.id, forks="delete")

    assert refused.value.facts["run_id"] == waiting.id
    assert not await is_gone(database, parent)


async def test_a_thread_with_an_unfinished_run_stays_whole(database: Database, driver: Driver) -> None:
    first = await complete(database, driver, thread_id="talk")
    await start_run(database, thread_id="talk")

    with pytest.raises(WrongState):
        await drop_thread(database, "talk")

    assert not await is_gone(database, first)


async def test_a_parent_keeps_the_texts_that_it_shared_with_its_fork(database: Database, driver: Driver) -> None:
    parent = await complete(database, driver)
    child = await fork(database, parent)
    await drive_next(database, driver, project(line({"quiet": Talk().last})))

    await delete(database, child.id)

    async with database.read() as connection:
        assert await load_json(connection, parent.input_ref) == {"text": "hello"}
    assert not await is_gone(database, parent)


async def test_a_deleted_run_cannot_be_deleted_again(database: Database, driver: Driver) -> None:
    run = await complete(database, driver)
    await delete(database, run.id)

    with pytest.raises(RunNotFound):
        await delete(database, run.id)


async def test_a_payload_goes_with_the_last_row_that_refers_to_it(database: Database, driver: Driver) -> None:
    first, second = await complete(database, driver), await complete(database, driver)

    counts = []
    for run in (first, second):
        await delete(database, run.id)
        async with database.read() as connection:
            counts.append(await connection.scalar(select(func.count()).select_from(payloads)))

    assert counts == [3, 0]  # the input, the result and what the node returned are the same for both


async def test_a_body_that_is_stored_again_meanwhile_is_not_lost(postgresql_url: str) -> None:
    """A writer that finds the body in the table leaves it there; the deletion must see the writer's own row or come first."""
    database = Database(postgresql_url)
    try:
        doomed = await start_run(database, value={"text": "same"})
        async with database.write() as connection:
            await cancel_run(connection, doomed.id, clock=CLOCK)
        async with database.write() as connection:
            spec = RunSpec(workflow="shapes", input={"text": "same"})
            created = (await create_run(connection, database.dialect, spec, clock=CLOCK)).run
            deleting = asyncio.create_task(delete(database, doomed.id))
            await wait_until(lambda: waits_for_a_lock(database), what="the deletion to wait for the writer")
        await deleting

        async with database.read() as connection:
            assert await load_json(connection, created.input_ref) == {"text": "same"}
    finally:
        await database.close()


async def waits_for_a_lock(database: Database) -> bool:
    async with database.read() as connection:
        waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'payloads'::regclass")
        return bool(await connection.scalar(waiting))


def test_every_column_that_refers_to_a_payload_is_known() -> None:
    """With one that is not known, a body would be deleted under its row."""
    for module in Path(models.__path__[0]).glob("*.py"):
        import_module(f"shadowgraph.models.{module.stem}")

    columns = [column for table in metadata.tables.values() if table is not payloads for column in table.columns]

    assert {column for column in columns if column.name.endswith("_ref") or column.name == "sha256"} == set(COLUMNS)
