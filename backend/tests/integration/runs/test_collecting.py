"""What a run's age takes from it, what it leaves, and that a preview says so beforehand."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.types import interrupt
from sqlalchemy import func, insert, select, update

from shadowgraph import chat_model, tool
from shadowgraph.core import failpoints
from shadowgraph.db.engine import Database
from shadowgraph.db.migrate import migrate
from shadowgraph.engine.checkpoints.retention import STORE
from shadowgraph.engine.driver import Drive, Driver
from shadowgraph.engine.history import find_checkpoint, list_checkpoints
from shadowgraph.engine.projects import Project
from shadowgraph.llm.gateway import Gateway
from shadowgraph.llm.port import Target
from shadowgraph.llm.routes import only
from shadowgraph.llm.targets import Targets
from shadowgraph.models.idempotency_keys import idempotency_keys
from shadowgraph.models.llm_calls import llm_attempts, llm_calls
from shadowgraph.models.outbox import outbox
from shadowgraph.models.payloads import payloads
from shadowgraph.models.runs import runs
from shadowgraph.models.tool_calls import tool_calls
from shadowgraph.models.workers import workers
from shadowgraph.runs import repository
from shadowgraph.runs.amounts import Amount, Removed, add_up
from shadowgraph.runs.collecting import Collector
from shadowgraph.runs.housekeeping import Housekeeper
from shadowgraph.runs.idempotency import IdempotencyKey
from shadowgraph.runs.interactions import InteractionQuery, answer_interaction, list_interactions
from shadowgraph.runs.lifecycle import ForkSpec, fork_run, retry_run
from shadowgraph.runs.payloads import load_json
from shadowgraph.runs.previewing import preview
from shadowgraph.runs.retention import Ages, age_runs
from shadowgraph.runs.run import Run
from shadowgraph.runs.service import cancel_run
from shadowgraph.runs.states import Status
from shadowgraph.tools.registry import ToolRegistry
from shadowgraph.wiring.ports import Ports
from tests.support.graphs import State, driver_parts, line, project
from tests.support.llm import FakeProvider, says
from tests.support.runs import CLOCK, claim, start_run
from tests.support.traces import dump

AGES = Ages.of_days(14)
NODES = ("speak", "work", "last")
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class LaterClock:
    """This machine's, so much later."""

    later: timedelta

    def now(self) -> datetime:
        return CLOCK.now() + self.later

    def monotonic(self) -> float:
        return CLOCK.monotonic()


@dataclass
class Talk:
    """Three nodes: one calls a model and a tool, one works, the last asks or fails while it is told to."""

    asks: bool = False
    fails: bool = False
    what: str = "always the same"
    ran: list[str] = field(default_factory=list)

    async def speak(self, state: State) -> State:
        self.ran.append("speak")
        answer = await chat_model().ainvoke([HumanMessage(state["text"])])
        call = {"type": "tool_call", "id": "1", "name": "look_up", "args": {"what": self.what}}
        return {"log": [answer.text, (await look_up.ainvoke(call)).content]}

    async def work(self, state: State) -> State:
        self.ran.append("work")
        return {"log": ["x" * 1000]}

    async def last(self, state: State) -> State:
        self.ran.append("last")
        if self.asks:
            return {"log": [str(interrupt("and now?"))]}
        if self.fails:
            await chat_model().ainvoke([HumanMessage("paid before it failed")])
            raise ValueError("told to")
        return {"log": ["end"]}

    @property
    def project(self) -> Project:
        return project(line({name: getattr(self, name) for name in NODES}))


@tool(effect="read")
async def look_up(what: str) -> str:
    """Looks something up."""
    return f"{what} was found"


@pytest.fixture(autouse=True)
async def _months_as_before(database: Database) -> AsyncIterator[None]:
    """Tests that look far ahead drop this month's partitions, and other tests share the database."""
    yield
    if database.dialect == "postgresql":
        await Collector(database, STORE, AGES, clock=CLOCK).make_months()


@pytest.fixture
def provider() -> FakeProvider:
    return FakeProvider(says("hello"))


@pytest.fixture
async def driver(database: Database, provider: FakeProvider) -> AsyncIterator[Driver]:
    targets = Targets({"fake": provider}, routes=only(Target("fake", "fake-1")))
    ports = Ports(Gateway(targets, clock=CLOCK, rng=Random(1)), ToolRegistry(), CLOCK)
    async with driver_parts(database, ports=ports) as parts:
        yield Driver(parts)


async def drive_next(database: Database, driver: Driver, talk: Talk) -> Run:
    run = await claim(database)
    await driver.drive(Drive(run), talk.project)
    async with database.read() as connection:
        return await repository.require_run(connection, run.id)


async def run_once(database: Database, driver: Driver, talk: Talk | None = None, **fields: Any) -> Run:
    await start_run(database, **fields)
    return await drive_next(database, driver, talk or Talk())


async def fork(database: Database, parent: Run, checkpoint_id: str) -> Run:
    async with database.write() as connection:
        return await fork_run(
            connection, database.dialect, parent.id, ForkSpec(checkpoint_id), who="local", clock=CLOCK
        )


async def retry(database: Database, run: Run) -> None:
    async with database.write() as connection:
        await retry_run(connection, run.id, who="local", clock=CLOCK)


async def collect(database: Database, later: timedelta) -> Removed:
    return await Collector(database, STORE, AGES, clock=LaterClock(later)).collect()


async def foresee(database: Database, later: timedelta) -> Removed:
    return await preview(database, STORE, AGES, clock=LaterClock(later))


async def supersteps(database: Database, run: Run) -> list[int]:
    return [found.superstep for found in await list_checkpoints(database.url, run.checkpoint_thread)]


async def count(database: Database, table: Any, *where: Any) -> int:
    async with database.read() as connection:
        return await connection.scalar(select(func.count()).select_from(table).where(*where)) or 0


# --- checkpoints ----------------------------------------------------------------------------------------------------------------


async def test_an_ended_run_keeps_a_checkpoint_of_every_superstep_and_each_can_be_forked(
    database: Database, driver: Driver
) -> None:
    run = await run_once(database, driver)

    removed = await collect(database, HOUR)
    kept = await list_checkpoints(database.url, run.checkpoint_thread)

    assert [found.superstep for found in kept] == [3, 2, 1, 0, -1]
    assert removed["pending writes"].rows > 0
    for found in kept:
        talk = Talk()
        await fork(database, run, found.checkpoint_id)
        assert (await drive_next(database, driver, talk)).status is Status.COMPLETED
        assert talk.ran == list(NODES[max(0, found.superstep) :])


async def test_a_run_that_has_not_ended_keeps_everything_however_old_it_is(database: Database, driver: Driver) -> None:
    talk = Talk(asks=True)
    run = await run_once(database, driver, talk)
    before = dump(database.url)

    await collect(database, 100 * DAY)

    assert run.status is Status.AWAITING_HUMAN
    assert of_runs(dump(database.url)) == of_runs(before)
    async with database.write() as connection:
        (question,) = (await list_interactions(connection, InteractionQuery())).items
        await answer_interaction(connection, run.id, question.id, "go on", who="local", clock=CLOCK)
    assert (await drive_next(database, driver, talk)).status is Status.COMPLETED
    assert talk.ran == [*NODES, "last"]


def of_runs(tables: dict[str, list[str]]) -> dict[str, list[str]]:
    """Without what is kept for a day only."""
    of_a_day = ("idempotency_keys", "outbox", "workers")
    return {name: rows for name, rows in tables.items() if rows and name not in of_a_day}


async def test_a_failed_run_goes_on_where_it_was_while_it_can_be_forked_from_any_step(
    database: Database, driver: Driver, provider: FakeProvider
) -> None:
    talk = Talk(fails=True)
    run = await run_once(database, driver, talk)
    before = dump(database.url)
    asked = len(provider.requests)

    await collect(database, 13 * DAY)
    await retry(database, run)
    talk.fails = False
    ended = await drive_next(database, driver, talk)

    assert of_runs(before)["checkpoints"]
    assert ended.status is Status.COMPLETED
    assert talk.ran == [*NODES, "last"]
    assert len(provider.requests) == asked


async def test_a_failed_run_can_be_retried_from_its_last_checkpoint_for_as_long_as_its_journal_stays(
    database: Database, driver: Driver, provider: FakeProvider
) -> None:
    talk = Talk(fails=True)
    run = await run_once(database, driver, talk)
    asked = len(provider.requests)

    await collect(database, 15 * DAY)
    kept = await supersteps(database, run)
    await retry(database, run)
    again = await drive_next(database, driver, talk)

    assert kept == [2]
    assert again.status is Status.FAILED
    assert talk.ran == [*NODES, "last"]
    assert len(provider.requests) == asked  # what the last node had paid for is answered from the journal


async def test_after_checkpoint_days_a_thread_keeps_the_state_that_its_next_run_continues(
    database: Database, driver: Driver
) -> None:
    first = await run_once(database, driver, thread_id="talk")
    second = await run_once(database, driver, thread_id="talk")
    failed = await run_once(database, driver, Talk(fails=True), thread_id="talk")

    await collect(database, 15 * DAY)

    assert [len(await supersteps(database, run)) for run in (first, second, failed)] == [0, 1, 1]
    third = await run_once(database, driver, thread_id="talk")
    newest = await find_checkpoint(database.url, third.checkpoint_thread)
    assert newest is not None
    assert newest.state is not None
    log = newest.state["log"]
    assert isinstance(log, list)
    assert len(log) == 3 * 4  # speak leaves two lines


async def test_a_checkpoint_that_a_waiting_fork_begins_with_stays(database: Database, driver: Driver) -> None:
    parent = await run_once(database, driver)
    before = await list_checkpoints(database.url, parent.checkpoint_thread)
    at_first = next(found for found in before if found.superstep == 1)
    await fork(database, parent, at_first.checkpoint_id)

    for later in (HOUR, 15 * DAY, 60 * DAY):
        await collect(database, later)
    talk = Talk()
    forked = await drive_next(database, driver, talk)
    await collect(database, 60 * DAY)

    assert forked.status is Status.COMPLETED
    assert talk.ran == ["work", "last"]
    assert [len(await supersteps(database, run)) for run in (parent, forked)] == [1, 1]


async def test_a_fork_that_came_after_the_look_is_seen_behind_the_lock(database: Database, driver: Driver) -> None:
    parent = await run_once(database, driver)
    (newest, *_) = await list_checkpoints(database.url, parent.checkpoint_thread)
    await fork(database, parent, newest.checkpoint_id)

    async with database.write() as connection:
        later = LaterClock(60 * DAY).now()
        aging = await age_runs(connection, database.dialect, STORE, [parent.id], AGES, now=later)

    assert (aging.runs, total(aging.removed)) == (0, {})


async def test_many_runs_with_waiting_forks_keep_no_other_from_its_turn(
    database: Database, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shadowgraph.runs.collecting.RUNS_AT_ONCE", 1)
    parent = await run_once(database, driver)
    (newest, *_) = await list_checkpoints(database.url, parent.checkpoint_thread)
    await fork(database, parent, newest.checkpoint_id)
    other = await run_once(database, driver, priority=5)

    await collect(database, 15 * DAY)

    assert len(await supersteps(database, other)) == 1
    assert len(await supersteps(database, parent)) > 1


async def test_before_the_first_worker_there_are_no_checkpoints_to_look_for(tmp_path: Path) -> None:
    """The graph library's tables come with it; a run can be cancelled before."""
    url = f"sqlite:///{tmp_path / 'new.db'}"
    await asyncio.to_thread(migrate, url)
    database = Database(url)
    run = await start_run(database)
    async with database.write() as connection:
        await cancel_run(connection, run.id, clock=CLOCK)

    removed = await collect(database, HOUR), await collect(database, 60 * DAY)
    await database.close()

    assert [total(part) for part in removed] == [{}, {}]


def total(removed: Removed) -> dict[str, Amount]:
    return {kind: amount for kind, amount in removed.items() if amount.rows}


# --- the journal ----------------------------------------------------------------------------------------------------------------


async def test_recorded_calls_go_at_last_and_what_the_run_said_and_cost_stays(
    database: Database, driver: Driver
) -> None:
    run = await run_once(database, driver)
    spent = await count(database, llm_attempts)

    early = await collect(database, 29 * DAY)
    calls = await count(database, llm_calls) + await count(database, tool_calls)
    late = await collect(database, 31 * DAY)

    assert "recorded calls" not in early
    assert calls == late["recorded calls"].rows == 2
    assert late["payloads"].rows == 3  # the model's answer, the tool's arguments and its result
    assert await count(database, llm_calls) == await count(database, tool_calls) == 0
    assert await count(database, llm_attempts) == spent > 0
    async with database.read() as connection:
        assert await load_json(connection, run.input_ref) == {"text": "hello"}
        assert (await load_json(connection, str(run.result_ref)))["output"]["log"][-1] == "end"


async def test_a_retried_run_begins_a_new_life(database: Database, driver: Driver) -> None:
    talk = Talk(fails=True)
    run = await run_once(database, driver, talk)
    await collect(database, 31 * DAY)

    await retry(database, run)
    talk.fails = False
    ended = await drive_next(database, driver, talk)
    await collect(database, HOUR)

    assert ended.status is Status.COMPLETED
    assert await supersteps(database, run) == [3, 2]
    assert await count(database, runs, runs.c.retention == 1) == 1


async def test_a_payload_without_any_row_is_found(database: Database) -> None:
    bodies = [{"sha256": digest * 64, "media_type": "text/plain", "size": 3, "body": b"abc"} for digest in "0f"]
    async with database.write() as connection:
        await connection.execute(insert(payloads), bodies)

    assert total(await collect(database, HOUR)) == {"payloads": Amount(2, 6)}


# --- what is kept for a day -----------------------------------------------------------------------------------------------------


async def add_rows_of_a_day(database: Database) -> None:
    """Two of each kind that are over in an hour, and two that are young."""
    for age in (DAY - HOUR / 2, timedelta()):
        at = CLOCK.now() - age
        seen_ms = int(at.timestamp() * 1000)
        async with database.write() as connection:
            for number in range(2):
                name = f"{at.timestamp()}-{number}"
                await connection.execute(
                    insert(idempotency_keys).values(
                        scope="local", key=name, request_hash="", response={"run_id": "run_x"}, created_at=at
                    )
                )
                await connection.execute(
                    insert(outbox).values(topic="x", payload={}, available_at=0, created_at=at, published_at=at)
                )
                await connection.execute(
                    insert(workers).values(
                        id=name,
                        host="h",
                        pid=1,
                        build="b",
                        pools=[],
                        slots=1,
                        started_at=at,
                        seen_at=seen_ms - 3_600_000,
                    )
                )


async def test_keys_messages_and_workers_go_after_a_day(database: Database) -> None:
    await add_rows_of_a_day(database)
    async with database.write() as connection:
        await connection.execute(
            insert(outbox).values(topic="x", payload={}, available_at=0, created_at=CLOCK.now() - 9 * DAY)
        )

    removed = await collect(database, HOUR)

    assert total(removed) == {kind: Amount(2) for kind in ("idempotency keys", "published messages", "silent workers")}
    assert await count(database, outbox, outbox.c.published_at.is_(None)) == 1
    assert [await count(database, table) for table in (idempotency_keys, outbox, workers)] == [2, 3, 2]


async def test_rows_of_a_day_go_in_batches(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shadowgraph.runs.expiry.BATCH", 1)
    await add_rows_of_a_day(database)

    assert (await collect(database, HOUR))["idempotency keys"] == Amount(2)


async def test_a_worker_that_holds_a_run_stays(database: Database) -> None:
    await start_run(database)
    run = await claim(database)
    await add_rows_of_a_day(database)
    async with database.write() as connection:
        await connection.execute(update(workers).values(seen_at=0))
        first = (await connection.scalars(select(workers.c.id).limit(1))).one()
        await connection.execute(update(runs).where(runs.c.id == run.id).values(lease_owner=first))

    await collect(database, HOUR)

    async with database.read() as connection:
        assert (await connection.scalars(select(workers.c.id))).all() == [first]


# --- preview, interruption, others at the same time -----------------------------------------------------------------------------


async def fill(database: Database, driver: Driver) -> list[Run]:
    """Conversations, forks, failures, shared payloads, and rows that are kept for a day."""
    found = [await run_once(database, driver, idempotency=IdempotencyKey("k", "hash"))]
    found += [await run_once(database, driver, thread_id="talk") for _ in range(3)]
    found.append(await run_once(database, driver, Talk(fails=True), thread_id="talk"))
    (newest, *_) = await list_checkpoints(database.url, found[0].checkpoint_thread)
    await fork(database, found[0], newest.checkpoint_id)
    found.append(await drive_next(database, driver, Talk()))
    found.append(await run_once(database, driver, Talk(asks=True, what="something else")))
    await add_rows_of_a_day(database)
    return found


@pytest.mark.parametrize("later", [HOUR, 15 * DAY, 31 * DAY, 100 * DAY], ids=str)
async def test_a_preview_changes_nothing_and_says_what_goes(
    database: Database, driver: Driver, later: timedelta, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shadowgraph.runs.collecting.RUNS_AT_ONCE", 2)
    monkeypatch.setattr("shadowgraph.runs.previewing.RUNS_AT_ONCE", 2)
    await fill(database, driver)
    before = dump(database.url)

    foreseen = await foresee(database, later)
    unchanged = dump(database.url)
    removed = await collect(database, later)

    assert unchanged == before
    assert total(foreseen) == total(removed) != {}
    assert ("payloads" in total(removed)) == (later > 30 * DAY)
    assert dump(database.url) != before
    assert total(await foresee(database, later)) == total(await collect(database, later)) == {}


async def test_it_can_be_stopped_between_any_two_batches_and_goes_on(
    database: Database, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shadowgraph.runs.collecting.RUNS_AT_ONCE", 2)
    await fill(database, driver)
    foreseen = total(await foresee(database, 100 * DAY))

    stops = 0
    while await is_stopped(database, after_batches=1 + stops):
        stops += 1

    assert stops >= 3
    assert foreseen["recorded calls"].rows > 0
    assert total(await foresee(database, 100 * DAY)) == {}
    assert await count(database, llm_calls) == 1  # of the run that waits for an answer


async def is_stopped(database: Database, *, after_batches: int) -> bool:
    """False: there were not so many left, and all is done."""
    failpoints.switch_on("runs.collecting.batch_done", failpoints.ACTIONS["raise"], on_hit=after_batches)
    try:
        await collect(database, 100 * DAY)
    except failpoints.FailpointError:
        return True
    finally:
        failpoints.switch_all_off()
    return False


async def test_a_batch_that_is_cut_off_leaves_no_trace(database: Database, driver: Driver) -> None:
    await fill(database, driver)
    before = dump(database.url)
    failpoints.switch_on("runs.collecting.before_commit", failpoints.ACTIONS["raise"])

    with pytest.raises(failpoints.FailpointError):
        await Collector(database, STORE, AGES, clock=LaterClock(100 * DAY)).age_runs()
    failpoints.switch_all_off()

    assert dump(database.url) == before


async def test_several_at_once_remove_everything_once(
    database: Database, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shadowgraph.runs.collecting.RUNS_AT_ONCE", 1)
    await fill(database, driver)
    foreseen = total(await foresee(database, 100 * DAY))

    parts: Sequence[Removed] = await asyncio.gather(*(collect(database, 100 * DAY) for _ in range(3)))

    assert total(add_up(*parts)) == foreseen
    assert total(await collect(database, 100 * DAY)) == {}


async def test_runs_that_go_on_meanwhile_are_not_harmed(
    database: Database, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As old as it can be: what ends is taken away at once."""
    monkeypatch.setattr("shadowgraph.runs.collecting.RUNS_AT_ONCE", 1)
    done = asyncio.Event()

    async def work() -> list[Run]:
        try:
            ended = await asyncio.gather(*(run_once(database, driver) for _ in range(4)))
            return [*ended, *[await run_once(database, driver, thread_id="talk") for _ in range(3)]]
        finally:
            done.set()

    async def collect_meanwhile() -> int:
        times = 0
        while not done.is_set():
            await collect(database, 100 * DAY)
            times += 1
        return times

    ended, times = await asyncio.gather(work(), collect_meanwhile())

    assert times > 1
    assert [run.status for run in ended] == [Status.COMPLETED] * 7
    async with database.read() as connection:
        outputs = [await load_json(connection, str(run.result_ref)) for run in ended]
    assert [len(output["output"]["log"]) for output in outputs] == [4, 4, 4, 4, 4, 8, 12]


async def test_one_step_that_fails_keeps_no_other_from_its_turn(
    database: Database, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_args: object, **_options: object) -> None:
        raise ValueError("told to")

    monkeypatch.setattr("shadowgraph.runs.collecting.age_runs", fail)
    await run_once(database, driver)
    await add_rows_of_a_day(database)

    await Housekeeper(database, STORE, AGES, clock=LaterClock(HOUR)).keep_house()

    assert await count(database, idempotency_keys) == 2
