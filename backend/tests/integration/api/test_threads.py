from urllib.parse import quote

import httpx
import pytest

from tests.support.api import V1, create, require_problem


async def test_a_busy_thread_refuses_the_next_run_unless_it_waits_in_line(client: httpx.AsyncClient) -> None:
    first = await create(client, thread_id="talk")

    refused = await client.post(f"{V1}/runs", json={"query": "x", "thread_id": "talk"})
    second = await create(client, thread_id="talk", on_busy="enqueue")

    problem = require_problem(refused, 409, "thread_busy")
    assert problem["run_id"] == first["id"]
    assert (second["thread_id"], second["status"]) == ("talk", "QUEUED")


async def test_a_thread_shows_its_runs_newest_first(client: httpx.AsyncClient) -> None:
    first = await create(client, thread_id="talk")
    await client.post(first["links"]["cancel"])
    second = await create(client, thread_id="talk")
    await create(client)

    shown = (await client.get(second["links"]["thread"])).json()

    assert (shown["thread_id"], shown["workflow"], shown["run_count"]) == ("talk", "pipeline", 2)
    assert [run["id"] for run in shown["runs"]] == [second["id"], first["id"]]
    assert (shown["created_at"], shown["updated_at"]) == (first["created_at"], second["created_at"])
    assert (shown["state_run_id"], shown["state"]) == (None, None)
    listed = (await client.get(shown["links"]["runs"])).json()["items"]
    assert [run["id"] for run in listed] == [second["id"], first["id"]]


async def test_threads_come_page_by_page_the_latest_first(client: httpx.AsyncClient) -> None:
    for thread in ("a", "b", "c"):
        await create(client, thread_id=thread)
    await create(client, thread_id="a", on_busy="enqueue")

    first = (await client.get(f"{V1}/threads", params={"limit": 2})).json()
    rest = (await client.get(f"{V1}/threads", params={"limit": 2, "cursor": first["next_cursor"]})).json()

    assert [thread["thread_id"] for thread in first["items"] + rest["items"]] == ["a", "c", "b"]
    assert [thread["run_count"] for thread in first["items"]] == [2, 1]
    assert rest["next_cursor"] is None


@pytest.mark.parametrize("thread_id", ["user/42", "Grüße ?#%2F", "a.b", "日本"])
async def test_any_thread_id_is_found_again(client: httpx.AsyncClient, thread_id: str) -> None:
    run = await create(client, thread_id=thread_id)

    by_link = await client.get(run["links"]["thread"])
    by_name = await client.get(f"{V1}/threads/{quote(thread_id, safe='')}")

    assert by_link.json()["thread_id"] == by_name.json()["thread_id"] == thread_id


async def test_an_unknown_thread_is_404(client: httpx.AsyncClient) -> None:
    require_problem(await client.get(f"{V1}/threads/nobody"), 404, "thread_not_found")
    require_problem(await client.get(f"{V1}/threads/a%00b"), 404, "thread_not_found")
