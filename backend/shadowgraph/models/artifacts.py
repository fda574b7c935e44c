from sqlalchemy import BigInteger, Column, Index, PrimaryKeyConstraint, String, Table

from shadowgraph.db.dialect import IdColumn, UtcDateTime
from shadowgraph.models.base import metadata

artifacts = Table(
    "artifacts",
    metadata,
    Column("run_id", IdColumn, nullable=False),
    Column("path", String, nullable=False, comment="relative, checked by core/paths.py"),
    Column("media_type", String, nullable=False),
    Column("size", BigInteger, nullable=False, comment="bytes"),
    Column("sha256", String, nullable=False, comment="payloads.sha256"),
    Column("node", String, comment="the node that left it"),
    Column("created_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("run_id", "path"),
)

Index("ix_artifacts_sha256", artifacts.c.sha256)
