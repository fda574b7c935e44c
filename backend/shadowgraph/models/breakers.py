from sqlalchemy import BigInteger, Column, Integer, PrimaryKeyConstraint, String, Table

from shadowgraph.db.dialect import UtcDateTime
from shadowgraph.models.base import metadata

breakers = Table(
    "breakers",
    metadata,
    Column("provider", String, nullable=False),
    Column("model", String, nullable=False),
    Column("open_until", BigInteger, comment="ms of the database's clock; past: half-open; NULL: closed"),
    Column(
        "probe_until", BigInteger, comment="ms of the database's clock: until then somebody else's probe is waited for"
    ),
    Column("failures", Integer, nullable=False, comment="in a row, when it opened last"),
    Column("error", String, nullable=False, comment="the last one before it opened"),
    Column("opened_at", UtcDateTime, nullable=False, comment="the first time since it was closed last"),
    Column("changed_at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("provider", "model"),
)
"""One row per target that was ever found ill. What workers share of a circuit breaker; failures in a row are counted by each for itself."""
