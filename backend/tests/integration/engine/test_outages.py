"""A database that is away for a moment fails no run."""

import asyncio
from typing import Any

from shadowgraph.core import failpoints
from shadowgraph.core.calls import (
    CallId,
    LlmJournal,
    ModelPort,
    Place,
    Purse,
    ToolJournal,
    ToolPort,
    ToolRecord,
    current_ports,
)
from shadowgraph.db.engine import Database
from shadowgraph.engine.driver import Drive, Driver
from shadowgraph.runs import repository
from shadowgraph.runs.states import Status
from shadowgraph.runs.takeover import take_orphans
from tests.support.graphs import State, driver_parts, line, project
from tests.support.proxy import TcpProxy, proxy_to
from tests.support.runs import CLOCK, NoModels, claim, start_run

CALL = CallId("0//n/1//0", "h", Place("", "n", 1, ""))


class OnlyLooksUp:
    """Ports whose calls do nothing but read the journal."""

    def __init__(self) -> None:
        self.found: list[object] = []

    def models(self, journal: LlmJournal, *, run_id: str, purse: Purse) -> ModelPort:
        return NoModels()

    def tools(self, journal: ToolJournal, *, run_id: str) -> ToolPort:
        ports = self

        class Lookup:
            async def call(self, *_: Any, **__: Any) -> Any:
                ports.found.append(await journal.find(CALL))

            def describe(self, name: str) -> Any: ...

        return Lookup()


async def away_for_a_moment(proxy: TcpProxy) -> asyncio.Task[None]:
    await proxy.shut()

    async def come_back() -> None:
        await asyncio.sleep(0.3)
        await proxy.open()

    return asyncio.create_task(come_back())


async def lost_after_its_first_node(database: Database) -> None:
    async with database.write() as connection:
        assert await take_orphans(connection, clock=CLOCK)


class Crash(BaseException): ...


def crash() -> None:
    raise Crash


async def test_a_run_waits_while_the_database_is_away(postgresql_url: str) -> None:
    ports, outages = OnlyLooksUp(), []
    async with proxy_to(postgresql_url, default_port=5432) as proxy:
        database = Database(proxy.url(postgresql_url))

        async def asks(state: State) -> State:
            here = current_ports.get()
            assert here is not None
            outages.append(await away_for_a_moment(proxy))
            await here.tools.call(None, CALL)  # type: ignore[arg-type]
            return {"log": ["asked"]}

        graph = project(line({"asks": asks}))
        await start_run(database)
        first = await claim(database)
        async with driver_parts(database, ports=ports) as parts:
            failpoints.switch_on("engine.step.started", crash)
            try:
                await Driver(parts).drive(Drive(first), graph)
            except Crash:
                await lost_after_its_first_node(database)
            again = await claim(database)
            outages.append(await away_for_a_moment(proxy))
            await Driver(parts).drive(Drive(again), graph)
        await asyncio.gather(*outages)

        async with database.read() as connection:
            ended = await repository.require_run(connection, first.id)
        await database.close()
    assert (ended.status, ended.error, ended.claims) == (Status.COMPLETED, None, 2)
    assert ports.found == [ToolRecord(CALL.key)]
    assert len(outages) == 2
