"""What a person does to runs, all from the command line: pause, edit, fork, compare, answer, and hold a conversation."""

import asyncio
import io
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from shadowgraph.cli.app import run
from tests.e2e.conftest import settings_for
from tests.support.deployments import Deployment, Kind, list_steps
from tests.support.processes import BACKEND, Zygote, stage
from tests.support.waiting import wait_until

PROJECT = BACKEND / "tests" / "projects" / "approval"
RUN = ("run", "--workflow", "approval", "--input", "-")


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Person:
    """Gives commands, without a terminal, to a server that runs in processes of its own."""

    url: str
    capture: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch

    def say(self, *arguments: str, stdin: str = "") -> Said:
        self.patch.setattr(sys, "stdin", io.StringIO(stdin))
        self.capture.readouterr()
        code = run(arguments)
        return Said(code, *self.capture.readouterr())

    def start(self, text: str, *options: str, ask: bool = False, gate: Path | None = None) -> Said:
        asked = {"text": text, "ask": ask, "gate": str(gate or "")}
        return self.say(*RUN, *options, stdin=json.dumps(asked))

    def wait_for_node(self, run_id: str, node: str) -> None:
        async def wait() -> None:
            async with httpx.AsyncClient(base_url=self.url) as client:

                async def has_begun() -> bool:
                    return any(step["node"] == node for step in await list_steps(client, run_id))

                await wait_until(has_begun, timeout_seconds=30, what=f"{node} to begin")

        asyncio.run(wait())


@pytest.fixture(params=["embedded", "distributed"])
def person(
    request: pytest.FixtureRequest,
    zygote: Zygote,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Person]:
    kind: Kind = request.param
    with stage(zygote, tmp_path, **settings_for(kind, request)) as prepared:
        deployment = Deployment(kind, prepared, projects=[PROJECT])
        asyncio.run(start(deployment))
        for name in ("SHADOWGRAPH_HOME", "HOME"):
            monkeypatch.setenv(name, str(tmp_path))
        monkeypatch.setenv("SHADOWGRAPH_URL", deployment.url)
        yield Person(deployment.url, capsys, monkeypatch)


async def start(deployment: Deployment) -> None:
    """Until the project is served."""
    await deployment.start()
    async with deployment.client() as client:

        async def is_loaded() -> bool:
            return (await client.get("/workflows/approval")).is_success

        await wait_until(is_loaded, timeout_seconds=60, what="the project to be served")


def test_a_person_pauses_edits_forks_compares_and_answers(person: Person, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    run_id = person.start("rain", "--detach", ask=True, gate=gate).out.strip()
    person.wait_for_node(run_id, "draft")

    # pause it in the middle of a node
    asked = person.say("runs", "pause", run_id)
    gate.touch()
    paused = person.say("runs", "watch", run_id)
    assert asked.out == f"{run_id}  RUNNING, pausing at the next node\n"
    assert paused.code == 13
    assert f"fix: shadowgraph runs resume {run_id}" in paused.err

    # look at the plan, and fork with another one
    listed = (person.say("runs", "checkpoints", run_id, "--json")).json["items"]
    checkpoint = next(item["checkpoint_id"] for item in listed if item["next_nodes"] == ["draft"])
    shown = person.say("runs", "checkpoints", run_id, "--show", checkpoint)
    assert json.loads(shown.out)["plan"] == "a poem about rain"
    change = ("--checkpoint", checkpoint, "--set", "plan=a song about snow")
    fork_id = (person.say("runs", "fork", run_id, *change, "--json")).json["id"]

    # the fork asks, and says how to answer
    waiting = person.say("runs", "watch", fork_id)
    (question,) = (person.say("approvals", "list", "--run", fork_id, "--json")).json["items"]
    assert waiting.code == 13
    assert f"fix: shadowgraph approvals answer {question['id']} --yes (or --no)" in waiting.err
    assert "Publish this? This is a song about snow." in (person.say("approvals", "show", question["id"])).out
    refused = person.say("approvals", "answer", question["id"], "--value", '{"approved": "perhaps"}')
    answered = person.say("approvals", "answer", question["id"], "--yes")
    again = person.say("approvals", "answer", question["id"], "--yes")
    assert (refused.code, answered.code, again.code) == (2, 0, 6), again.err
    published = person.say("runs", "watch", fork_id, "--json")
    assert published.code == 0
    assert published.json["result"]["output"]["conversation"] == ["This is a song about snow."]

    # the first one goes on, and is told no
    assert (person.say("runs", "resume", run_id)).code == 0
    assert (person.say("runs", "watch", run_id)).code == 13
    assert (person.say("approvals", "answer", run_id, "--no")).code == 0
    assert (person.say("runs", "watch", run_id)).code == 0

    # compare the two
    compared = person.say("runs", "diff", run_id, fork_id)
    assert "the other was forked from it" in compared.out
    assert '~ output.plan\n    - "a poem about rain"\n    + "a song about snow"\n' in compared.out
    assert '    - ["(not published)"]\n    + ["This is a song about snow."]\n' in compared.out


def test_a_person_holds_a_conversation_of_three_turns(person: Person) -> None:
    turns = [person.start(text, "--thread", "talk", "--json").json for text in ("sun", "moon", "stars")]
    shown = (person.say("threads", "show", "talk", "--json")).json
    listed = (person.say("threads", "list", "--json")).json["items"]

    said = [f"This is a poem about {text}." for text in ("sun", "moon", "stars")]
    assert [turn["result"]["output"]["conversation"] for turn in turns] == [said[:1], said[:2], said]
    assert shown["state"]["conversation"] == said
    assert [run["id"] for run in shown["runs"]] == [turn["id"] for turn in reversed(turns)]
    assert [(thread["thread_id"], thread["run_count"]) for thread in listed] == [("talk", 3)]


def test_a_second_run_on_a_thread_is_refused_or_waits_in_line(person: Person, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    options = ("--detach", "--thread", "talk")
    first = person.start("one", *options, gate=gate)

    refused = person.start("two", *options)
    queued = person.start("three", *options, "--enqueue")
    gate.touch()
    ended = person.say("runs", "watch", queued.out.strip(), "--json")

    assert (first.code, refused.code, queued.code) == (0, 6, 0)
    assert first.out.strip() in refused.err
    said = [f"This is a poem about {text}." for text in ("one", "three")]
    assert ended.json["result"]["output"]["conversation"] == said
