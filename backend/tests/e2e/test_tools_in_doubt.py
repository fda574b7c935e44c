"""kill -9 while a tool that writes is under way: the run waits for a person, who answers over HTTP or on the command line."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from shadowgraph.cli.app import run as run_command
from tests.e2e.conftest import settings_for
from tests.support.deployments import Deployment, Kind, list_events, submit, wait_for_status
from tests.support.processes import BACKEND, Process, Zygote, stage

LETTERS = BACKEND / "tests" / "projects" / "letters"
STARTED, RAN = "engine.tool.started", "engine.tool.ran"


@dataclass
class Scene:
    deployment: Deployment
    client: httpx.AsyncClient
    outbox: Path
    capture: pytest.CaptureFixture[str]

    async def begin(self, failpoint: str, *people: str, way: str = "alone") -> str:
        """The run's id; its worker has died."""
        doomed = await self._start_doomed(failpoint)
        asked = {"people": people, "way": way, "outbox": str(self.outbox)}
        run_id = await submit(self.client, {"workflow": "letters", "input": asked})
        await doomed.wait_for_end()
        return run_id

    async def _start_doomed(self, failpoint: str) -> Process:
        await self.deployment.start(SHADOWGRAPH_FAILPOINTS=failpoint)
        self.client.base_url = httpx.URL(self.deployment.url)
        assert self.deployment.worker is not None
        return self.deployment.worker

    async def questions(self, run_id: str) -> list[dict[str, Any]]:
        """What the run asks, once it waits without a worker."""
        run = await wait_for_status(self.client, run_id, "AWAITING_HUMAN")
        asked: list[dict[str, Any]] = run["interactions"]
        return asked

    async def answer(self, run_id: str, question: dict[str, Any], value: Any) -> httpx.Response:
        body = {"interaction_id": question["id"], "value": value}
        return await self.client.post(f"/runs/{run_id}/answer", json=body)

    async def say(self, *arguments: str) -> tuple[int, str]:
        """A command: its exit code, and what it printed."""
        self.capture.readouterr()
        code = await asyncio.to_thread(run_command, [*arguments, "--url", self.deployment.url])
        return code, self.capture.readouterr().out

    def sent(self) -> Counter[str]:
        return Counter(self.outbox.read_text().split()) if self.outbox.exists() else Counter()


@pytest.fixture(params=["embedded", "distributed"])
async def scene(
    request: pytest.FixtureRequest,
    zygote: Zygote,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Scene]:
    for name in ("SHADOWGRAPH_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    kind: Kind = request.param
    with stage(zygote, tmp_path, **settings_for(kind, request)) as prepared:
        async with httpx.AsyncClient(timeout=70) as client:
            yield Scene(Deployment(kind, prepared, projects=[LETTERS]), client, tmp_path / "outbox", capsys)


def asked_about(questions: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {question["question"]["arguments"]["to"]: question for question in questions}


@pytest.mark.parametrize("point", [STARTED, RAN])
async def test_a_letter_goes_out_again_only_when_a_person_says_so(scene: Scene, point: str) -> None:
    """And is asked about again when the worker dies again."""
    run_id = await scene.begin(f"{point}=kill", "ann")
    sent_before = scene.sent()
    doomed = await scene.deployment.start_worker(SHADOWGRAPH_FAILPOINTS=f"{point}=kill")
    [first] = await scene.questions(run_id)
    wrong = await scene.answer(run_id, first, "perhaps")
    code, listed = await scene.say("approvals", "list", "--json")
    right = await scene.answer(run_id, first, "repeat")
    await doomed.wait_for_end()
    await scene.deployment.start_worker()
    [second] = await scene.questions(run_id)
    late = await scene.answer(run_id, first, "repeat")
    shown = await scene.say("approvals", "show", second["id"])
    given = await scene.say("approvals", "answer", second["id"], "--value", '{"result": "it had been sent"}')
    run = await wait_for_status(scene.client, run_id)
    events = await list_events(scene.client, run_id)

    assert sent_before == ({"ann": 1} if point == RAN else {})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_answer")
    assert (code, [item["id"] for item in json.loads(listed)["items"]]) == (0, [first["id"]])
    assert right.status_code == 202
    assert first["id"] != second["id"]
    assert (late.status_code, late.json()["code"]) == (409, "already_answered")
    assert shown[0] == 0
    assert "Did this call of tool 'send' take effect?" in shown[1]
    assert '"to": "ann"' in shown[1]
    assert given[0] == 0
    assert run["status"] == "COMPLETED", run["error"]
    assert run["result"]["output"] == {"log": ["it had been sent"]}
    assert scene.sent() == ({"ann": 2} if point == RAN else {})
    types = [event["type"] for event in events]
    assert (types.count("interaction.created"), types.count("interaction.resolved")) == (2, 2)
    assert types.count("run.finished") == 1


async def test_a_person_gives_a_letter_up_and_thinks_again(scene: Scene) -> None:
    run_id = await scene.begin(f"{STARTED}=kill", "ann")
    await scene.deployment.start_worker()
    await scene.questions(run_id)
    given_up = await scene.say("approvals", "answer", run_id, "--text", "fail")
    failed = await wait_for_status(scene.client, run_id)
    retried = await scene.say("runs", "retry", run_id)
    [again] = await scene.questions(run_id)
    await scene.answer(run_id, again, "repeat")
    run = await wait_for_status(scene.client, run_id)

    assert (given_up[0], retried[0]) == (0, 0)
    assert (failed["status"], failed["error"]["code"]) == ("FAILED", "tool_in_doubt")
    assert run["status"] == "COMPLETED", run["error"]
    assert scene.sent() == {"ann": 1}


async def test_of_two_doubts_in_one_node_each_gets_its_own_answer(scene: Scene) -> None:
    run_id = await scene.begin(f"{STARTED}=kill@2", "ann", "bob", way="together")
    sent_before = scene.sent()
    await scene.deployment.start_worker()
    asked = []
    for value in ({"result": "the first"}, "repeat"):
        [question] = await scene.questions(run_id)
        asked.append((question["question"]["arguments"]["to"], value))
        await scene.answer(run_id, question, value)
    run = await wait_for_status(scene.client, run_id)

    (first, _), (second, _) = asked
    assert {first, second} == {"ann", "bob"}
    said = {first: "the first", second: f"sent to {second}"}
    assert run["status"] == "COMPLETED", run["error"]
    assert run["result"]["output"] == {"log": [said["ann"], said["bob"]]}
    assert scene.sent() - sent_before == {second: 1}


async def test_branches_in_doubt_ask_at_once(scene: Scene) -> None:
    run_id = await scene.begin(f"{STARTED}=kill", "ann", "bob", way="fan_out")
    await scene.deployment.start_worker()
    questions = asked_about(await scene.questions(run_id))
    for name, question in reversed(questions.items()):
        await scene.answer(run_id, question, {"result": f"{name} has it"})
    run = await wait_for_status(scene.client, run_id)

    assert run["status"] == "COMPLETED", run["error"]
    said = {name: f"{name} has it" if name in questions else f"sent to {name}" for name in ("ann", "bob")}
    assert run["result"]["output"] == {"log": list(said.values())}
    assert scene.sent() == Counter(name for name in said if name not in questions)
