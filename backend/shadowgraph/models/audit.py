from sqlalchemy import Column, String, Table

from shadowgraph.db.dialect import AutoId, IdColumn, JsonColumn, UtcDateTime
from shadowgraph.models.base import metadata

audit = Table(
    "audit",
    metadata,
    Column("id", AutoId, primary_key=True, autoincrement=True),
    Column("at", UtcDateTime, nullable=False),
    Column("who", String, nullable=False, comment="API key, local, or default"),
    Column("action", String, nullable=False, comment="run.pause, interaction.answer, thread.delete, …"),
    Column("subject", IdColumn, nullable=False, comment="the id of what was acted on"),
    Column("data", JsonColumn, nullable=False, comment="ids and numbers only: no text of a run"),
)
"""What people and services did to runs."""
