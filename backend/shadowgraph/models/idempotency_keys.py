from sqlalchemy import Column, PrimaryKeyConstraint, String, Table

from shadowgraph.db.dialect import JsonColumn, UtcDateTime
from shadowgraph.models.base import metadata

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("scope", String, nullable=False, comment="API key, or local"),
    Column("key", String, nullable=False),
    Column("request_hash", String, nullable=False, comment="of the canonical request body"),
    Column("response", JsonColumn, nullable=False, comment="{run_id}"),
    Column("created_at", UtcDateTime, nullable=False, index=True, comment="kept for 24 h"),
    PrimaryKeyConstraint("scope", "key"),
)
