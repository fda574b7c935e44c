from sqlalchemy import Column, Integer, PrimaryKeyConstraint, String, Table

from shadowgraph.db.dialect import IdColumn
from shadowgraph.models.base import metadata

run_texts = Table(
    "run_texts",
    metadata,
    Column("run_id", IdColumn, nullable=False),
    Column("part", Integer, nullable=False, comment="0 = the request, 1 = the result or the error"),
    Column("text", String, nullable=False),
    PrimaryKeyConstraint("run_id", "part"),
)
"""What the search looks through: a tsvector on PostgreSQL, an FTS5 table on SQLite (no primary key there: delete, then insert)."""
