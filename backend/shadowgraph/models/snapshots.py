from sqlalchemy import BigInteger, Column, Index, String, Table

from shadowgraph.db.dialect import JsonColumn, UtcDateTime
from shadowgraph.models.base import metadata

snapshots = Table(
    "snapshots",
    metadata,
    Column("digest", String, primary_key=True, comment="SHA-256 of the canonical manifest, 64 hex digits"),
    Column("workflow", String, nullable=False),
    Column("manifest", JsonColumn, nullable=False),
    Column("facets", JsonColumn, nullable=False, comment="{facet: digest}: what kind of change"),
    Column(
        "code_digest",
        String,
        comment="of code and dependencies: which workers may run it; NULL: stored by an earlier release",
    ),
    Column("nodes", JsonColumn, nullable=False, comment="{node: digest}: which nodes changed"),
    Column("size", BigInteger, nullable=False, comment="bytes of its files"),
    Column(
        "provenance",
        JsonColumn,
        nullable=False,
        comment="where it was built first: {commit, dirty, python, shadowgraph}; no part of the digest",
    ),
    Column("created_at", UtcDateTime, nullable=False),
    Column("registered_at", UtcDateTime, nullable=False, comment="when somebody last registered this content"),
    Column("purged_at", UtcDateTime, comment="its files are gone; the same content registered again revives it"),
)

Index("ix_snapshots_workflow", snapshots.c.workflow)
# Each claim asks for it: without the index SQLite would read past the manifest.
Index("ix_snapshots_code", snapshots.c.digest, snapshots.c.code_digest)
