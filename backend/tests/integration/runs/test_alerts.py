"""Alerts, and the events that tell of them."""

from typing import Any

from sqlalchemy import select

from shadowgraph.core.ids import SYSTEM_RUN
from shadowgraph.db.engine import Database
from shadowgraph.models.events import events
from shadowgraph.runs.alerts import Alert, close_alerts, list_open_alerts, raise_alert, renew_alert
from tests.support.runs import CLOCK, start_run

KIND = "odd"


async def raise_it(database: Database, subject: str = "mine", **facts: Any) -> bool:
    async with database.write() as connection:
        return await raise_alert(
            connection, database.dialect, kind=KIND, subject=subject, message="look", at=CLOCK.now(), **facts
        )


async def told(database: Database) -> list[Any]:
    async with database.read() as connection:
        found = await connection.execute(select(events).where(events.c.run_id == SYSTEM_RUN).order_by(events.c.id))
        return list(found.mappings())


async def open_alerts(database: Database) -> list[Alert]:
    async with database.read() as connection:
        return list(await list_open_alerts(connection, kind=KIND))


async def test_an_alert_is_an_event_that_belongs_to_no_run(database: Database) -> None:
    run = await start_run(database)

    assert await raise_it(database, run.id, workflow="shapes")

    [event] = await told(database)
    assert (event["type"], event["seq"]) == ("alert.created", event["id"])
    assert event["payload"].items() >= {"kind": KIND, "subject": run.id, "workflow": "shapes"}.items()
    assert "look" not in str(event["payload"])


async def test_an_alert_that_is_open_already_is_told_once(database: Database) -> None:
    first, again = await raise_it(database), await raise_it(database)
    async with database.write() as connection:
        await renew_alert(
            connection, database.dialect, kind=KIND, subject="mine", message="newer", at=CLOCK.now(), data={}
        )

    assert (first, again) == (True, False)
    assert [alert.message for alert in await open_alerts(database)] == ["newer"]
    assert len(await told(database)) == 1


async def test_what_comes_back_after_its_end_is_told_again(database: Database) -> None:
    await raise_it(database)
    async with database.write() as connection:
        await close_alerts(connection, kind=KIND, subject="mine", who="somebody")
    await raise_it(database)

    assert len({event["payload"]["alert"] for event in await told(database)}) == 2


async def test_an_event_without_a_run_is_numbered_among_all_events(database: Database) -> None:
    await raise_it(database, "first")
    await start_run(database)
    await raise_it(database, "second")

    async with database.read() as connection:
        ids = list(await connection.scalars(select(events.c.id).order_by(events.c.id)))
    assert len(ids) == len(set(ids)) == 3
    assert [event["seq"] for event in await told(database)] == [ids[0], ids[2]]
