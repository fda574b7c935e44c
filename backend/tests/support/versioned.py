"""A project whose runs say which code and which prompt they had, before and after a node that waits for a file."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from shadowgraph.versioning.archive import read_archive, write_archive
from tests.support.deployments import Deployment, submit, wait_for_status
from tests.support.processes import Process
from tests.support.snapshots import edited
from tests.support.waiting import HTTP_POLL_SECONDS, wait_until

CODE = """
import asyncio
from pathlib import Path
import operator
from typing import Annotated
from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

import shadowgraph
from marks import CODE


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    gate: str


def mark() -> State:
    return {"log": [f"{CODE}, {shadowgraph.prompt('tone').text.strip()}"]}


async def first(state: State) -> State:
    return mark()


async def hold(state: State) -> State:
    while state.get("gate") and not Path(state["gate"]).exists():
        await asyncio.sleep(0.02)
    return {}


async def second(state: State) -> State:
    return mark()


builder = StateGraph(State)
builder.add_sequence([first, hold, second])
builder.add_edge(START, "first")
builder.add_edge("second", END)
graph = builder.compile()
"""
PROJECT = {"agent.py": CODE, "marks.py": "CODE = 'code 1'\n", "prompts/tone.md": "tone 1\n"}


@dataclass(slots=True)
class Scene:
    deployment: Deployment
    project: Path
    gate: Path

    async def submit(self, client: httpx.AsyncClient, *, is_held: bool = False, **fields: Any) -> str:
        state = {"log": [], **({"gate": str(self.gate)} if is_held else {})}
        return await submit(client, {"workflow": "agent", "input": state, **fields})

    async def run(self, client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
        return await wait_for_status(client, await self.submit(client, **fields))

    async def wait_until_held(self, client: httpx.AsyncClient, run_id: str) -> None:
        async def is_held() -> bool:
            steps = (await client.get(f"/runs/{run_id}/steps")).json()["items"]
            return any(step["node"] == "hold" for step in steps)

        await wait_until(is_held, timeout_seconds=30, what="the run to wait", every_seconds=HTTP_POLL_SECONDS)


async def wait_for_release(client: httpx.AsyncClient) -> None:
    async def is_there() -> bool:
        return (await client.get("/workflows/agent/release")).is_success

    await wait_until(is_there, timeout_seconds=30, what="the first version", every_seconds=HTTP_POLL_SECONDS)


async def deploy_prompt(client: httpx.AsyncClient, text: str) -> str:
    """The new version's label."""
    body = {"base_version": "v1", "files": {"prompts/tone.md": text}}
    answer = await client.post("/workflows/agent/versions", json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["label"])


async def deploy_code(client: httpx.AsyncClient, changes: Mapping[str, str]) -> str:
    """An archive of v1 with other texts, as a build of the edited project makes it; the new version's label."""
    digest = (await client.get("/versions/v1", params={"workflow": "agent"})).json()["snapshot_digest"]
    whole = read_archive((await client.get(f"/snapshots/{digest}/export.zip")).content)
    archive = write_archive(edited(whole, changes))
    headers = {"content-type": "application/zip"}
    answer = await client.post("/workflows/agent/versions", content=archive, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["label"])


async def promote(client: httpx.AsyncClient, version: str, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/workflows/agent/promote", json={"version": version, **fields})
    assert answer.is_success, answer.text
    return dict(answer.json())


def marks(run: dict[str, Any]) -> list[str]:
    assert run["status"] == "COMPLETED", run["error"]
    return list(run["result"]["output"]["log"])


async def kill(worker: Process | None) -> None:
    assert worker is not None
    worker.kill()
    await worker.wait_for_end()
