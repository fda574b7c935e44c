"""F22: the connection is cut after COMMIT was sent and before its answer came back. The worker has to learn that it won, and once.

Every commit of a run is cut in turn, so all of them are here: checkpoints, steps, a call's start and end, the last transaction, a hand-over.
"""

import random
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from langchain_core.messages import HumanMessage

from shadowgraph import chat_model
from shadowgraph.core import failpoints
from shadowgraph.db.engine import Database
from shadowgraph.engine.driver import Drive, Driver
from shadowgraph.engine.projects import Project
from shadowgraph.llm.gateway import Gateway
from shadowgraph.llm.port import Target
from shadowgraph.llm.routes import only
from shadowgraph.llm.targets import Targets
from shadowgraph.tools.definitions import build_registry
from shadowgraph.wiring.ports import Ports
from tests.chaos.expectations import expect_no_trace_of_two_workers, expect_nothing_left_open, expect_one_end
from tests.chaos.matrix import whole_matrix
from tests.chaos.records import Observer, Record
from tests.support import graphs
from tests.support.llm import FakeProvider, says
from tests.support.proxy import TcpProxy, proxy_to
from tests.support.runs import CLOCK, claim, start_run

pytestmark = whole_matrix

COMMITS = 9
"""Of a run of one node with one call: three checkpoints, the last with the step's writes; the input's writes, the step's start, the call's start,
its live text and its end, and leaving."""


@dataclass(slots=True)
class Scene:
    proxy: TcpProxy
    database: Database
    """Through the proxy."""
    observer: Observer
    provider: FakeProvider

    async def drive(self, drive: Drive, project: Project) -> None:
        gateway = Gateway(
            Targets({"fake": self.provider}, routes=only(Target("fake", "fake-1"))), clock=CLOCK, rng=random.Random(1)
        )
        ports = Ports(gateway, build_registry(), CLOCK)
        async with graphs.driver_parts(self.database, ports=ports) as parts:
            await Driver(parts).drive(drive, project)

    def lose_commit(self, number: int) -> None:
        """The answer to the run's so-many-th commit."""
        failpoints.switch_on("engine.writer.before_commit", lambda: self.proxy.lose_answer_to(b"COMMIT"), on_hit=number)


@pytest.fixture
async def scene(postgresql_url: str) -> AsyncIterator[Scene]:
    async with proxy_to(postgresql_url, default_port=5432) as proxy:
        database = Database(proxy.url(postgresql_url))
        yield Scene(proxy, database, Observer(postgresql_url), FakeProvider(says("a line")))
        await database.close()


async def ask(state: graphs.State) -> graphs.State:
    answer = await chat_model("writer").ainvoke([HumanMessage("Say one thing")])
    return {"log": [answer.text]}


@pytest.mark.parametrize("number", range(1, COMMITS + 1))
async def test_f22_a_worker_that_did_not_hear_of_its_commit_goes_on_as_if_it_had(scene: Scene, number: int) -> None:
    run = await start_run(scene.database)
    drive = Drive(await claim(scene.database))
    scene.lose_commit(number)

    await scene.drive(drive, graphs.project(graphs.line({"ask": ask})))

    record = scene.observer.record(run.id)
    expect_lost_and_won(scene, record)
    assert record.status == "COMPLETED", record.run["error"]
    expect_one_end(record)
    assert record.output["log"] == ["a line"]
    assert record.run["lease_token"] == drive.run.lease_token + 1
    assert messages_for(scene, run.id) == ["created"]


def expect_lost_and_won(scene: Scene, record: Record) -> None:
    """The fault happened once, and nothing was done twice for it."""
    assert scene.proxy.answers_lost == 1
    assert len(scene.provider.requests) == 1
    assert [row["status"] for row in record.tables["llm_attempts"]] == ["done"]
    assert set(record.tries().values()) == {1}
    expect_nothing_left_open(record)
    expect_no_trace_of_two_workers(record)


def messages_for(scene: Scene, run_id: str) -> list[str]:
    rows = scene.observer.rows("SELECT payload FROM outbox WHERE payload->>'run_id' = :id ORDER BY id", id=run_id)
    return [row["payload"]["why"] for row in rows]


async def test_f22_no_commit_of_a_run_is_left_out(scene: Scene) -> None:
    """Else the test above would not cut the last ones."""
    await start_run(scene.database)
    drive = Drive(await claim(scene.database))
    scene.lose_commit(COMMITS + 1)

    await scene.drive(drive, graphs.project(graphs.line({"ask": ask})))

    assert scene.proxy.answers_lost == 0


async def test_f22_a_run_that_is_handed_back_is_handed_back_once(scene: Scene) -> None:
    run = await start_run(scene.database)
    drive = Drive(await claim(scene.database))

    async def ask_and_be_told_to_go(state: graphs.State) -> graphs.State:
        drive.control.request_drain("shutdown")
        return await ask(state)

    failpoints.switch_on("engine.driver.leaving", lambda: scene.lose_commit(1))
    await scene.drive(drive, graphs.project(graphs.line({"ask": ask_and_be_told_to_go, "more": ask})))

    record = scene.observer.record(run.id)
    expect_lost_and_won(scene, record)
    assert (record.status, record.run["reason"]) == ("QUEUED", "handoff")
    assert record.run["lease_token"] == drive.run.lease_token + 1
    assert record.event_types().count("run.queued") == 2
    assert messages_for(scene, run.id) == ["created", "handoff"]
