from sqlalchemy import BigInteger, Column, Index, String, Table

from shadowgraph.db.dialect import IdColumn, JsonColumn, UtcDateTime
from shadowgraph.models.base import metadata

interactions = Table(
    "interactions",
    metadata,
    Column("id", IdColumn, primary_key=True),
    Column("run_id", IdColumn, nullable=False),
    Column("interrupt_id", String, nullable=False, comment="the graph library's name of the question"),
    Column("node", String, comment="the node that asked"),
    Column("question", JsonColumn, nullable=False, comment="{value}: what the graph asked, any JSON"),
    Column("schema", JsonColumn, comment="JSON schema of the answer; NULL: anything goes"),
    Column("default", JsonColumn, comment="{value}: the answer at the deadline; NULL: the run fails then"),
    Column("deadline_at", BigInteger, nullable=False, comment="ms of the database's clock"),
    Column("status", String, nullable=False, comment="open, answered, expired, closed"),
    Column("answer", JsonColumn, comment="{value}; set exactly when answered"),
    Column("who", String, comment="who answered; `default` at the deadline"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("answered_at", UtcDateTime),
)
"""A question or approval that waits for a person; people see it under "Approvals"."""

Index("ux_interactions_interrupt", interactions.c.run_id, interactions.c.interrupt_id, unique=True)
Index(
    "ix_interactions_open",
    interactions.c.deadline_at,
    postgresql_where=interactions.c.status == "open",
    sqlite_where=interactions.c.status == "open",
)
