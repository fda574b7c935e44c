"""What is too large fails its run once, with a code that says so, and harms nothing else."""

import operator
from typing import Annotated, Any

import pytest
from typing_extensions import TypedDict

from shadowgraph.core.sizes import MAX_OUTPUT_BYTES, MAX_STATE_BYTES
from shadowgraph.db.engine import Database
from shadowgraph.engine.driver import Drive, Driver
from shadowgraph.runs import repository
from shadowgraph.runs.lifecycle import retry_run
from shadowgraph.runs.payloads import load_json
from shadowgraph.runs.run import Run
from shadowgraph.runs.states import Status
from tests.support.graphs import driver_parts, line, project
from tests.support.runs import CLOCK, claim, start_run


class Wide(TypedDict, total=False):
    text: str
    first: bytes
    second: bytes
    third: bytes
    log: Annotated[list[str], operator.add]


class Growing:
    """Each node adds so many bytes to a channel of its own, or to one that all share."""

    def __init__(self, size: int, *, shared: bool = False) -> None:
        self.ran: list[str] = []
        self._size = size
        self._shared = shared

    def node(self, name: str) -> Any:
        async def run(state: Wide) -> dict[str, Any]:
            self.ran.append(name)
            return {"log": ["x" * self._size]} if self._shared else {name: b"x" * self._size}

        return run

    @property
    def graph(self) -> Any:
        return line({f"node_{name}": self.node(name) for name in ("first", "second", "third")}, Wide)


async def drive(database: Database, graph: Any, **limits: Any) -> Run:
    run = await claim(database)
    async with driver_parts(database, **limits) as parts:
        await Driver(parts).drive(Drive(run), project(graph))
    return await reread(database, run)


async def reread(database: Database, run: Run) -> Run:
    async with database.read() as connection:
        return await repository.require_run(connection, run.id)


def code_of(run: Run) -> str:
    assert run.status is Status.FAILED
    assert run.error is not None
    return str(run.error["code"])


@pytest.mark.parametrize("shared", [False, True], ids=["channels apart", "one channel"])
async def test_a_state_that_grows_too_large_fails_the_run_once(database: Database, shared: bool) -> None:
    growing = Growing(2_000_000, shared=shared)
    await start_run(database)

    ended = await drive(database, growing.graph)
    async with database.write() as connection:
        await retry_run(connection, ended.id, who="local", clock=CLOCK)
    again = await drive(database, growing.graph)

    assert (code_of(ended), code_of(again)) == ("state_too_large", "state_too_large")
    assert again.claims == 2
    assert growing.ran == ["first", "second", "third"]  # what the last node returned was stored before


@pytest.mark.parametrize("size", [MAX_STATE_BYTES + 1, 50_000_000])
async def test_what_a_node_returns_may_not_be_larger_than_a_state(database: Database, size: int) -> None:
    growing = Growing(size)
    await start_run(database)

    ended = await drive(database, growing.graph)

    assert code_of(ended) == "state_too_large"
    assert ended.error is not None
    assert f"{MAX_STATE_BYTES:,}" in str(ended.error["message"])
    assert growing.ran == ["first"]
    assert ended.claims == 1


async def test_bytes_of_the_output_are_files_of_the_run(database: Database) -> None:
    await start_run(database)

    ended = await drive(database, Growing(400_000).graph)  # more bytes than a result may have
    async with database.read() as connection:
        files = await repository.list_artifacts(connection, ended.id)
        result = await load_json(connection, str(ended.result_ref))

    assert ended.status is Status.COMPLETED
    assert [(file.path, file.size) for file in files] == [
        (f"output/{name}", 400_000) for name in ("first", "second", "third")
    ]
    assert [result["output"][file.path.removeprefix("output/")] for file in files] == [
        {"artifact": file.path, "size": file.size, "sha256": file.sha256} for file in files
    ]


async def test_a_result_that_is_too_large_fails_the_run_once(database: Database) -> None:
    growing = Growing(400_000, shared=True)
    await start_run(database)

    ended = await drive(database, growing.graph)

    assert code_of(ended) == "result_too_large"
    assert ended.error is not None
    assert f"{MAX_OUTPUT_BYTES:,}" in str(ended.error["message"])
    assert growing.ran == ["first", "second", "third"]


@pytest.mark.parametrize(
    ("limits", "code"),
    [({"max_state_bytes": 5_000}, "state_too_large"), ({"max_output_bytes": 5_000}, "result_too_large")],
)
async def test_settings_move_the_limits(database: Database, limits: dict[str, int], code: str) -> None:
    await start_run(database)
    await start_run(database)

    refused = await drive(database, Growing(2_000, shared=True).graph, **limits)
    allowed = await drive(database, Growing(2_000, shared=True).graph)

    assert (code_of(refused), allowed.status) == (code, Status.COMPLETED)


async def test_a_neighbour_in_the_same_process_is_not_harmed(database: Database) -> None:
    await start_run(database)
    await start_run(database)
    async with driver_parts(database) as parts:
        driver = Driver(parts)
        first, second = await claim(database), await claim(database)
        await driver.drive(Drive(first), project(Growing(MAX_STATE_BYTES + 1).graph))
        await driver.drive(Drive(second), project(Growing(10).graph))

    assert (await reread(database, first)).status is Status.FAILED
    assert (await reread(database, second)).status is Status.COMPLETED
