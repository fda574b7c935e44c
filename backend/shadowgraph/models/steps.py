from sqlalchemy import Column, Index, Integer, PrimaryKeyConstraint, String, Table

from shadowgraph.db.dialect import IdColumn, JsonColumn, UtcDateTime
from shadowgraph.models.base import PARTITIONED_BY_RUN, metadata

steps = Table(
    "steps",
    metadata,
    Column("run_id", IdColumn, nullable=False),
    Column("superstep", Integer, nullable=False),
    Column("node", String, nullable=False),
    Column("path", String, nullable=False, comment="namespace and task path: tells the tasks of a fan-out apart"),
    Column("attempt", Integer, nullable=False),
    Column("status", String, nullable=False, comment="running, finished, failed, interrupted, lost"),
    Column("started_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Column("checkpoint_id", String, comment="the checkpoint that the step started from"),
    Column("output_ref", String, comment="payloads.sha256 of what the node returned, as JSON"),
    Column("summary", String, comment="one line of what it returned"),
    Column("error", JsonColumn),
    PrimaryKeyConstraint("run_id", "superstep", "node", "path", "attempt"),
    **PARTITIONED_BY_RUN,
)

Index("ix_steps_output_ref", steps.c.output_ref)
