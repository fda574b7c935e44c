"""The graphs of `tests/projects/foreign`: what they are given, what they ask of a model, and what they end with where nobody hosts them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx

from tests.support import plainly
from tests.support.deployments import submit
from tests.support.offline import offline_server
from tests.support.waiting import HTTP_POLL_SECONDS, wait_until

FOREIGN = Path(__file__).parents[1] / "projects" / "foreign"
WORDS = {"messages": [{"role": "user", "content": "Use count_words and spell_backwards on text: red apple"}]}
INPUTS: dict[str, Any] = {
    "agent": WORDS,
    "supervisor": WORDS,
    "fan_out": {"subjects": ["cats", "dogs", "owls"]},
    "person": {"topic": "rain"},
    "subgraph": {"heading": "tides"},
    "pydantic_state": {"topic": "tea"},
    "sync_only": {"text": "a long story"},
    "parallel": {"topic": "snow"},
}
CALLS = {
    "agent": 2,
    "supervisor": 7,
    "fan_out": 4,
    "person": 2,
    "subgraph": 3,
    "pydantic_state": 2,
    "sync_only": 2,
    "parallel": 3,
}
"""That each makes of its model, counted at the provider, when nothing happens to it."""
SIDE_BY_SIDE = {"fan_out": 3, "parallel": 3}
"""Calls that are under way at once; elsewhere there is one at a time."""


def run_plainly() -> dict[str, Any]:
    """What each graph ends with in a process of its own, by `graph.ainvoke`."""
    with offline_server() as url:
        done = subprocess.run(
            [sys.executable, plainly.__file__, str(FOREIGN / "graphs.py")],
            input=json.dumps(INPUTS),
            env={**os.environ, "GROQ_API_KEY": "any", "GROQ_BASE_URL": url},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    results: dict[str, Any] = without_ids(json.loads(done.stdout))
    return results


def output_of(run: dict[str, Any]) -> Any:
    return without_ids(run["result"]["output"])


def without_ids(value: Any) -> Any:
    """Each message gets a new one, and each call of a tool."""
    if isinstance(value, list):
        return [without_ids(item) for item in value]
    if isinstance(value, dict):
        return {key: without_ids(item) for key, item in value.items() if key != "id"}
    return value


def with_a_journal(folder: Path) -> Path:
    """The project at L1 for a server that has it at L0, too: `FOREIGN_LEVEL` would be for both. Its workflows are called `agent_L1` and so on."""
    files = {name: (FOREIGN / name).read_text() for name in ("graphs.py", "langgraph.json")}
    folder.mkdir()
    (folder / "graphs.py").write_text(files["graphs.py"].replace('os.environ.get("FOREIGN_LEVEL")', '"L1"'))
    graphs = {f"{kind}_L1": target for kind, target in json.loads(files["langgraph.json"])["graphs"].items()}
    (folder / "langgraph.json").write_text(json.dumps({"dependencies": ["."], "graphs": graphs}))
    return folder


async def begin(client: httpx.AsyncClient, kind: str, *, suffix: str = "") -> str:
    return await submit(client, {"workflow": kind + suffix, "input": INPUTS[kind]})


async def answer(client: httpx.AsyncClient, run_id: str) -> None:
    """As `plainly` does."""
    answered = await client.post(f"/runs/{run_id}/answer", json={"value": plainly.ANSWER})
    assert answered.is_success, answered.text


async def wait_until_served(client: httpx.AsyncClient, *, suffix: str = "") -> None:
    async def is_served() -> bool:
        return all([(await client.get(f"/workflows/{kind}{suffix}")).is_success for kind in INPUTS])

    what = "the project to be served"
    await wait_until(is_served, timeout_seconds=60, what=what, every_seconds=HTTP_POLL_SECONDS)
