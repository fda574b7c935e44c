"""Pause, resume, retry, and answers over HTTP. (Forks: `test_history.py`, with a real graph.)"""

import asyncio
from typing import Any

import httpx
import pytest

from shadowgraph.engine.interrupts import Question
from shadowgraph.queue.message import Wake
from tests.support.api import V1, ApiParts, create, require_problem
from tests.support.moves import Moves
from tests.support.waiting import wait_until

UNKNOWN_RUN = "run_019a0000-0000-7000-8000-000000000000"
ERROR = {"code": "node_failed", "message": "no", "kind": "permanent", "retryable": False}
BOOLEAN = {"type": "boolean"}


def asks(name: str = "q1", *, schema: Any = None, default: Any = None) -> Question:
    return Question(name, f"{name}?", schema, default, deadline_seconds=60, node="ask")


async def ask(client: httpx.AsyncClient, moves: Moves, *questions: Question) -> dict[str, Any]:
    """A run that waits for answers, as the API shows it."""
    run = await create(client)
    await moves.ask(await moves.claim(run["id"]), *questions)
    return dict((await client.get(f"{V1}/runs/{run['id']}")).json())


async def verb(client: httpx.AsyncClient, run: dict[str, Any], name: str, body: Any = None) -> httpx.Response:
    return await client.post(run["links"][name], json=body)


async def test_a_waiting_run_is_paused_at_once_and_resumed(client: httpx.AsyncClient, parts: ApiParts) -> None:
    run = await create(client)
    nudges = parts.nudges.count

    async with parts.wakeups.subscribe(run["id"]) as wakes:
        paused = await verb(client, run, "pause")
        resumed = await verb(client, run, "resume")
        seen = [await asyncio.wait_for(anext(wakes), 5) for _ in range(2)]

    assert (paused.status_code, paused.json()["status"]) == (200, "PAUSED")
    assert (resumed.status_code, resumed.json()["status"]) == (202, "QUEUED")
    assert seen == [Wake(run_id=run["id"], seq=2), Wake(run_id=run["id"], seq=3)]
    assert parts.nudges.count > nudges


async def test_the_worker_of_a_running_run_is_asked_to_pause(
    client: httpx.AsyncClient, moves: Moves, parts: ApiParts
) -> None:
    run = await create(client)
    claim = await moves.claim(run["id"])

    async with parts.wakeups.subscribe(run["id"]) as wakes:
        asked = await verb(client, run, "pause")
        wake = await asyncio.wait_for(anext(wakes), 5)
    again = await verb(client, run, "pause")
    await moves.pause(claim)

    assert (asked.status_code, asked.json()["status"], asked.json()["control"]) == (202, "RUNNING", "pause")
    assert wake == Wake(run_id=run["id"], control="pause")
    require_problem(again, 409, "wrong_state")
    assert (await client.get(run["links"]["self"])).json()["status"] == "PAUSED"


async def test_a_failed_run_is_retried(client: httpx.AsyncClient, moves: Moves) -> None:
    run = await create(client)
    await moves.fail(await moves.claim(run["id"]), ERROR)

    retried = await verb(client, run, "retry")

    assert (retried.status_code, retried.json()["status"], retried.json()["error"]) == (202, "QUEUED", None)


@pytest.mark.parametrize(("name", "possible"), [("resume", ["pause", "cancel"]), ("retry", ["pause", "cancel"])])
async def test_a_verb_at_the_wrong_time_says_what_is_possible(
    client: httpx.AsyncClient, name: str, possible: list[str]
) -> None:
    run = await create(client)

    problem = require_problem(await verb(client, run, name), 409, "wrong_state")

    assert (problem["state"], problem["possible"]) == ("QUEUED", possible)


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("pause", None),
        ("resume", None),
        ("retry", None),
        ("fork", {"checkpoint_id": "x"}),
        ("answer", {"value": 1}),
        ("cancel", None),
    ],
)
async def test_a_verb_on_an_unknown_run_is_404(client: httpx.AsyncClient, name: str, body: Any) -> None:
    response = await client.post(f"{V1}/runs/{UNKNOWN_RUN}/{name}", json=body)

    require_problem(response, 404, "run_not_found")


async def test_a_run_that_asks_shows_its_question(client: httpx.AsyncClient, moves: Moves) -> None:
    run = await ask(client, moves, asks(schema=BOOLEAN, default={"value": False}))

    (question,) = run["interactions"]
    alone = (await client.get(question["links"]["self"])).json()
    listed = (await client.get(f"{V1}/interactions", params={"workflow": "pipeline", "run_id": run["id"]})).json()

    assert run["status"] == "AWAITING_HUMAN"
    assert (question["question"], question["schema"], question["node"]) == ("q1?", BOOLEAN, "ask")
    assert (question["has_default"], question["default"], question["status"]) == (True, False, "open")
    assert question["deadline_at"] > question["created_at"]
    assert alone == question
    assert listed == {"items": [question], "next_cursor": None}


async def test_the_only_open_question_need_not_be_named(client: httpx.AsyncClient, moves: Moves) -> None:
    run = await ask(client, moves, asks(schema=BOOLEAN))

    answered = await verb(client, run, "answer", {"value": True})
    again = await verb(client, run, "answer", {"value": True})

    assert (answered.status_code, answered.json()["status"]) == (202, "QUEUED")
    assert answered.json()["interactions"] == []
    require_problem(again, 409, "wrong_state")
    found = (await client.get(f"{V1}/interactions", params={"status": "answered"})).json()["items"]
    assert [(item["answer"], item["who"]) for item in found] == [(True, "local")]


async def test_a_second_answer_is_refused_with_who_gave_the_first(client: httpx.AsyncClient, moves: Moves) -> None:
    run = await ask(client, moves, asks())
    body = {"interaction_id": run["interactions"][0]["id"], "value": None}
    first = await verb(client, run, "answer", body)

    problem = require_problem(await verb(client, run, "answer", body), 409, "already_answered")

    assert first.status_code == 202
    assert problem["who"] == "local"


async def test_an_answer_that_does_not_fit_is_refused_with_its_place(client: httpx.AsyncClient, moves: Moves) -> None:
    schema = {"type": "object", "properties": {"ok": BOOLEAN}}
    run = await ask(client, moves, asks(schema=schema))

    problem = require_problem(await verb(client, run, "answer", {"value": {"ok": 3}}), 422, "invalid_answer")

    assert [place["pointer"] for place in problem["errors"]] == ["/value/ok"]


async def test_with_several_open_questions_the_answer_names_one(client: httpx.AsyncClient, moves: Moves) -> None:
    run = await ask(client, moves, asks("q1"), asks("q2"))
    ids = [question["id"] for question in run["interactions"]]

    unnamed = require_problem(await verb(client, run, "answer", {"value": 1}), 422, "ambiguous_answer")
    named = await verb(client, run, "answer", {"interaction_id": ids[1], "value": 1})

    assert unnamed["interaction_ids"] == ids
    assert named.status_code == 202


async def test_a_question_of_another_run_is_not_found(client: httpx.AsyncClient, moves: Moves) -> None:
    run, other = await ask(client, moves, asks()), await ask(client, moves, asks())

    body = {"interaction_id": other["interactions"][0]["id"], "value": 1}

    require_problem(await verb(client, run, "answer", body), 404, "interaction_not_found")


async def test_a_question_answered_while_its_run_is_paused_is_used_later(
    client: httpx.AsyncClient, moves: Moves
) -> None:
    run = await ask(client, moves, asks())
    paused = (await verb(client, run, "pause")).json()

    answered = await verb(client, run, "answer", {"value": 1})
    resumed = await verb(client, run, "resume")

    assert [item["id"] for item in paused["interactions"]] == [run["interactions"][0]["id"]]
    assert (answered.status_code, answered.json()["status"]) == (200, "PAUSED")
    assert (resumed.status_code, resumed.json()["status"]) == (202, "QUEUED")


async def test_a_paused_question_is_asked_again_by_resume(client: httpx.AsyncClient, moves: Moves) -> None:
    run = await ask(client, moves, asks())
    await verb(client, run, "pause")

    resumed = await verb(client, run, "resume")

    assert (resumed.status_code, resumed.json()["status"]) == (200, "AWAITING_HUMAN")


async def test_questions_come_page_by_page_oldest_first(client: httpx.AsyncClient, moves: Moves) -> None:
    asked = [(await ask(client, moves, asks()))["interactions"][0]["id"] for _ in range(3)]

    first = (await client.get(f"{V1}/interactions", params={"limit": 2})).json()
    rest = (await client.get(f"{V1}/interactions", params={"limit": 2, "cursor": first["next_cursor"]})).json()

    assert [item["id"] for item in first["items"] + rest["items"]] == asked
    assert rest["next_cursor"] is None


async def test_unknown_questions_and_states_are_refused(client: httpx.AsyncClient) -> None:
    require_problem(await client.get(f"{V1}/interactions/int_x"), 404, "interaction_not_found")
    require_problem(await client.get(f"{V1}/interactions/a%00b"), 404, "interaction_not_found")
    require_problem(await client.get(f"{V1}/interactions?status=OPEN"), 422, "invalid_request")
    require_problem(await client.get(f"{V1}/interactions?cursor=x"), 422, "bad_cursor")


@pytest.mark.parametrize("rest", ["asks", "is paused"])
async def test_waiting_ends_where_a_person_is_needed(client: httpx.AsyncClient, moves: Moves, rest: str) -> None:
    async def started() -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await client.get(f"{V1}/runs")).json()["items"]
        return items

    async def work() -> None:
        claim = await moves.claim((await wait_until(started))[0]["id"])
        await (moves.ask(claim, asks()) if rest == "asks" else moves.pause(claim))

    working = asyncio.create_task(work())
    waited = await client.post(f"{V1}/runs?wait=30", json={"query": "x"})
    await working

    assert waited.status_code == 200
    assert waited.json()["status"] == ("AWAITING_HUMAN" if rest == "asks" else "PAUSED")
    assert len(waited.json()["interactions"]) == (1 if rest == "asks" else 0)


async def test_a_deadline_is_echoed(client: httpx.AsyncClient) -> None:
    run = await create(client, timeout_s=90.5)

    assert run["deadline_at"] > run["created_at"]
