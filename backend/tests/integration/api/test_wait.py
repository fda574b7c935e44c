import asyncio
from typing import Any

import httpx
import pytest
from sqlalchemy import select

from shadowgraph.api.services import ApiServices, StreamTimes
from shadowgraph.db.engine import Database
from shadowgraph.models.runs import runs
from shadowgraph.queue.message import Wake
from tests.support.api import V1, ApiParts, client_of, served
from tests.support.moves import Moves
from tests.support.runs import CLOCK
from tests.support.waiting import wait_until

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

NEVER_POLLS = StreamTimes(poll_seconds=60, ping_seconds=60)


async def _only_run(database: Database) -> str:
    async def find() -> str | None:
        async with database.read() as connection:
            return await connection.scalar(select(runs.c.id))

    return await wait_until(find, what="a stored run")


async def _post_and_wait(
    client: httpx.AsyncClient, seconds: int = 30, *, headers: dict[str, str] | None = None
) -> httpx.Response:
    return await client.post(f"{V1}/runs", params={"wait": seconds}, json={"query": "x"}, headers=headers)


async def test_a_run_that_ends_while_its_caller_waits_is_answered_with_200(parts: ApiParts, moves: Moves) -> None:
    async with client_of(parts.services(times=NEVER_POLLS)) as client:
        posting = asyncio.create_task(_post_and_wait(client))
        claim = await moves.claim(await _only_run(parts.database))
        await moves.complete(claim, {"answer": "42"})
        response = await posting

    run: dict[str, Any] = response.json()
    assert response.status_code == 200
    assert (run["status"], run["result"]) == ("COMPLETED", {"output": {"answer": "42"}})
    assert response.headers["location"] == f"{V1}/runs/{run['id']}"


async def test_a_lost_wake_up_costs_no_more_than_a_poll(parts: ApiParts, moves: Moves) -> None:
    async with client_of(parts.services(times=StreamTimes(poll_seconds=0.02))) as client:
        posting = asyncio.create_task(_post_and_wait(client))
        claim = await moves.claim(await _only_run(parts.database))
        await moves.complete(claim, wake=False)
        response = await posting

    assert response.status_code == 200


async def test_a_run_that_waits_for_a_person_is_answered_with_200(parts: ApiParts, moves: Moves) -> None:
    async with client_of(parts.services(times=NEVER_POLLS)) as client:
        posting = asyncio.create_task(_post_and_wait(client))
        claim = await moves.claim(await _only_run(parts.database))
        await moves.await_human(claim)
        response = await posting

    assert (response.status_code, response.json()["status"]) == (200, "AWAITING_HUMAN")


async def test_when_the_time_is_up_the_same_body_comes_with_202(client: httpx.AsyncClient, moves: Moves) -> None:
    began = CLOCK.monotonic()

    response = await _post_and_wait(client, 1)

    assert CLOCK.monotonic() - began >= 1
    assert (response.status_code, response.json()["status"]) == (202, "QUEUED")


async def test_live_text_does_not_end_the_wait(parts: ApiParts, moves: Moves) -> None:
    async with client_of(parts.services(times=NEVER_POLLS)) as client:
        posting = asyncio.create_task(_post_and_wait(client))
        claim = await moves.claim(await _only_run(parts.database))
        for offset in range(20):
            await moves.say(claim, "a", offset=offset)
        await moves.complete(claim)
        response = await posting

    assert response.status_code == 200


async def test_a_repeated_request_waits_for_the_run_of_the_first(parts: ApiParts, moves: Moves) -> None:
    keyed = {"Idempotency-Key": "k"}
    async with client_of(parts.services(times=NEVER_POLLS)) as client:
        first = await client.post(f"{V1}/runs", json={"query": "x"}, headers=keyed)
        claim = await moves.claim(first.json()["id"])
        await moves.complete(claim)

        second = await _post_and_wait(client, headers=keyed)

    assert (second.status_code, second.json()["status"]) == (200, "COMPLETED")
    assert second.headers["idempotency-replayed"] == "true"


async def test_a_client_that_leaves_does_not_cancel_its_run(parts: ApiParts, moves: Moves) -> None:
    async with served(parts.services(times=StreamTimes(poll_seconds=0.02))) as client:
        posting = asyncio.create_task(_post_and_wait(client))
        run_id = await _only_run(parts.database)
        posting.cancel()
        await asyncio.gather(posting, return_exceptions=True)

        claim = await moves.claim(run_id)
        await moves.complete(claim)
        run = (await client.get(f"{V1}/runs/{run_id}")).json()

    assert (run["status"], run["control"]) == ("COMPLETED", None)


async def test_a_server_that_stops_answers_those_who_wait(parts: ApiParts) -> None:
    services: ApiServices = parts.services(times=NEVER_POLLS)
    async with client_of(services) as client:
        posting = asyncio.create_task(_post_and_wait(client))
        await parts.wakeups.publish(Wake(run_id=await _only_run(parts.database), seq=1))
        services.stopping.set()
        response = await posting

    assert response.status_code == 202
