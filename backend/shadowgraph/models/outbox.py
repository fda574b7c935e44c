from sqlalchemy import BigInteger, Column, Index, String, Table

from shadowgraph.db.dialect import AutoId, JsonColumn, UtcDateTime
from shadowgraph.models.base import metadata

outbox = Table(
    "outbox",
    metadata,
    Column("id", AutoId, primary_key=True, autoincrement=True),
    Column("topic", String, nullable=False, comment="run.dispatch, or the handler that wants the row"),
    Column("payload", JsonColumn, nullable=False),
    Column("available_at", BigInteger, nullable=False, comment="ms of the database's clock; not published before"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("published_at", UtcDateTime),
    postgresql_with={"fillfactor": "70"},
)
"""The only way out of a transaction."""

Index(
    "ix_outbox_unpublished",
    outbox.c.id,
    postgresql_where=outbox.c.published_at.is_(None),
    sqlite_where=outbox.c.published_at.is_(None),
)
Index("ix_outbox_available", outbox.c.available_at)
