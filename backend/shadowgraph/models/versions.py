from sqlalchemy import Boolean, Column, Index, Integer, String, Table

from shadowgraph.db.dialect import IdColumn, UtcDateTime
from shadowgraph.models.base import metadata

versions = Table(
    "versions",
    metadata,
    Column("id", IdColumn, primary_key=True),
    Column("workflow", String, nullable=False),
    Column("seq", Integer, nullable=False, comment="1, 2, … within the workflow: v1, v2, …"),
    Column("snapshot_digest", String, nullable=False, comment="snapshots.digest"),
    Column("message", String, nullable=False, comment="why it was made, in its author's words"),
    Column("author", String, nullable=False, comment="API key, or local"),
    Column("created_at", UtcDateTime, nullable=False),
    Column(
        "withdrawn_at", UtcDateTime, comment="a rollback left it, or a person said so; promoting it again needs force"
    ),
    Column("revoked_at", UtcDateTime, comment="for good: never promoted, claimed or rolled back to again"),
    Column("revoke_reason", String),
    Column("keep", Boolean, nullable=False, comment="its files are never collected"),
)
"""Never deleted. Draft, candidate, active and retired are no column: `releases` says it."""

Index("ux_versions_seq", versions.c.workflow, versions.c.seq, unique=True)
Index("ux_versions_snapshot", versions.c.workflow, versions.c.snapshot_digest, unique=True)
