"""Who did what to which run."""

from datetime import datetime

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.json import JsonObject
from shadowgraph.models.audit import audit


async def record(
    connection: AsyncConnection, *, who: str, action: str, subject: str, at: datetime, data: JsonObject | None = None
) -> None:
    """`data`: ids and numbers only, so that deleting a run leaves no text of it here."""
    row = {"at": at, "who": who, "action": action, "subject": subject, "data": dict(data or {})}
    await connection.execute(insert(audit).inline().values(row))
