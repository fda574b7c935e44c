"""Things that a person should look at. One open alert per kind and subject; each new one is an event, too."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.json import JsonObject
from shadowgraph.db.dialect import DialectName, insert
from shadowgraph.models.alerts import alerts
from shadowgraph.runs.events import ALERT_CREATED, NewEvent, append_system_event

BAD_PROJECT = "bad_project"
"""A project could not be loaded; the subject is its name."""


@dataclass(frozen=True, slots=True)
class Alert:
    subject: str
    message: str
    data: Mapping[str, Any]
    at: datetime


async def raise_alert(
    connection: AsyncConnection,
    dialect: DialectName,
    *,
    kind: str,
    subject: str,
    message: str,
    at: datetime,
    workflow: str | None = None,
    data: JsonObject | None = None,
) -> bool:
    """False when the same alert is open already.

    The event names the alert and leaves its message out: that may hold a run's words, which go when the run is deleted.
    """
    row = {
        "kind": kind,
        "subject": subject,
        "workflow": workflow,
        "message": message,
        "data": dict(data or {}),
        "at": at,
    }
    statement = insert(alerts, dialect).values(row).on_conflict_do_nothing().returning(alerts.c.id)
    alert_id = await connection.scalar(statement)
    if alert_id is None:
        return False
    payload: JsonObject = {"alert": alert_id, "kind": kind, "subject": subject, "workflow": workflow}
    await append_system_event(connection, dialect, NewEvent(ALERT_CREATED, payload), at=at)
    return True


async def renew_alert(
    connection: AsyncConnection,
    dialect: DialectName,
    *,
    kind: str,
    subject: str,
    message: str,
    at: datetime,
    data: JsonObject,
) -> None:
    """Raises it; one that is open already says from now on what is said last."""
    if await raise_alert(connection, dialect, kind=kind, subject=subject, message=message, at=at, data=data):
        return
    outdated = _is_open(kind, subject) & (alerts.c.message != message)
    await connection.execute(update(alerts).where(outdated).values(message=message, at=at, data=dict(data)))


async def close_alerts(connection: AsyncConnection, *, kind: str, subject: str, who: str) -> None:
    """What they were about is over."""
    await connection.execute(update(alerts).where(_is_open(kind, subject)).values(acked_by=who))


def _is_open(kind: str, subject: str) -> ColumnElement[bool]:
    return (alerts.c.kind == kind) & (alerts.c.subject == subject) & alerts.c.acked_by.is_(None)


async def list_open_alerts(connection: AsyncConnection, *, kind: str) -> Sequence[Alert]:
    """By subject."""
    statement = select(alerts.c.subject, alerts.c.message, alerts.c.data, alerts.c.at)
    rows = await connection.execute(
        statement.where(alerts.c.kind == kind, alerts.c.acked_by.is_(None)).order_by(alerts.c.subject)
    )
    return [Alert(*row) for row in rows]
