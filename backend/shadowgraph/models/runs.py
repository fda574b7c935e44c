from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, SmallInteger, String, Table, column, text

from shadowgraph.db.dialect import IdColumn, JsonColumn, UtcDateTime
from shadowgraph.models.base import metadata

runs = Table(
    "runs",
    metadata,
    Column("id", IdColumn, primary_key=True),
    Column("workflow", String, nullable=False),
    Column("kind", String, nullable=False, comment="live, shadow_twin, shadow_candidate, imported"),
    Column("status", String, nullable=False),
    Column(
        "reason", String, comment="why it is in this state: handoff, lease_expired, worker_lost, storage, unloadable, …"
    ),
    Column("input_ref", String, nullable=False, comment="payloads.sha256"),
    Column("input_preview", String, nullable=False, comment="first characters of the request, for lists"),
    Column("result_ref", String, comment="payloads.sha256; NULL until COMPLETED"),
    Column("error", JsonColumn, comment="{code, message, step, kind, retryable, …}; NULL unless FAILED"),
    Column(
        "thread_id", IdColumn, nullable=False, comment="the conversation; the run's own id unless the caller named one"
    ),
    Column("checkpoint_thread", IdColumn, nullable=False, comment="LangGraph's thread_id"),
    Column(
        "generation",
        Integer,
        nullable=False,
        server_default="0",
        comment="raised by fork, state edit and restart; part of every call key",
    ),
    Column("version_id", String, comment="versions.id; pinned by the request or the first claim; NULL: none"),
    Column(
        "snapshot_digest", String, comment="of that version; without one, of the project's files at the first claim"
    ),
    Column(
        "priority",
        SmallInteger,
        nullable=False,
        server_default="0",
        comment="-10..10; a point is worth a minute of waiting",
    ),
    Column("available_at", BigInteger, nullable=False, comment="ms of the database's clock; creation, or parked until"),
    Column("deadline_at", BigInteger, comment="ms of the database's clock; NULL = none"),
    Column("lease_owner", String, comment="workers.id"),
    Column(
        "lease_token",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="+1 on every claim and every exit, never decreases",
    ),
    Column("lease_expires_at", BigInteger, comment="ms of the database's clock; set exactly while RUNNING"),
    Column("claims", Integer, nullable=False, server_default="0"),
    Column("crash_streak", Integer, nullable=False, server_default="0", comment="takeovers since the last checkpoint"),
    Column("takeovers", Integer, nullable=False, server_default="0", comment="since a person last started it"),
    Column("control", String, comment="NULL, pause, cancel: what somebody wants; read by the heartbeat"),
    Column(
        "event_seq",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="number of the last event = the fence's counter",
    ),
    Column("owner", String, nullable=False, comment="API key, or local"),
    Column("subject", String, comment="on whose behalf, as the caller says"),
    Column("parent_run_id", IdColumn),
    Column("traceparent", String),
    Column("metadata", JsonColumn, nullable=False, comment="the caller's string map"),
    Column("options", JsonColumn, nullable=False, comment="max_steps and, later, dry_run, no_shadow, webhook"),
    Column(
        "seed", JsonColumn, comment="fork: {checkpoint_thread, checkpoint_id, state_ref}; applied by the first claim"
    ),
    Column("created_at", UtcDateTime, nullable=False),
    Column("started_at", UtcDateTime, comment="first claim"),
    Column("finished_at", UtcDateTime, comment="set exactly in the ended states"),
    Column(
        "retention",
        SmallInteger,
        nullable=False,
        server_default="0",
        comment="what its age has taken from it: 0 nothing, 1 pending writes, 2 all checkpoints but the last, 3 the journal",
    ),
    CheckConstraint("(status = 'RUNNING') = (lease_expires_at IS NOT NULL)", name="leased_while_running"),
    CheckConstraint(
        "status IN ('QUEUED','RUNNING','AWAITING_HUMAN','PAUSED','BUDGET_EXCEEDED','COMPLETED','FAILED','CANCELLED')",
        name="status",
    ),
    CheckConstraint("priority BETWEEN -10 AND 10", name="priority"),
    postgresql_with={"fillfactor": "70"},
)

# No index may stand on a column that the fence or the heartbeat touches: it would end HOT updates.
Index(
    "ix_runs_due",
    text("(available_at - priority * 60000)"),
    _table=runs,
    postgresql_where=column("status") == text("'QUEUED'"),
    sqlite_where=column("status") == text("'QUEUED'"),
)
Index(
    "ix_runs_running",
    runs.c.status,
    postgresql_where=column("status") == text("'RUNNING'"),
    sqlite_where=column("status") == text("'RUNNING'"),
)
# One that was paused before it ever ran stands in nobody's way.
_STARTED = text(
    "kind = 'live' AND started_at IS NOT NULL AND status IN ('RUNNING','AWAITING_HUMAN','PAUSED','BUDGET_EXCEEDED')"
)
Index(
    "ux_runs_thread_started",
    runs.c.thread_id,
    unique=True,
    postgresql_where=_STARTED,
    sqlite_where=_STARTED,
)
Index("ix_runs_thread", runs.c.thread_id, runs.c.id)
Index(
    "ix_runs_deadline",
    runs.c.deadline_at,
    postgresql_where=runs.c.deadline_at.is_not(None),
    sqlite_where=runs.c.deadline_at.is_not(None),
)
Index(
    "ix_runs_parent",
    runs.c.parent_run_id,
    postgresql_where=runs.c.parent_run_id.is_not(None),
    sqlite_where=runs.c.parent_run_id.is_not(None),
)
Index(
    "ix_runs_admission",
    runs.c.owner,
    runs.c.status,
    postgresql_where=text("kind = 'live' AND status IN ('QUEUED','RUNNING')"),
    sqlite_where=text("kind = 'live' AND status IN ('QUEUED','RUNNING')"),
)
Index(
    "ix_runs_retention",
    runs.c.retention,
    runs.c.finished_at,
    postgresql_where=text("finished_at IS NOT NULL AND retention < 3"),
    sqlite_where=text("finished_at IS NOT NULL AND retention < 3"),
)
_HAS_VERSION = text("version_id IS NOT NULL")
# Unfinished runs by the version that they are pinned to: what a rollback looks for.
_PINNED = text("version_id IS NOT NULL AND status IN ('QUEUED','RUNNING','AWAITING_HUMAN','PAUSED','BUDGET_EXCEEDED')")
Index("ix_runs_pinned", runs.c.version_id, postgresql_where=_PINNED, sqlite_where=_PINNED)
Index("ix_runs_version", runs.c.version_id, postgresql_where=_HAS_VERSION, sqlite_where=_HAS_VERSION)
Index("ix_runs_input_ref", runs.c.input_ref)
Index("ix_runs_result_ref", runs.c.result_ref)
Index("ix_runs_created", runs.c.created_at.desc(), runs.c.id.desc())
