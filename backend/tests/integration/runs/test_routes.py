"""Routes that are changed while processes run."""

import pytest

from shadowgraph.core.clock import ManualClock
from shadowgraph.db.engine import Database
from shadowgraph.llm.port import Target
from shadowgraph.llm.routes import Route, RouteTarget, seed_route
from shadowgraph.runs.routes import MAX_AGE_SECONDS, Change, LiveRoutes, RouteChanged, change_route, list_routes
from tests.support.runs import CLOCK

SEED = seed_route(["groq:openai/gpt-oss-120b", "groq:openai/gpt-oss-20b"])
LOCAL = (RouteTarget(Target("openai_compatible", "llama3"), total_seconds=600.0, context_tokens=8_192),)


async def change(
    database: Database, name: str, number: int, targets: tuple[RouteTarget, ...] | None, rate: str | None = None
) -> None:
    async with database.write() as connection:
        await change_route(
            connection, database.dialect, Change(name, number, targets, "skip", rate, CLOCK.now(), "local")
        )


async def test_the_default_route_is_as_the_settings_say_until_somebody_changes_it(database: Database) -> None:
    clock = ManualClock()
    live = LiveRoutes(database, SEED, clock=clock)
    before = await live.find("default")
    await change(database, "default", 1, LOCAL, rate="30/minute")

    clock.advance(MAX_AGE_SECONDS)
    after = await live.find("default")

    assert before == SEED
    assert after == Route("default", LOCAL, number=1, rate_limit="30/minute")


async def test_a_route_that_is_removed_is_again_as_the_settings_say_and_keeps_counting(database: Database) -> None:
    await change(database, "default", 1, LOCAL)
    await change(database, "local", 1, LOCAL)
    await change(database, "default", 2, None)
    await change(database, "local", 2, None)

    live = LiveRoutes(database, SEED, clock=ManualClock())

    assert await live.find("default") == Route("default", SEED.targets, number=2)
    assert await live.find("local") is None


async def test_two_people_who_change_the_same_route_do_not_overwrite_each_other(database: Database) -> None:
    await change(database, "local", 1, LOCAL)

    with pytest.raises(RouteChanged):
        await change(database, "local", 1, None)


async def test_the_default_route_is_listed_first(database: Database) -> None:
    await change(database, "cheap", 1, LOCAL)

    async with database.read() as connection:
        found = await list_routes(connection, SEED)

    assert [(route.name, last and last.changed_by) for route, last in found] == [("default", None), ("cheap", "local")]
