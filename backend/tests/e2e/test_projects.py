"""Projects of several people on one server: one is broken, one brings its own input, output and limits."""

import base64
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.deployments import Kind, list_steps, submit, wait_for_status
from tests.support.processes import Stage, Zygote, free_port, stage
from tests.support.projects import write_project
from tests.support.waiting import wait_until

MIRROR = '''
"""Turns a picture round."""

from typing import Annotated, TypedDict

from langchain_core.messages import AIMessage, AnyMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import END, START, StateGraph, add_messages


class State(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    picture: bytes
    size: int


def turn(state: State) -> dict:
    text = f"{state['messages'][-1].content}: done"
    return {"messages": [AIMessage([{"type": "text", "text": text}])], "picture": state["picture"][::-1]}


async def make(config):
    builder = StateGraph(State)
    builder.add_node(turn)
    builder.add_edge(START, "turn")
    builder.add_edge("turn", END)
    return builder.compile(checkpointer=InMemorySaver())
'''


async def test_a_foreign_project_is_served_beside_a_broken_one(zygote: Zygote, tmp_path: Path) -> None:
    options = "[workflow.mirror]\ntimeout_s = 50\n"
    files = {"src/mirror/graph.py": MIRROR, "src/mirror/__init__.py": "", "shadowgraph.toml": options}
    write_project(tmp_path / "fine", files, graphs={"mirror": {"path": "mirror.graph:make"}})
    write_project(tmp_path / "broken", {"agent.py": "x = 1\nimport no_such_module"})
    port = free_port()

    with stage(zygote, tmp_path, PORT=str(port)) as prepared:
        process = prepared.start("up", "--project", "broken", "--project", "fine")
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=70) as client:

            async def find_listed() -> dict[str, Any] | None:
                assert process.is_alive, process.tail()
                with suppress(httpx.TransportError):
                    page: dict[str, Any] = (await client.get("/workflows")).json()
                    names = {workflow["name"] for workflow in page["items"]}
                    return page if page["broken_projects"] and names >= {"mirror", "pipeline"} else None
                return None

            listed = await wait_until(find_listed, timeout_seconds=60, what="both projects to be judged")
            picture = base64.b64encode(b"abc").decode()
            value = {"messages": [{"role": "user", "content": "turn it"}], "picture": picture}
            run = (await client.post("/runs?wait=60", json={"workflow": "mirror", "input": value})).json()
            refused = await client.post("/runs", json={"workflow": "mirror", "input": {**value, "pciture": ""}})
            turned = await client.get(f"/runs/{run['id']}/artifacts/{run['result']['output']['picture']['artifact']}")

    [broken] = listed["broken_projects"]
    assert (broken["project"], broken["errors"][-1]["pointer"]) == ("broken", "agent.py:2")
    assert (run["status"], run["result"]["text"]) == ("COMPLETED", "turn it: done")
    assert run["deadline_at"] is not None
    assert turned.content == b"cba"
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "/input/pciture")


RELEASED = """
import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from langgraph.graph import END, START, StateGraph


@dataclass
class Ticket:
    place: str


class State(TypedDict, total=False):
    gate: str
    ticket: Ticket
    said: str


async def book(state: State) -> State:
    return {"ticket": Ticket("Lisbon")}


async def wait(state: State) -> State:
    while not Path(state["gate"]).exists():
        await asyncio.sleep(0.02)
    return {}


async def tell(state: State) -> State:
    return {"said": f"RELEASE: {type(state['ticket']).__name__} to {state['ticket'].place}"}


builder = StateGraph(State)
for before, node in ((START, book), ("book", wait), ("wait", tell)):
    builder.add_node(node)
    builder.add_edge(before, node.__name__)
builder.add_edge("tell", END)
graph = builder.compile()
"""


def write_release(folder: Path) -> Path:
    files = {"agent.py": RELEASED.replace("RELEASE", folder.name), "shadowgraph.toml": 'name = "trips"\n'}
    return write_project(folder, files, graphs={"trip": "./agent.py:graph"})


@pytest.mark.parametrize("staged", ["distributed"], indirect=True)
async def test_a_run_ends_on_its_code_under_the_next_release_that_lies_in_another_folder(
    staged: tuple[Kind, Stage], tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    old, new = write_release(tmp_path / "41"), write_release(tmp_path / "42")
    _, url = await staged[1].start_server("api", port=free_port())
    leaving = staged[1].start("worker", "--project", str(old))
    async with httpx.AsyncClient(base_url=url, timeout=70) as client:
        await wait_until_worked_by(client, "trip", 1)
        run_id = await submit(client, {"workflow": "trip", "input": {"gate": str(gate)}})
        await wait_until_in_node(client, run_id, "wait")
        staged[1].start("worker", "--project", str(new))
        await wait_until_worked_by(client, "trip", 2)

        leaving.kill()
        await leaving.wait_for_end()
        gate.touch()
        run = await wait_for_status(client, run_id)
        listed = (await client.get("/workflows")).json()

    assert (run["status"], run["result"]["output"]["said"]) == ("COMPLETED", "41: Ticket to Lisbon")
    assert {item["project"] for item in listed["items"] if item["name"] == "trip"} == {"trips"}
    assert listed["broken_projects"] == []


async def wait_until_in_node(client: httpx.AsyncClient, run_id: str, node: str) -> None:
    async def is_in_node() -> bool:
        return any(step["node"] == node for step in await list_steps(client, run_id))

    await wait_until(is_in_node, timeout_seconds=60, what=f"{node} to begin")


async def wait_until_worked_by(client: httpx.AsyncClient, workflow: str, workers: int) -> None:
    async def is_worked_by() -> bool:
        answer = await client.get(f"/workflows/{workflow}")
        return answer.is_success and answer.json()["workers"] == workers

    await wait_until(is_worked_by, timeout_seconds=60, what=f"{workers} workers to serve {workflow}")
