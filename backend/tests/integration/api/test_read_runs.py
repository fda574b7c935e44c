from datetime import timedelta
from typing import Any

import httpx
import pytest

from shadowgraph.db.engine import Database
from shadowgraph.runs.cursors import Cursor
from tests.support.api import V1, create, pointers, require_problem
from tests.support.moves import Moves
from tests.support.runs import CLOCK

UNKNOWN = "run_019a0000-0000-7000-8000-000000000000"


async def _ids(client: httpx.AsyncClient, **params: Any) -> list[str]:
    response = await client.get(f"{V1}/runs", params=params)
    assert response.status_code == 200, response.text
    return [run["id"] for run in response.json()["items"]]


async def test_a_run_shows_its_input_result_and_usage(client: httpx.AsyncClient, moves: Moves) -> None:
    created = await create(client)
    claim = await moves.claim(created["id"])
    await moves.attempt(claim, tokens=(10, 5))
    await moves.attempt(claim, tokens=(1, 2))
    await moves.complete(claim, {"answer": "42"})

    run = (await client.get(f"{V1}/runs/{created['id']}")).json()

    assert (run["status"], run["query"], run["result"]) == (
        "COMPLETED",
        "Build a snake game",
        {"output": {"answer": "42"}},
    )
    assert run["usage"] == {
        "prompt_tokens": 11,
        "completion_tokens": 7,
        "unreported": 0,
        "unpriced": 0,
        "cost_usd": 0,
        "cost_state": "synthetic",
    }
    assert run["created_at"] < run["started_at"] < run["finished_at"]


@pytest.mark.parametrize(
    ("costs", "cost_usd", "state", "unpriced"),
    [
        ([125_000, 1], 0.000125001, "exact", 0),
        ([None, None], None, "unknown", 2),
        ([125_000, None], 0.000125, "partial", 1),
    ],
)
async def test_what_a_real_provider_charged_is_never_made_up(
    client: httpx.AsyncClient,
    moves: Moves,
    costs: list[int | None],
    cost_usd: float | None,
    state: str,
    unpriced: int,
) -> None:
    created = await create(client)
    claim = await moves.claim(created["id"])
    for cost in costs:
        await moves.attempt(claim, provider="groq", cost_nano_usd=cost)

    usage = (await client.get(f"{V1}/runs/{created['id']}")).json()["usage"]

    assert (usage["cost_usd"], usage["cost_state"], usage["unpriced"]) == (cost_usd, state, unpriced)


async def test_a_failed_run_says_why_in_the_members_of_a_problem(client: httpx.AsyncClient, moves: Moves) -> None:
    created = await create(client)
    claim = await moves.claim(created["id"])
    error = {
        "code": "provider_auth",
        "message": "the key was refused",
        "step": "coder",
        "retryable": False,
        "kind": "x",
    }
    await moves.fail(claim, error)

    run = (await client.get(f"{V1}/runs/{created['id']}")).json()

    assert run["status"] == "FAILED"
    assert run["error"] == {
        "type": "/errors/provider_auth",
        "title": "The provider refused the key",
        "detail": "the key was refused",
        "code": "provider_auth",
        "retryable": False,
        "hint": "Correct the key, such as GROQ_API_KEY, and start the server again.",
        "step": "coder",
        "attempts": None,
        "provider": None,
        "kind": "x",
    }


async def test_an_error_that_a_project_made_up_has_no_page(client: httpx.AsyncClient, moves: Moves) -> None:
    created = await create(client)
    await moves.fail(await moves.claim(created["id"]), {"code": "out_of_tea", "message": "no tea"})

    error = (await client.get(f"{V1}/runs/{created['id']}")).json()["error"]

    assert (error["type"], error["title"]) == ("about:blank", "Out of tea")


async def test_a_run_that_did_not_change_is_not_sent_again(client: httpx.AsyncClient, moves: Moves) -> None:
    created = await create(client)
    path = f"{V1}/runs/{created['id']}"
    etag = (await client.get(path)).headers["etag"]

    unchanged = await client.get(path, headers={"If-None-Match": f'"other", W/{etag}'})
    await moves.claim(created["id"])
    changed = await client.get(path, headers={"If-None-Match": etag})

    assert (unchanged.status_code, unchanged.content) == (304, b"")
    assert changed.status_code == 200
    assert changed.headers["etag"] != etag


@pytest.mark.parametrize("run_id", [UNKNOWN, "run_x", "run_%00", "%F0%9F%90%8D", "x" * 1000])
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_an_unknown_run_is_not_found(client: httpx.AsyncClient, run_id: str) -> None:
    suffixes = [
        "",
        "/steps",
        "/events",
        "/artifacts",
        "/artifacts/a.py",
        "/artifacts.zip",
        "/export.json",
        "/export.md",
    ]

    for suffix in suffixes:
        require_problem(await client.get(f"{V1}/runs/{run_id}{suffix}"), 404, "run_not_found")


async def test_a_list_shows_the_newest_first_without_inputs_and_results(client: httpx.AsyncClient) -> None:
    first, second = await create(client, "one"), await create(client, "two")

    page = (await client.get(f"{V1}/runs")).json()

    assert [run["id"] for run in page["items"]] == [second["id"], first["id"]]
    assert page["next_cursor"] is None
    assert page["items"][0]["preview"] == "two"
    assert page["items"][0].keys() == second.keys() - {"input", "query", "result", "interactions"}


async def test_pages_follow_each_other_without_gap_or_double(client: httpx.AsyncClient) -> None:
    created = [(await create(client, str(number)))["id"] for number in range(5)]

    seen, cursor = [], None
    for _ in range(3):
        page = (await client.get(f"{V1}/runs", params={"limit": 2} | ({"cursor": cursor} if cursor else {}))).json()
        seen += [run["id"] for run in page["items"]]
        cursor = page["next_cursor"]
        if len(seen) == 2:
            await create(client, "a run that comes while somebody turns the page")

    assert seen == created[::-1]
    assert cursor is None


async def test_filters_may_be_repeated_and_combined(client: httpx.AsyncClient, moves: Moves) -> None:
    done = await create(client, "done", metadata={"order_id": "7", "a.b": "c"}, subject="jane")
    await moves.complete(await moves.claim(done["id"]))
    running = await create(client, "running", metadata={"order_id": "8"})
    await moves.claim(running["id"])
    queued = await create(client, "queued")
    other = (await client.post(f"{V1}/runs", json={"workflow": "agent", "input": {}})).json()

    assert await _ids(client, status="COMPLETED") == [done["id"]]
    assert await _ids(client, status=["COMPLETED", "RUNNING"]) == [running["id"], done["id"]]
    assert await _ids(client, workflow="agent") == [other["id"]]
    assert await _ids(client, workflow=["agent", "pipeline"], status="QUEUED") == [other["id"], queued["id"]]
    assert await _ids(client, **{"metadata.order_id": "7"}) == [done["id"]]
    assert await _ids(client, **{"metadata.order_id": "7", "metadata.a.b": "c"}) == [done["id"]]
    assert await _ids(client, **{"metadata.order_id": "7", "status": "RUNNING"}) == []
    assert await _ids(client, subject="jane") == [done["id"]]
    assert await _ids(client, parent_run_id=done["id"]) == []


async def test_times_bound_a_list(client: httpx.AsyncClient) -> None:
    run = await create(client)
    created = CLOCK.now()
    before, after = (created - timedelta(hours=1)).isoformat(), (created + timedelta(hours=1)).isoformat()

    assert await _ids(client, since=before, until=after) == [run["id"]]
    assert await _ids(client, since=after) == []
    assert await _ids(client, until=before) == []
    assert await _ids(client, since=run["created_at"]) == [run["id"]]
    assert await _ids(client, until=run["created_at"]) == []


async def test_the_search_finds_words_of_request_and_result(client: httpx.AsyncClient, moves: Moves) -> None:
    snake, books = await create(client, "Build a snake game"), await create(client, "A REST API for books")
    await moves.complete(await moves.claim(snake["id"]), {"answer": "It slithers."})

    assert await _ids(client, q="snake") == [snake["id"]]
    assert await _ids(client, q="slith") == [snake["id"]]
    assert await _ids(client, q="REST boo") == [books["id"]]
    assert await _ids(client, q="snake books") == []
    assert await _ids(client, q='"); DROP TABLE runs; --') == []
    assert await _ids(client, q="*:&|!'\"") == []


@pytest.mark.parametrize(
    ("params", "pointer"),
    [
        ("limit=0", "?limit"),
        ("limit=501", "?limit"),
        ("limit=many", "?limit"),
        ("status=DONE", "?status"),
        ("since=yesterday", "?since"),
        ("since=2026-01-01T00:00:00", "?since"),
        ("since=0001-01-01T00:00:00%2B23:00", "?since"),
        ("until=9999-12-31T23:59:59-23:00", "?until"),
        ("staus=FAILED", "?staus"),
        ("offset=10", "?offset"),
        ("metadata.a%20b=c", "?metadata.a b"),
        ("metadata.=c", "?metadata."),
        ("metadata.k=%00", "?metadata.k"),
        ("metadata.k=a&metadata.k=b", "?metadata.k"),
        ("workflow=%00", "?workflow"),
        ("subject=%00", "?subject"),
        ("parent_run_id=%00", "?parent_run_id"),
        ("q=%00", "?q"),
        ("q=" + "x" * 501, "?q"),
    ],
)
@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
async def test_a_filter_that_makes_no_sense_is_refused(client: httpx.AsyncClient, params: str, pointer: str) -> None:
    response = await client.get(f"{V1}/runs?{params}")

    problem = require_problem(response, 422, "invalid_request")
    assert list(pointers(problem)) == [pointer]


async def test_a_tampered_cursor_is_refused(client: httpx.AsyncClient, database: Database) -> None:
    run = await create(client)
    good = Cursor(CLOCK.now(), run["id"]).encode()
    tampered = [good[:-1], good[:10] + "A" + good[11:], "", "x", "é", "AAAA", "bnVsbA", "W10", good[::-1], "e30"]

    answers = [await client.get(f"{V1}/runs", params={"cursor": cursor}) for cursor in tampered if cursor]

    assert (await client.get(f"{V1}/runs", params={"cursor": good})).status_code == 200
    for answer in answers:
        require_problem(answer, 422, "bad_cursor")
