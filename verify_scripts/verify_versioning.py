"""Shows that runs end on the version that they began with, whatever is deployed, promoted, rolled back or killed meanwhile. Needs no key and
no running server: it starts its own, with a project of its own, in a folder that it removes again.

    python verify_scripts/verify_versioning.py
"""

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from shadowgraph.versioning.archive import read_archive, write_archive
from shadowgraph.versioning.chain import ReleaseEvent, check_chain
from shadowgraph.versioning.release import Pointer
from shadowgraph.versioning.snapshot import seal

SHADOWGRAPH = (sys.executable, "-m", "shadowgraph.main")
AT_REST = ("COMPLETED", "FAILED", "CANCELLED", "PAUSED")
SECONDS = 60
SUBMITTERS = 4
CHANGES = 12

AGENT = """
import asyncio
import operator
import os
from pathlib import Path
from typing import Annotated

from langgraph.graph import END, START, StateGraph
from typing_extensions import TypedDict

import shadowgraph
from marks import CODE


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    pid: int
    gate: str


def mark(agent: str) -> State:
    return {"log": [f"{CODE}, {shadowgraph.prompt(agent).text.strip()}"], "pid": os.getpid()}


async def planner(state: State) -> State:
    return mark("planner")


async def hold(state: State) -> State:
    while state.get("gate") and not Path(state["gate"]).exists():
        await asyncio.sleep(0.05)
    return {}


async def coder(state: State) -> State:
    return mark("coder")


builder = StateGraph(State)
builder.add_sequence([("planner", planner), ("hold", hold), ("coder", coder)])
builder.add_edge(START, "planner")
builder.add_edge("coder", END)
graph = builder.compile()
"""
FILES = {
    "agent.py": AGENT,
    "marks.py": "CODE = 'code 1'\n",
    "prompts/planner.md": "prompt 1\n",
    "prompts/coder.md": "prompt 1\n",
    "langgraph.json": '{"graphs": {"agent": "./agent.py:graph"}, "dependencies": ["."]}',
}
"""Two nodes that say which code and prompt they have, and one between them that waits for a file."""


class Server:
    """`shadowgraph up` on a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "project"
        self.url = f"http://127.0.0.1:{_free_port()}"
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        own = {"SHADOWGRAPH_HOME": str(folder), "SHADOWGRAPH_URL": self.url, "LEASE_SECONDS": "3"}
        self._env = {**kept, "HOME": str(folder), **own}
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [*SHADOWGRAPH, "up", "--project", str(self.project), "--isolation", "none"]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--port", self.url.rpartition(":")[2]],
                cwd=self.folder,
                env=self._env,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """kill -9."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(timeout=SECONDS)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(timeout=SECONDS)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def command(self, *arguments: str) -> str:
        ended = subprocess.run(
            [*SHADOWGRAPH, *arguments], cwd=self.folder, env=self._env, capture_output=True, text=True, check=False
        )
        if ended.returncode != 0:
            raise SystemExit(f"FAIL  {' '.join(arguments)}: {ended.stdout}{ended.stderr}")
        return ended.stdout


@dataclass(frozen=True)
class Scene:
    server: Server
    client: httpx.Client
    gates: Iterator[int]

    def start(self, *, gate: Path | None = None, **fields: object) -> dict[str, Any]:
        state = {"log": [], **({"gate": str(gate)} if gate else {})}
        body = {"workflow": "agent", "input": state, **fields}
        return dict(self.client.post("/runs", json=body).raise_for_status().json())

    def held(self, **fields: object) -> tuple[dict[str, Any], Path]:
        """A run that waits between its nodes, and the file that lets it go on."""
        gate = self.server.folder / f"gate-{next(self.gates)}"
        run = self.start(gate=gate, **fields)
        _wait(lambda: self._is_held(run), "a run to wait between its nodes")
        return run, gate

    def _is_held(self, run: dict[str, Any]) -> bool:
        return any(step["node"] == "hold" for step in self.get(f"/runs/{run['id']}/steps")["items"])

    def finish(self, run: dict[str, Any]) -> dict[str, Any]:
        """The run at rest."""
        return dict(_wait(lambda: self._at_rest(run["id"]), f"run {run['id']} to come to rest"))

    def _at_rest(self, run_id: str) -> dict[str, Any] | None:
        run = self.get(f"/runs/{run_id}")
        return run if run["status"] in AT_REST else None

    def run(self, **fields: object) -> dict[str, Any]:
        return self.finish(self.start(**fields))

    def get(self, path: str, **params: object) -> dict[str, Any]:
        return dict(self.client.get(path, params=params).raise_for_status().json())  # type: ignore[arg-type]

    def promote(self, version: str, workflow: str = "agent", **fields: object) -> dict[str, Any]:
        answer = self.client.post(f"/workflows/{workflow}/promote", json={"version": version, **fields})
        return dict(answer.raise_for_status().json())

    def rollback(self, **fields: object) -> dict[str, Any]:
        return dict(self.client.post("/workflows/agent/rollback", json=fields).raise_for_status().json())

    def deploy_edited(self, changes: dict[str, str], workflow: str = "agent") -> str:
        """An archive of v1 with other texts, as a build of the edited project makes it; the label."""
        digest = self.get("/versions/v1", workflow=workflow)["snapshot_digest"]
        whole = read_archive(self.client.get(f"/snapshots/{digest}/export.zip").raise_for_status().content)
        bodies = {**whole.bodies, **{path: text.encode() for path, text in changes.items()}}
        snapshot = seal(replace(whole.manifest, files={}, prompts={}, nodes={}, facets={}), bodies)
        answer = self.client.post(
            f"/workflows/{workflow}/versions",
            content=write_archive(snapshot),
            headers={"content-type": "application/zip"},
        )
        return str(answer.raise_for_status().json()["label"])

    def restart(self) -> None:
        """After kill -9."""
        self.server.kill()
        self.server.start()
        _wait(lambda: _answers(self.client), "the server to answer again")


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        server = Server(Path(name))
        for path, text in FILES.items():
            (server.project / path).parent.mkdir(parents=True, exist_ok=True)
            (server.project / path).write_text(text)
        server.start()
        try:
            with httpx.Client(base_url=server.url, timeout=30) as client:
                scene = Scene(server, client, itertools.count())
                _wait(lambda: _is_released(client), "the first version")
                a_prompt_is_deployed_and_promoted(scene)
                other_code_runs_beside(scene)
                rollbacks_do_not_come_back(scene)
                a_thread_moves_at_its_next_turn(scene)
                runs_under_way_follow_the_policy(scene)
                nothing_is_mixed_under_load(scene)
                a_node_of_the_built_in_pipeline_changes(scene)
        finally:
            server.stop()
    sys.stdout.write("ok: all of it holds\n")
    return 0


def a_prompt_is_deployed_and_promoted(scene: Scene) -> None:
    check("the first start makes the deployed project version 1, active", active(scene) == "v1")
    begun, gate = scene.held()
    (scene.server.project / "prompts/coder.md").write_text("prompt 2\n")
    deployed = json.loads(scene.server.command("versions", "deploy", str(scene.server.project), "--json"))
    label = deployed["items"][0]["label"]
    diff = scene.get("/snapshots/diff", a="v1", b=label, workflow="agent")
    check("an edited prompt is a change of exactly its node", [node["node"] for node in diff["nodes"]] == ["coder"])
    check("it takes nothing to run it", (label, diff["requires"]) == ("v2", "nothing"))
    check("no run begins with it before it is promoted", told(scene.run()) == (["code 1, prompt 1"] * 2, "v1"))
    scene.promote("v2")
    check("then runs do", told(scene.run()) == (["code 1, prompt 1", "code 1, prompt 2"], "v2"))
    scene.restart()
    gate.touch()
    ended = scene.finish(begun)
    check(
        "a run that began before ends on its prompt, also after kill -9",
        told(ended) == (["code 1, prompt 1"] * 2, "v1"),
    )
    check("a run may name its version", told(scene.run(version="v1")) == (["code 1, prompt 1"] * 2, "v1"))


def other_code_runs_beside(scene: Scene) -> None:
    label = scene.deploy_edited({"marks.py": "CODE = 'code 3'\n"})
    diff = scene.get("/snapshots/diff", a="v1", b=label, workflow="agent")
    check("changed code needs a process of its own", (label, diff["requires"]) == ("v3", "code worker"))
    scene.promote("v3")
    begun, gate = scene.held()
    after = scene.run()
    check("runs of it have the new code", told(after) == (["code 3, prompt 1"] * 2, "v3"))
    check("in a process beside the server", after["result"]["output"]["pid"] != scene.server.pid)
    scene.promote("v2")
    back = scene.run()
    check("the old code is still there", told(back)[1] == "v2" and back["result"]["output"]["pid"] == scene.server.pid)
    scene.restart()
    gate.touch()
    check("a run ends on its code, also after kill -9", told(scene.finish(begun)) == (["code 3, prompt 1"] * 2, "v3"))


def rollbacks_do_not_come_back(scene: Scene) -> None:
    scene.rollback()
    first = active(scene)
    again = scene.client.post("/workflows/agent/rollback", json={})
    check("a rollback leaves its version", first != "v2" and again.status_code in (200, 409))
    check("and another one does not come back to it", active(scene) != "v2")


def a_thread_moves_at_its_next_turn(scene: Scene) -> None:
    if active(scene) != "v1":
        scene.promote("v1", force=True, reason="for what follows")
    turn, gate = scene.held(thread_id="talk")
    following = scene.start(thread_id="talk", on_busy="enqueue")
    scene.promote("v2", force=True, reason="for what follows")
    gate.touch()
    check("a conversation keeps its version inside a turn", told(scene.finish(turn))[1] == "v1")
    check("and moves to the new one at the next", told(scene.finish(following))[1] == "v2")


def runs_under_way_follow_the_policy(scene: Scene) -> None:
    outcomes = {}
    for policy in ("restart", "cancel", "hold"):
        if active(scene) != "v2":
            scene.promote("v2", force=True, reason="again")
        begun, gate = scene.held()
        scene.promote("v1", force=True, reason="back", in_flight=policy)
        gate.touch()
        outcomes[policy] = scene.finish(begun)
    check("restart: it starts over on the new version", told(outcomes["restart"]) == (["code 1, prompt 1"] * 2, "v1"))
    check("hold: it waits for a person", outcomes["hold"]["status"] == "PAUSED")
    check("cancel: it is over", outcomes["cancel"]["status"] == "CANCELLED")
    resumed = scene.client.post(f"/runs/{outcomes['hold']['id']}/resume").raise_for_status().json()
    ended = scene.finish(_after_pause(scene, resumed))
    check("a held run that is resumed ends on its own version", told(ended)[1] == "v2")


def _after_pause(scene: Scene, run: dict[str, Any]) -> dict[str, Any]:
    _wait(lambda: scene.get(f"/runs/{run['id']}")["status"] != "PAUSED", "the run to go on")
    return run


def nothing_is_mixed_under_load(scene: Scene) -> None:
    is_over, between = threading.Event(), list[dict[str, Any]]()

    def submit() -> list[dict[str, Any]]:
        found = []
        while not is_over.is_set():
            found.append(scene.run())
        return found

    with ThreadPoolExecutor(SUBMITTERS) as pool:
        submitting = [pool.submit(submit) for _ in range(SUBMITTERS)]
        try:
            for number in range(CHANGES):
                target = "v2" if active(scene) == "v1" else "v1"
                policy = ("finish", "restart")[number % 2]
                scene.promote(target, force=True, reason="under load", in_flight=policy)
                between.append(scene.run())
        finally:
            is_over.set()
        ended = [*between, *(run for submitted in submitting for run in submitted.result())]
    expected = {"v1": ["code 1, prompt 1"] * 2, "v2": ["code 1, prompt 1", "code 1, prompt 2"]}
    mixed = [run for run in ended if told(run)[0] != expected[told(run)[1]]]
    versions = {told(run)[1] for run in ended}
    check(f"{len(ended)} runs under {CHANGES} changes of the release: none is mixed", not mixed)
    check("and both versions had runs", versions == {"v1", "v2"})
    trail = scene.get("/workflows/agent/release/events", limit=500, verify=True)
    revision = scene.get("/workflows/agent/release")["revision"]
    check(
        "as many events as revisions, and the chain is whole",
        trail["verification"] == {"ok": True, "checked": revision, "problems": []},
    )
    check("a tampered event is found", tampering_is_found(scene, trail["items"]))


def tampering_is_found(scene: Scene, newest_first: list[dict[str, Any]]) -> bool:
    events = [_event(item) for item in reversed(newest_first)]
    after = events[-1].after
    pointer = Pointer(
        "agent",
        events[-1].revision,
        after["active_version"],
        previous=after["previous_version"],  # type: ignore[arg-type]
    )
    changed = [replace(event, reason="nothing happened") if event.revision == 3 else event for event in events]
    return not list(check_chain(events, pointer)) and [item.revision for item in check_chain(changed, pointer)][:1] == [
        3
    ]


def _event(item: dict[str, Any]) -> ReleaseEvent:
    return ReleaseEvent(**{**item, "at": datetime.fromisoformat(item["at"])})


def a_node_of_the_built_in_pipeline_changes(scene: Scene) -> None:
    edit = {"base_version": "v1", "files": {"prompts/coder.md": "You write the files of the plan.\n"}}
    scene.client.post("/workflows/pipeline/versions", json=edit).raise_for_status()
    diff = scene.get("/snapshots/diff", a="v1", b="v2", workflow="pipeline")
    check(
        "an edited prompt of the pipeline is a change of the coder",
        [node["node"] for node in diff["nodes"]] == ["coder"],
    )
    whole = read_archive(
        scene.client.get(
            f"/snapshots/{scene.get('/versions/v1', workflow='pipeline')['snapshot_digest']}/export.zip"
        ).content
    )
    text = whole.bodies["nodes/finalizer.py"].decode() + "\nCHANGED = True\n"
    label = scene.deploy_edited({"nodes/finalizer.py": text}, "pipeline")
    scene.promote(label, "pipeline")
    run = scene.finish(dict(scene.client.post("/runs", json={"query": "Build a snake game"}).raise_for_status().json()))
    check("changed code of the pipeline runs, too", (run["status"], run["version"]) == ("COMPLETED", label))


def told(run: dict[str, Any]) -> tuple[list[str], str]:
    """What its nodes said, and its version."""
    if run["status"] != "COMPLETED":
        raise SystemExit(f"FAIL  {run['id']} is {run['status']}: {run['error']}")
    return run["result"]["output"]["log"], run["version"]


def active(scene: Scene) -> str:
    return str(scene.get("/workflows/agent/release")["active"]["label"])


def check(what: str, holds: bool) -> None:
    sys.stdout.write(f"{'ok  ' if holds else 'FAIL'}  {what}\n")
    sys.stdout.flush()
    if not holds:
        raise SystemExit(1)


def _wait(condition: Callable[[], Any], what: str) -> Any:
    until = time.monotonic() + SECONDS
    while not (found := condition()):
        if time.monotonic() > until:
            raise SystemExit(f"FAIL  waited {SECONDS} s for {what}")
        time.sleep(0.05)
    return found


def _answers(client: httpx.Client) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return client.get("/readyz").is_success
    return False


def _is_released(client: httpx.Client) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return all(client.get(f"/workflows/{name}/release").is_success for name in ("agent", "pipeline"))
    return False


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
