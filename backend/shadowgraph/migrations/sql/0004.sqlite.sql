CREATE TABLE blobs (
    digest VARCHAR NOT NULL,
    size BIGINT NOT NULL,
    body BLOB NOT NULL,
    stored_at DATETIME NOT NULL,
    last_marked_at DATETIME NOT NULL,
    CONSTRAINT pk_blobs PRIMARY KEY (digest)
)

-- next

CREATE INDEX ix_blobs_last_marked_at ON blobs (last_marked_at)

-- next

CREATE TABLE snapshots (
    digest VARCHAR NOT NULL,
    workflow VARCHAR NOT NULL,
    manifest JSON NOT NULL,
    facets JSON NOT NULL,
    nodes JSON NOT NULL,
    size BIGINT NOT NULL,
    provenance JSON NOT NULL,
    created_at DATETIME NOT NULL,
    registered_at DATETIME NOT NULL,
    purged_at DATETIME,
    CONSTRAINT pk_snapshots PRIMARY KEY (digest)
)

-- next

CREATE INDEX ix_snapshots_workflow ON snapshots (workflow)

-- next

CREATE TABLE versions (
    id VARCHAR NOT NULL,
    workflow VARCHAR NOT NULL,
    seq INTEGER NOT NULL,
    snapshot_digest VARCHAR NOT NULL,
    message VARCHAR NOT NULL,
    author VARCHAR NOT NULL,
    created_at DATETIME NOT NULL,
    withdrawn_at DATETIME,
    revoked_at DATETIME,
    revoke_reason VARCHAR,
    keep BOOLEAN NOT NULL,
    CONSTRAINT pk_versions PRIMARY KEY (id)
)

-- next

CREATE UNIQUE INDEX ux_versions_seq ON versions (workflow, seq)

-- next

CREATE UNIQUE INDEX ux_versions_snapshot ON versions (workflow, snapshot_digest)

-- next

CREATE TABLE releases (
    workflow VARCHAR NOT NULL,
    revision INTEGER NOT NULL,
    active_version VARCHAR NOT NULL,
    previous_version VARCHAR,
    candidate_version VARCHAR,
    rollout_id VARCHAR,
    shadow_bp INTEGER NOT NULL,
    updated_at DATETIME NOT NULL,
    CONSTRAINT pk_releases PRIMARY KEY (workflow),
    CONSTRAINT ck_releases_revision CHECK (revision >= 1),
    CONSTRAINT ck_releases_candidate CHECK (candidate_version IS NULL OR candidate_version <> active_version),
    CONSTRAINT ck_releases_shadow_bp CHECK (shadow_bp BETWEEN 0 AND 10000),
    CONSTRAINT ck_releases_shadow_of_candidate CHECK (candidate_version IS NOT NULL OR shadow_bp = 0)
)

-- next

CREATE TABLE release_events (
    workflow VARCHAR NOT NULL,
    revision INTEGER NOT NULL,
    at DATETIME NOT NULL,
    action VARCHAR NOT NULL,
    actor VARCHAR NOT NULL,
    reason VARCHAR NOT NULL,
    "before" JSON,
    "after" JSON NOT NULL,
    evidence_rollout VARCHAR,
    in_flight VARCHAR,
    moved_runs INTEGER NOT NULL,
    prev_hash VARCHAR NOT NULL,
    hash VARCHAR NOT NULL,
    CONSTRAINT pk_release_events PRIMARY KEY (workflow, revision)
)

-- next

CREATE INDEX ix_runs_pinned ON runs (version_id) WHERE version_id IS NOT NULL AND status IN ('QUEUED','RUNNING','AWAITING_HUMAN','PAUSED','BUDGET_EXCEEDED')

-- next

CREATE TRIGGER refuse_update_of_release_event BEFORE UPDATE ON release_events
BEGIN
    SELECT RAISE(ABORT, 'release events are never changed');
END

-- next

CREATE TRIGGER refuse_delete_of_release_event BEFORE DELETE ON release_events
BEGIN
    SELECT RAISE(ABORT, 'release events are never changed');
END
