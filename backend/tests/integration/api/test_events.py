import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from httpx_sse import ServerSentEvent

from shadowgraph.api.services import StreamTimes
from shadowgraph.db.engine import Database
from shadowgraph.queue.inprocess import InProcessWakeups
from shadowgraph.queue.message import Wake
from shadowgraph.runs import service
from shadowgraph.runs.events import RUN_QUEUED, NewEvent
from shadowgraph.runs.repository import require_run
from shadowgraph.runs.states import Status
from shadowgraph.runs.transitions import change_state
from tests.support.api import V1, ApiParts, create, open_events, pointers, require_problem, served
from tests.support.moves import Moves
from tests.support.runs import CLOCK
from tests.support.waiting import wait_until

NEVER_POLLS = StreamTimes(poll_seconds=60, ping_seconds=60)
SECONDS = 10


class CountingWakeups(InProcessWakeups):
    """Knows how many listen."""

    open = 0

    @asynccontextmanager
    async def subscribe(self, run_id: str | None = None) -> AsyncIterator[AsyncIterator[Wake]]:
        async with super().subscribe(run_id) as wakes:
            self.open += 1
            try:
                yield wakes
            finally:
                self.open -= 1


@pytest.fixture
async def live(parts: ApiParts) -> AsyncIterator[httpx.AsyncClient]:
    """A real server whose streams learn by wake-ups alone."""
    async with served(parts.services(times=NEVER_POLLS)) as client:
        yield client


async def _next(events: AsyncIterator[ServerSentEvent]) -> ServerSentEvent:
    return await asyncio.wait_for(anext(events), SECONDS)


async def _rest(events: AsyncIterator[ServerSentEvent]) -> list[ServerSentEvent]:
    """Until the server ends the stream."""

    async def collect() -> list[ServerSentEvent]:
        return [event async for event in events]

    return await asyncio.wait_for(collect(), SECONDS)


def _data(event: ServerSentEvent) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(event.data)
    return data


async def test_a_stream_tells_what_was_what_is_and_how_it_ended(live: httpx.AsyncClient, moves: Moves) -> None:
    run = await create(live)
    async with open_events(live, run["id"]) as events:
        queued = await _next(events)
        claim = await moves.claim(run["id"])
        await moves.note(claim, "hello")
        started, note = await _next(events), await _next(events)
        await moves.complete(claim, {"answer": "42"})
        rest = await _rest(events)

    assert [(event.id, event.event) for event in (queued, started, note, *rest)] == [
        ("1", "run.queued"),
        ("2", "run.started"),
        ("3", "note"),
        ("4", "run.finished"),
    ]
    assert _data(note)["data"] == {"message": "hello"}
    assert {name: _data(note)[name] for name in ("run_id", "seq", "type")} == {
        "run_id": run["id"],
        "seq": 3,
        "type": "note",
    }
    finished = _data(rest[0])["data"]
    assert finished["status"] == "COMPLETED"
    assert finished["run"] == (await live.get(f"{V1}/runs/{run['id']}")).json()


async def test_a_stream_may_not_be_held_back_by_proxies(live: httpx.AsyncClient, moves: Moves) -> None:
    run = await create(live)
    await moves.complete(await moves.claim(run["id"]))

    response = await live.get(f"{V1}/runs/{run['id']}/events")

    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert response.headers["x-accel-buffering"] == "no"
    assert response.headers["cache-control"] == "no-cache"


async def test_live_text_comes_at_once_and_without_a_number(live: httpx.AsyncClient, moves: Moves) -> None:
    run = await create(live)
    claim = await moves.claim(run["id"])
    async with open_events(live, run["id"]) as events:
        await _next(events)
        await _next(events)
        await moves.say(claim, "snake", offset=3)
        frame = await _next(events)

    assert (frame.event, _data(frame)["seq"]) == ("output.live", None)
    assert "id" not in _data(frame)
    assert _data(frame)["data"] == {
        "node": "coder",
        "superstep": 1,
        "attempt": 1,
        "call": "0//coder/1//0",
        "offset": 3,
        "text": "snake",
    }


async def test_live_text_does_not_become_the_last_event_id(live: httpx.AsyncClient, moves: Moves) -> None:
    run = await create(live)
    claim = await moves.claim(run["id"])
    lines = []
    async with live.stream("GET", f"{V1}/runs/{run['id']}/events") as response:
        async for line in response.aiter_lines():
            lines.append(line)
            if line == "id: 2":
                await moves.say(claim, "snake")
                await moves.complete(claim)

    live_frame = lines[lines.index("event: output.live") :]
    assert not any(line.startswith("id:") for line in live_frame[: live_frame.index("")])


async def test_a_reader_that_comes_back_misses_nothing_and_sees_nothing_twice(
    live: httpx.AsyncClient, moves: Moves
) -> None:
    run = await create(live)
    claim = await moves.claim(run["id"])
    seen: list[int] = []
    for round_ in range(4):
        async with open_events(live, run["id"], last_event_id=seen[-1] if seen else None) as events:
            await moves.note(claim, *(f"{round_}.{number}" for number in range(3)))
            seen += [int((await _next(events)).id) for _ in range(2)]  # leaves in the middle of what there is
    await moves.complete(claim)
    async with open_events(live, run["id"], last_event_id=seen[-1]) as events:
        seen += [int(event.id) for event in await _rest(events)]

    assert seen == list(range(1, 16))


async def test_events_that_are_stored_while_a_stream_opens_are_not_lost(live: httpx.AsyncClient, moves: Moves) -> None:
    run = await create(live)
    claim = await moves.claim(run["id"])

    async def write() -> None:
        for number in range(40):
            await moves.note(claim, str(number))
        await moves.complete(claim)

    writing = asyncio.create_task(write())
    async with open_events(live, run["id"]) as events:
        numbers = [int(event.id) for event in await _rest(events)]
    await writing

    assert numbers == list(range(1, 44))


async def test_a_lost_wake_up_costs_no_more_than_a_poll(parts: ApiParts, moves: Moves) -> None:
    async with served(parts.services(times=StreamTimes(poll_seconds=0.02))) as client:
        run = await create(client)
        async with open_events(client, run["id"]) as events:
            await _next(events)
            claim = await moves.claim(run["id"])
            await moves.note(claim, "quiet", wake=False)
            await moves.complete(claim, wake=False)
            rest = await _rest(events)

    assert [event.event for event in rest] == ["run.started", "note", "run.finished"]


async def test_more_events_than_one_read_takes_all_arrive(live: httpx.AsyncClient, moves: Moves) -> None:
    run = await create(live)
    claim = await moves.claim(run["id"])
    await moves.note(claim, *(str(number) for number in range(450)))
    await moves.complete(claim)

    async with open_events(live, run["id"]) as events:
        numbers = [int(event.id) for event in await _rest(events)]

    assert numbers == list(range(1, 454))


async def test_who_has_seen_the_end_is_told_not_to_come_back(live: httpx.AsyncClient, moves: Moves) -> None:
    run = await create(live)
    await moves.complete(await moves.claim(run["id"]))
    path = f"{V1}/runs/{run['id']}/events"

    by_header = await live.get(path, headers={"Last-Event-ID": "3"})
    by_parameter = await live.get(path, params={"after": 3})
    earlier = await live.get(path, params={"after": 2})

    assert (by_header.status_code, by_header.content) == (204, b"")
    assert by_parameter.status_code == 204
    assert (earlier.status_code, earlier.text.count("event: run.finished")) == (200, 1)


async def test_the_header_wins_over_the_parameter(live: httpx.AsyncClient, moves: Moves) -> None:
    run = await create(live)
    await moves.complete(await moves.claim(run["id"]))

    async with open_events(live, run["id"], last_event_id=2, after=0) as events:
        numbers = [event.id for event in await _rest(events)]

    assert numbers == ["3"]


async def test_a_run_that_goes_on_after_its_end_keeps_its_stream_open(
    live: httpx.AsyncClient, moves: Moves, database: Database
) -> None:
    run = await create(live)
    await moves.fail(await moves.claim(run["id"]), {"code": "node_failed", "message": "no"})
    await _retry(database, run["id"])
    async with open_events(live, run["id"], last_event_id=2) as events:
        first_end = await _next(events)
        await _next(events)
        await moves.complete(await moves.claim(run["id"]))
        rest = await _rest(events)

    assert _data(first_end)["data"]["status"] == "FAILED"
    assert "run" not in _data(first_end)["data"]
    assert _data(first_end)["data"]["error"]["type"] == "/errors/node_failed"
    assert [event.event for event in rest][-1] == "run.finished"
    assert _data(rest[-1])["data"]["run"]["status"] == "COMPLETED"


async def _retry(database: Database, run_id: str) -> None:
    """What a retry in place does to the row."""
    async with database.write() as connection:
        failed = await require_run(connection, run_id)
        event = NewEvent(RUN_QUEUED, {"why": "retried"})
        moved = await change_state(
            connection, failed, to=Status.QUEUED, events=[event], at=CLOCK.now(), finished_at=None, error=None
        )
        assert moved is not None


async def test_a_cancel_ends_the_stream_at_once(live: httpx.AsyncClient) -> None:
    run = await create(live)
    async with open_events(live, run["id"]) as events:
        await _next(events)
        await live.post(f"{V1}/runs/{run['id']}/cancel")
        rest = await _rest(events)

    assert [_data(event)["data"]["status"] for event in rest] == ["CANCELLED"]


async def test_silence_is_broken_by_pings(parts: ApiParts) -> None:
    async with served(parts.services(times=StreamTimes(poll_seconds=60, ping_seconds=0.02))) as client:
        run = await create(client)
        pings = 0
        async with client.stream("GET", f"{V1}/runs/{run['id']}/events") as response:
            async for line in response.aiter_lines():
                pings += line == ": ping"
                if pings == 3:
                    break

    assert pings == 3


async def test_a_waiting_stream_holds_no_connection_and_leaves_nothing_behind(
    database: Database, parts: ApiParts
) -> None:
    small, wakeups = Database(database.url, pool_size=1), CountingWakeups()
    services = ApiParts(small, parts.home, wakeups).services(times=NEVER_POLLS)
    async with served(services) as client:
        run = await create(client)
        async with open_events(client, run["id"]) as one, open_events(client, run["id"]) as two:
            await _next(one)
            await _next(two)
            answer = await asyncio.wait_for(client.get(f"{V1}/runs/{run['id']}"), SECONDS)
            assert wakeups.open == 2
        await wait_until(lambda: wakeups.open == 0, what="the end of both subscriptions")
    await small.close()

    assert answer.status_code == 200


async def test_a_server_that_stops_ends_its_streams_cleanly(parts: ApiParts) -> None:
    services = parts.services(times=NEVER_POLLS)
    async with served(services) as client:
        run = await create(client)
        async with open_events(client, run["id"]) as events:
            await _next(events)
            services.stopping.set()
            rest = await _rest(events)

    assert rest == []


async def test_json_gives_a_page(client: httpx.AsyncClient, moves: Moves) -> None:
    run = await create(client)
    claim = await moves.claim(run["id"])
    await moves.note(claim, "one", "two")
    path, headers = f"{V1}/runs/{run['id']}/events", {"Accept": "application/json"}

    first = (await client.get(path, params={"limit": 3}, headers=headers)).json()
    second = (await client.get(path, params={"after": first["next_cursor"]}, headers=headers)).json()

    assert [event["type"] for event in first["items"]] == ["run.queued", "run.started", "note"]
    assert first["next_cursor"] == "3"
    assert [(event["seq"], event["data"]) for event in second["items"]] == [(4, {"message": "two"})]
    assert second["next_cursor"] is None


@pytest.mark.parametrize(
    ("params", "headers", "pointer"),
    [
        ({"after": -1}, {}, "?after"),
        ({"after": 2**63}, {}, "?after"),
        ({"since": 1}, {}, "?since"),
        ({}, {"Last-Event-ID": "x"}, "Last-Event-Id"),
        ({}, {"Last-Event-ID": "-1"}, "Last-Event-Id"),
    ],
)
async def test_a_number_that_no_event_has_is_refused(
    client: httpx.AsyncClient, params: dict[str, Any], headers: dict[str, str], pointer: str
) -> None:
    run = await create(client)

    response = await client.get(f"{V1}/runs/{run['id']}/events", params=params, headers=headers)

    assert list(pointers(require_problem(response, 422, "invalid_request"))) == [pointer]


async def test_an_ended_run_gives_its_whole_story(client: httpx.AsyncClient, database: Database) -> None:
    run = await create(client)
    async with database.write() as connection:
        await service.cancel_run(connection, run["id"], clock=CLOCK)

    response = await client.get(f"{V1}/runs/{run['id']}/events")

    assert [line for line in response.text.splitlines() if line.startswith("event:")] == [
        "event: run.queued",
        "event: run.finished",
    ]
