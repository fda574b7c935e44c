from sqlalchemy import BigInteger, Column, Double, String, Table

from shadowgraph.db.dialect import JsonColumn, UtcDateTime
from shadowgraph.models.base import metadata

workflows = Table(
    "workflows",
    metadata,
    Column("name", String, primary_key=True),
    Column("project", String, nullable=False),
    Column("code_digest", String, nullable=False),
    Column("input_schema", JsonColumn, nullable=False),
    Column("output_schema", JsonColumn, nullable=False),
    Column(
        "graph",
        JsonColumn,
        nullable=False,
        comment="{nodes: [{name, level}], edges: [{source, target, conditional}], level}",
    ),
    Column("description", String, nullable=False),
    Column("timeout_s", Double, comment="for runs that name none; NULL: they have none"),
    Column(
        "default_budget_nano_usd", BigInteger, comment="for runs that name none; NULL: as the server's settings say"
    ),
    Column("seen_at", UtcDateTime, nullable=False),
)
"""Written by each worker that loaded a project; all that the API knows of a graph."""
