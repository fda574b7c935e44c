"""Breakers that processes share through the database."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, update

from shadowgraph.core.clock import ManualClock
from shadowgraph.db.engine import Database
from shadowgraph.llm.errors import BadCredentials, ModelGone, ProviderError
from shadowgraph.llm.gate import Gate
from shadowgraph.llm.port import Target
from shadowgraph.llm.targets import Plan
from shadowgraph.models.alerts import alerts
from shadowgraph.models.breakers import breakers
from shadowgraph.models.events import events
from shadowgraph.reliability.breaker import MAX_AGE_SECONDS, THRESHOLD, Breakers, CallRefused, Permit
from shadowgraph.runs.breakers import SqlBreakers, list_breakers

KEY = ("groq", "openai/gpt-oss-120b")


class Worker:
    """A process of its own, as far as breakers go. Its clock stands still unless it is told: what it knows is old when the test says so."""

    def __init__(self, database: Database) -> None:
        self.clock = ManualClock()
        self.store = SqlBreakers(database, clock=self.clock)
        self.breakers = Breakers(self.store, clock=self.clock)

    async def admit(self) -> Permit:
        self.clock.advance(MAX_AGE_SECONDS)
        return await self.breakers.admit(KEY, probe_seconds=60)

    async def fail(self, times: int = THRESHOLD) -> None:
        for _ in range(times):
            await self.breakers.record(await self.admit(), "failure", error="status 500")


async def states(database: Database) -> list[str]:
    async with database.read() as connection:
        return [found.state for found in await list_breakers(connection)]


async def let_time_pass(database: Database) -> None:
    """Until the breaker is half-open: the database's clock cannot be moved."""
    async with database.write() as connection:
        await connection.execute(update(breakers).values(open_until=1))


async def told(database: Database) -> Sequence[Any]:
    async with database.read() as connection:
        rows = await connection.execute(
            select(events.c.payload).where(events.c.type == "breaker.changed").order_by(events.c.id)
        )
        return [row.payload["state"] for row in rows]


async def test_another_process_sees_an_open_breaker(database: Database) -> None:
    first, second = Worker(database), Worker(database)

    await first.fail()

    with pytest.raises(CallRefused) as caught:
        await second.admit()
    assert 20 < caught.value.seconds <= 30
    async with database.read() as connection:
        [found] = await list_breakers(connection)
    assert (found.state, found.failures, found.error) == ("open", THRESHOLD, "status 500")


async def test_one_of_many_processes_may_probe_and_closes_it_for_all(database: Database) -> None:
    workers = [Worker(database) for _ in range(4)]
    await workers[0].fail()
    await let_time_pass(database)

    tries = await asyncio.gather(*(worker.admit() for worker in workers), return_exceptions=True)
    [(worker, permit)] = [
        (worker, found) for worker, found in zip(workers, tries, strict=True) if isinstance(found, Permit)
    ]
    await worker.breakers.record(permit, "success")

    assert permit.is_probe
    assert await states(database) == ["closed"]
    assert [await other.admit() for other in workers] == [Permit(KEY)] * 4
    assert await told(database) == ["open", "half_open", "closed"]


async def test_a_failed_probe_opens_it_again_and_keeps_since_when(database: Database) -> None:
    worker = Worker(database)
    await worker.fail()
    async with database.read() as connection:
        [before] = await list_breakers(connection)
    await let_time_pass(database)

    await worker.fail(1)

    async with database.read() as connection:
        [after] = await list_breakers(connection)
    assert (after.state, after.opened_at) == ("open", before.opened_at)
    assert await told(database) == ["open", "half_open", "open"]


async def test_a_breaker_that_is_open_is_not_opened_twice(database: Database) -> None:
    workers = [Worker(database), Worker(database)]

    await asyncio.gather(*(worker.fail() for worker in workers), return_exceptions=True)

    assert await states(database) == ["open"]
    assert await told(database) == ["open"]


async def test_a_cancelled_probe_leaves_its_place(database: Database) -> None:
    first, second = Worker(database), Worker(database)
    await first.fail()
    await let_time_pass(database)
    await first.breakers.record(await first.admit(), "neither")

    permit = await second.admit()

    assert permit.is_probe


async def test_people_are_told_once_of_a_target_that_is_gone(database: Database) -> None:
    store = Worker(database).store

    for _ in range(2):
        await store.report("model_gone", Target("groq", "old"), "no such model")

    async with database.read() as connection:
        rows = (await connection.execute(select(alerts.c.kind, alerts.c.subject, alerts.c.message))).all()
    assert [tuple(row) for row in rows] == [("model_gone", "groq:old", "no such model")]


def process(database: Database) -> Gate:
    clock = ManualClock()
    shared = SqlBreakers(database, clock=clock)
    return Gate(clock, breakers=Breakers(shared, clock=clock), watch=shared)


async def open_alerts(database: Database) -> list[str]:
    async with database.read() as connection:
        return list((await connection.scalars(select(alerts.c.kind).where(alerts.c.acked_by.is_(None)))).all())


PERMIT = Permit(KEY)
ROUTE = Plan((), route="default", route_number=0)


@pytest.mark.parametrize("error", [ModelGone("no such model"), BadCredentials("bad key")], ids=lambda error: error.code)
async def test_the_alert_of_a_target_is_closed_when_a_later_process_has_its_answer(
    database: Database, error: ProviderError
) -> None:
    await process(database).record(PERMIT, ROUTE, error)
    before = await open_alerts(database)

    await process(database).record(PERMIT, ROUTE, None)

    assert (before, await open_alerts(database)) == ([error.code], [])


async def test_the_alert_of_a_refused_key_is_closed_when_the_changed_route_answers(database: Database) -> None:
    gate = process(database)
    await gate.record(PERMIT, ROUTE, None)
    await gate.record(PERMIT, ROUTE, BadCredentials("bad key"))

    await gate.record(PERMIT, replace(ROUTE, route_number=1), None)

    assert await open_alerts(database) == []


async def test_a_process_whose_key_works_does_not_close_the_alert_of_one_whose_key_does_not(database: Database) -> None:
    well, sick = process(database), process(database)
    await well.record(PERMIT, ROUTE, None)
    await sick.record(PERMIT, ROUTE, BadCredentials("bad key"))

    await well.record(PERMIT, ROUTE, None)

    assert await open_alerts(database) == ["provider_auth"]
