from sqlalchemy import BigInteger, Column, Index, LargeBinary, String, Table

from shadowgraph.db.dialect import UtcDateTime
from shadowgraph.models.base import metadata

blobs = Table(
    "blobs",
    metadata,
    Column("digest", String, primary_key=True, comment="SHA-256 of the body, 64 hex digits"),
    Column("size", BigInteger, nullable=False, comment="bytes"),
    Column("body", LargeBinary, nullable=False),
    Column("stored_at", UtcDateTime, nullable=False),
    Column("last_marked_at", UtcDateTime, nullable=False, comment="when somebody last registered a snapshot with it"),
)
"""Files of snapshots, once per content. `storage/snapshots/blobs/` holds copies; this table is what other hosts read."""

Index("ix_blobs_last_marked_at", blobs.c.last_marked_at)
