from sqlalchemy import BigInteger, Column, Integer, String, Table

from shadowgraph.db.dialect import JsonColumn, UtcDateTime
from shadowgraph.models.base import metadata

workers = Table(
    "workers",
    metadata,
    Column("id", String, primary_key=True),
    Column("host", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("build", String, nullable=False),
    Column("pools", JsonColumn, nullable=False, comment="the workflows that it has loaded"),
    Column("codes", JsonColumn, comment="snapshots.code_digest of the code that it has loaded; NULL: it pins no run"),
    Column("slots", Integer, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("seen_at", BigInteger, nullable=False, comment="ms of the database's clock, by the heartbeat"),
    Column("presence", Integer, comment="the number of its session lock; NULL when presence does not work here"),
)
