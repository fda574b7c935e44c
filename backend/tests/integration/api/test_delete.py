"""`DELETE /runs/{id}` and `DELETE /threads/{id}`. (What goes and what stays: `runs/test_deletion.py`.)"""

from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import func, insert, select

from shadowgraph.core.ids import new_run_id
from shadowgraph.core.settings import load_settings
from shadowgraph.db.engine import Database
from shadowgraph.engine.interrupts import Question
from shadowgraph.models.llm_calls import llm_attempts
from shadowgraph.models.runs import runs
from tests.support.api import V1, ApiParts, create, require_problem
from tests.support.moves import Moves
from tests.support.traces import count_in_files, tables_with

MARKER = "k7q9zx4v"


async def ended(client: httpx.AsyncClient, moves: Moves, query: str = "x", **fields: Any) -> str:
    run = await create(client, query, **fields)
    await moves.complete(await moves.claim(run["id"]))
    return str(run["id"])


async def add_fork(database: Database, parent_id: str) -> str:
    """As if somebody had forked it, and the fork had ended as its parent did."""
    fork_id = new_run_id()
    changes = {
        "id": fork_id,
        "thread_id": fork_id,
        "checkpoint_thread": fork_id,
        "parent_run_id": parent_id,
        "seed": {},
    }
    async with database.write() as connection:
        row = (await connection.execute(select(runs).where(runs.c.id == parent_id))).mappings().one()
        await connection.execute(insert(runs).values({**row, **changes}))
    return fork_id


async def test_a_deleted_run_is_gone(client: httpx.AsyncClient, moves: Moves, database: Database) -> None:
    run_id = await ended(client, moves, f"say {MARKER}", metadata={"note": MARKER})
    assert tables_with(database.url, MARKER)

    deleted = await client.delete(f"{V1}/runs/{run_id}")

    assert deleted.status_code == 200
    assert deleted.json() == {"run_ids": [run_id], "scrubbed": database.dialect == "sqlite"}
    require_problem(await client.get(f"{V1}/runs/{run_id}"), 404, "run_not_found")
    require_problem(await client.delete(f"{V1}/runs/{run_id}"), 404, "run_not_found")
    assert tables_with(database.url, MARKER) == set()
    if database.dialect == "sqlite":
        assert count_in_files(database.url, MARKER[3:]) == 0


async def test_no_byte_of_anything_that_came_over_http_is_left(
    parts: ApiParts, client: httpx.AsyncClient, moves: Moves
) -> None:
    """Two runs that wait for a person; one ends well, the other badly."""
    database = parts.database
    good = await ask_with_marks(client, moves, "good")
    await moves.complete(await moves.claim(good), {"answer": MARKER})
    bad = await ask_with_marks(client, moves, "bad")
    await moves.fail(await moves.claim(bad), {"code": "x", "message": MARKER})
    spent = await count_attempts(database)
    file = load_settings({}, home=parts.home).settings.folder_of_run(good) / "src" / f"{MARKER}.txt"
    file.parent.mkdir(parents=True)
    file.write_text(MARKER)
    found = tables_with(database.url, MARKER)

    deleted = await client.delete(f"{V1}/threads/{MARKER}%2Fthread")

    assert {name.partition("_20")[0] for name in found} >= MARKED_TABLES
    assert deleted.json()["run_ids"] == [good, bad]
    assert tables_with(database.url, MARKER) == set()
    assert not file.parent.parent.exists()
    if database.dialect == "sqlite":
        assert count_in_files(database.url, MARKER[3:]) == 0
    assert await count_attempts(database) == spent == 2


MARKED_TABLES = {
    "artifacts", "events", "idempotency_keys", "interactions", "payloads", "run_texts", "runs", "steps",
}  # fmt: skip


async def ask_with_marks(client: httpx.AsyncClient, moves: Moves, key: str) -> str:
    """A run with the marker in every field that a caller can fill, and in what a worker makes of it, and an answered question."""
    body = {
        "workflow": "pipeline",
        "input": {"query": f"say {MARKER}", "more": {MARKER: [MARKER]}},
        "thread_id": f"{MARKER}/thread",
        "subject": MARKER,
        "metadata": {MARKER: MARKER},
    }
    headers = {"Idempotency-Key": f"{MARKER}-{key}", "X-Request-Id": MARKER}
    response = await client.post(f"{V1}/runs", json=body, headers=headers)
    assert response.status_code == 202, response.text
    claim = await moves.claim(response.json()["id"])
    await moves.note(claim, f"a note on {MARKER}")
    await moves.step(claim, "coder", error={"code": "x", "message": MARKER})
    await moves.keep(claim, {f"{MARKER}.txt": MARKER.encode()})
    await moves.attempt(claim)
    asked = {"question": MARKER, "default": MARKER}
    await moves.ask(claim, Question(MARKER, asked, None, {"value": MARKER}, deadline_seconds=60, node="coder"))
    answered = await client.post(f"{V1}/runs/{claim.run_id}/answer", json={"value": f"yes {MARKER}"})
    assert answered.status_code == 202, answered.text
    return str(claim.run_id)


async def count_attempts(database: Database) -> int:
    async with database.read() as connection:
        return await connection.scalar(select(func.count()).select_from(llm_attempts)) or 0


async def test_an_unfinished_run_is_refused(client: httpx.AsyncClient) -> None:
    run = await create(client)

    problem = require_problem(await client.delete(f"{V1}/runs/{run['id']}"), 409, "wrong_state")

    assert (problem["state"], problem["possible"], problem["hint"]) == ("QUEUED", ["cancel"], "cancel it first")


async def test_a_continued_run_goes_with_its_thread(client: httpx.AsyncClient, moves: Moves) -> None:
    first, second = [await ended(client, moves, thread_id="user/42 ä") for _ in range(2)]

    refused = await client.delete(f"{V1}/runs/{first}")
    deleted = await client.delete(f"{V1}/threads/{quote('user/42 ä', safe='')}")

    assert require_problem(refused, 409, "thread_continues")["run_id"] == second
    assert deleted.json()["run_ids"] == [first, second]
    require_problem(await client.get(f"{V1}/threads/{quote('user/42 ä', safe='')}"), 404, "thread_not_found")


async def test_forks_go_along_only_with_cascade(client: httpx.AsyncClient, moves: Moves, database: Database) -> None:
    parent = await ended(client, moves)
    fork = await add_fork(database, parent)

    refused = await client.delete(f"{V1}/runs/{parent}")
    deleted = await client.delete(f"{V1}/runs/{parent}", params={"cascade": 1})

    assert require_problem(refused, 409, "has_forks")["forks"] == [fork]
    assert sorted(deleted.json()["run_ids"]) == sorted([parent, fork])


async def test_a_deleted_key_may_start_a_new_run(client: httpx.AsyncClient, moves: Moves) -> None:
    keyed = {"Idempotency-Key": "k"}
    first = (await client.post(f"{V1}/runs", json={"query": "1"}, headers=keyed)).json()["id"]
    await moves.complete(await moves.claim(first))
    await client.delete(f"{V1}/runs/{first}")

    second = await client.post(f"{V1}/runs", json={"query": "1"}, headers=keyed)

    assert second.json()["id"] != first
    assert "idempotency-replayed" not in second.headers


@pytest.mark.parametrize("path", ["runs/run_019a0000-0000-7000-8000-000000000000", "runs/x", "threads/nobody"])
async def test_what_is_not_there_cannot_be_deleted(client: httpx.AsyncClient, path: str) -> None:
    response = await client.delete(f"{V1}/{path}")

    require_problem(response, 404, f"{path.partition('s/')[0]}_not_found")


async def test_an_unknown_parameter_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.delete(f"{V1}/threads/nobody", params={"cascad": 1})

    require_problem(response, 422, "invalid_request")
