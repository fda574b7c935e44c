from sqlalchemy import Column, Index, String, Table

from shadowgraph.db.dialect import AutoId, JsonColumn, UtcDateTime
from shadowgraph.models.base import metadata

alerts = Table(
    "alerts",
    metadata,
    Column("id", AutoId, primary_key=True, autoincrement=True),
    Column("kind", String, nullable=False),
    Column("subject", String, nullable=False, comment="what it is about: a run id, a version, …"),
    Column("workflow", String),
    Column("message", String, nullable=False),
    Column("data", JsonColumn, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    Column("acked_by", String, comment="NULL while open"),
)

Index(
    "ux_alerts_open",
    alerts.c.kind,
    alerts.c.subject,
    unique=True,
    postgresql_where=alerts.c.acked_by.is_(None),
    sqlite_where=alerts.c.acked_by.is_(None),
)
