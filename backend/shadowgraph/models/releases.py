from sqlalchemy import CheckConstraint, Column, Integer, PrimaryKeyConstraint, String, Table

from shadowgraph.db.dialect import IdColumn, JsonColumn, UtcDateTime
from shadowgraph.models.base import metadata

releases = Table(
    "releases",
    metadata,
    Column("workflow", String, primary_key=True),
    Column("revision", Integer, nullable=False, comment="number of the last event; every change raises it by one"),
    Column("active_version", IdColumn, nullable=False, comment="versions.id"),
    Column("previous_version", IdColumn, comment="versions.id; active before this one"),
    Column("candidate_version", IdColumn, comment="versions.id"),
    Column("rollout_id", IdColumn),
    Column("shadow_bp", Integer, nullable=False, comment="share of live runs that are shadowed, in 1/10000"),
    Column("updated_at", UtcDateTime, nullable=False),
    CheckConstraint("revision >= 1", name="revision"),
    CheckConstraint("candidate_version IS NULL OR candidate_version <> active_version", name="candidate"),
    CheckConstraint("shadow_bp BETWEEN 0 AND 10000", name="shadow_bp"),
    CheckConstraint("candidate_version IS NOT NULL OR shadow_bp = 0", name="shadow_of_candidate"),
    postgresql_with={"fillfactor": "70"},
)
"""The pointer of each workflow. Changed only together with an event, by compare and swap on `revision`."""

release_events = Table(
    "release_events",
    metadata,
    Column("workflow", String, nullable=False),
    Column("revision", Integer, nullable=False, comment="1, 2, …"),
    Column("at", UtcDateTime, nullable=False),
    Column("action", String, nullable=False, comment="create, promote, rollback, withdraw, revoke, keep"),
    Column("actor", String, nullable=False, comment="API key, or local"),
    Column("reason", String, nullable=False),
    Column("before", JsonColumn, comment="the pointer and the marks of the versions concerned; NULL for the first"),
    Column("after", JsonColumn, nullable=False),
    Column("evidence_rollout", IdColumn, comment="the rollout that spoke for it"),
    Column("in_flight", String, comment="finish, restart, cancel, hold; NULL where no run can be concerned"),
    Column("moved_runs", Integer, nullable=False),
    Column("prev_hash", String, nullable=False, comment="hash of the event before; empty for the first"),
    Column("hash", String, nullable=False, comment="SHA-256 over all other columns"),
    PrimaryKeyConstraint("workflow", "revision"),
)
"""Append-only: a trigger refuses everything else. Each hash also leaves the database, in a log line and an event."""
