from sqlalchemy import BigInteger, Column, FetchedValue, PrimaryKeyConstraint, String, Table

from shadowgraph.db.dialect import IdColumn, JsonColumn, UtcDateTime
from shadowgraph.models.base import PARTITIONED_BY_RUN, metadata

EVENT_IDS = "events_id"
"""The sequence behind `id` on PostgreSQL."""

events = Table(
    "events",
    metadata,
    Column("run_id", IdColumn, nullable=False),
    Column("seq", BigInteger, nullable=False, comment="1, 2, … within the run, in commit order"),
    Column("id", BigInteger, FetchedValue(), nullable=False, comment="the database numbers it, over all runs"),
    Column(
        "txid", BigInteger, FetchedValue(), nullable=False, comment="PostgreSQL: the writing transaction; SQLite: 0"
    ),
    Column("type", String, nullable=False),
    Column("payload", JsonColumn, nullable=False),
    Column("at", UtcDateTime, nullable=False),
    PrimaryKeyConstraint("run_id", "seq"),
    **PARTITIONED_BY_RUN,
)
"""Append-only, but that `output.delta` is pruned when the step's full output is stored: readers accept gaps.

A reader of the stream over all runs must follow (txid, id) below the oldest open transaction: ids become visible in commit order, not
in id order.
"""
