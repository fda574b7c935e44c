"""Checkpoints, forks, comparisons and the state of a thread over HTTP, of runs that a real graph has driven."""

import operator
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

from shadowgraph.db.engine import Database
from shadowgraph.engine.checkpoints.savers import open_savers
from shadowgraph.engine.driver import Drive, Driver
from shadowgraph.engine.projects import LoadedWorkflow, Project, input_schema_of
from shadowgraph.engine.session import DriverParts
from shadowgraph.engine.writer import Writer
from shadowgraph.queue.inprocess import InProcessWakeups
from tests.support.api import V1, require_problem
from tests.support.runs import CLOCK, NoPorts, claim


class State(TypedDict, total=False):
    text: str
    plan: str
    log: Annotated[list[str], operator.add]


async def plan(state: State) -> State:
    return {"plan": "dig", "log": [state["text"]]}


async def work(state: State) -> State:
    return {"log": [f"{state['plan']} done"]}


def build_project() -> Project:
    builder = StateGraph(State)
    builder.add_node("plan", plan)
    builder.add_node("work", work)
    builder.add_edge(START, "plan")
    builder.add_edge("plan", "work")
    builder.add_edge("work", END)
    graph: Any = builder.compile()
    workflow = LoadedWorkflow("shapes", graph, input_schema_of(graph), {}, {}, "")
    return Project("test", Path("/nonexistent"), "digest", {"shapes": workflow})


class Played:
    """Starts runs over HTTP and drives them at once."""

    def __init__(self, client: httpx.AsyncClient, database: Database, driver: Driver) -> None:
        self._client, self._database, self._driver = client, database, driver
        self._project = build_project()

    async def run(self, text: str = "hello", **fields: Any) -> dict[str, Any]:
        body = {"workflow": "shapes", "input": {"text": text}, **fields}
        started = await self._client.post(f"{V1}/runs", json=body)
        assert started.status_code == 202, started.text
        return await self.drive(started.json())

    async def drive(self, run: dict[str, Any]) -> dict[str, Any]:
        await self._driver.drive(Drive(await claim(self._database)), self._project)
        return dict((await self._client.get(run["links"]["self"])).json())

    async def checkpoint_before(self, run: dict[str, Any], node: str) -> str:
        items = (await self._client.get(run["links"]["checkpoints"])).json()["items"]
        return str(next(item["checkpoint_id"] for item in items if item["next_nodes"] == [node]))


@pytest.fixture
async def played(client: httpx.AsyncClient, database: Database) -> AsyncIterator[Played]:
    async with open_savers(database.url) as savers:
        parts = DriverParts(database, Writer(database), savers, NoPorts(), InProcessWakeups(), CLOCK)
        yield Played(client, database, Driver(parts))


async def test_checkpoints_come_page_by_page_newest_first(client: httpx.AsyncClient, played: Played) -> None:
    run = await played.run()
    path = run["links"]["checkpoints"]

    whole = (await client.get(path)).json()
    pages = [(await client.get(path, params={"limit": 1})).json()]
    while pages[-1]["next_cursor"]:
        pages.append((await client.get(path, params={"limit": 1, "cursor": pages[-1]["next_cursor"]})).json())

    assert [item["superstep"] for item in whole["items"]] == [2, 1, 0, -1]
    assert [item["next_nodes"] for item in whole["items"][:3]] == [[], ["work"], ["plan"]]
    assert [page["items"][0] for page in pages] == whole["items"]
    assert whole["next_cursor"] is None


async def test_a_checkpoint_has_the_state_after_its_superstep(client: httpx.AsyncClient, played: Played) -> None:
    run = await played.run()
    checkpoint = await played.checkpoint_before(run, "work")

    shown = (await client.get(f"{run['links']['checkpoints']}/{checkpoint}")).json()

    assert shown["state"] == {"text": "hello", "plan": "dig", "log": ["hello"]}
    assert shown["next_nodes"] == ["work"]


async def test_a_run_that_has_not_started_has_no_checkpoints(client: httpx.AsyncClient) -> None:
    body = {"workflow": "shapes", "input": {"text": "x"}}
    run = (await client.post(f"{V1}/runs", json=body)).json()
    path = run["links"]["checkpoints"]

    assert (await client.get(path)).json() == {"items": [], "next_cursor": None}
    require_problem(await client.get(f"{path}/x"), 404, "checkpoint_not_found")
    fork = await client.post(run["links"]["fork"], json={"checkpoint_id": "x"})
    require_problem(fork, 409, "wrong_state")
    require_problem(await client.get(path, params={"cursor": "x"}), 422, "bad_cursor")


async def test_a_fork_with_an_edited_state_is_a_run_of_its_own(client: httpx.AsyncClient, played: Played) -> None:
    parent = await played.run()
    checkpoint = await played.checkpoint_before(parent, "work")

    response = await client.post(
        parent["links"]["fork"], json={"checkpoint_id": checkpoint, "state": {"plan": "climb"}}
    )
    fork = await played.drive(response.json())

    assert response.status_code == 202
    assert response.headers["location"] == fork["links"]["self"]
    assert (fork["parent_run_id"], fork["parent_checkpoint_id"]) == (parent["id"], checkpoint)
    assert fork["result"]["output"]["log"] == ["hello", "climb done"]
    children = (await client.get(parent["links"]["children"])).json()["items"]
    assert [child["id"] for child in children] == [fork["id"]]


async def test_a_fork_of_what_is_not_there_is_refused_at_once(client: httpx.AsyncClient, played: Played) -> None:
    parent = await played.run()

    for checkpoint in ("nowhere", "a\x00b"):
        response = await client.post(parent["links"]["fork"], json={"checkpoint_id": checkpoint})

        assert response.status_code in (404, 422), response.text
    assert (await client.get(parent["links"]["children"])).json()["items"] == []


async def test_two_runs_are_compared(client: httpx.AsyncClient, played: Played) -> None:
    parent = await played.run()
    checkpoint = await played.checkpoint_before(parent, "work")
    body = {"checkpoint_id": checkpoint, "state": {"plan": "climb"}}
    fork = await played.drive((await client.post(parent["links"]["fork"], json=body)).json())

    diff = (await client.get(f"{parent['links']['self']}/diff/{fork['id']}")).json()

    assert diff["lineage"] == {"relation": "ancestor", "common_ancestor": parent["id"]}
    assert diff["other"]["parent_checkpoint_id"] == checkpoint
    assert diff["input"] == diff["files"] == []
    assert {item["key"]: (item["run"], item["other"]) for item in diff["output"]} == {
        "plan": ("dig", "climb"),
        "log": (["hello", "dig done"], ["hello", "climb done"]),
    }
    assert "plan" in {item["node"] for item in diff["steps"] if item["change"] == "removed"}


async def test_a_run_is_compared_only_with_runs(client: httpx.AsyncClient, played: Played) -> None:
    run = await played.run()

    same = (await client.get(f"{run['links']['self']}/diff/{run['id']}")).json()

    assert same["lineage"]["relation"] == "same"
    assert [same[part] for part in ("input", "output", "files", "steps")] == [[], [], [], []]
    require_problem(await client.get(f"{run['links']['self']}/diff/x"), 404, "run_not_found")


async def test_a_thread_shows_the_state_that_its_next_run_continues(client: httpx.AsyncClient, played: Played) -> None:
    first = await played.run("one", thread_id="talk")
    second = await played.run("two", thread_id="talk")

    thread = (await client.get(second["links"]["thread"])).json()

    assert thread["state_run_id"] == second["id"]
    assert thread["state"]["log"] == ["one", "dig done", "two", "dig done"]
    assert [run["id"] for run in thread["runs"]] == [second["id"], first["id"]]
