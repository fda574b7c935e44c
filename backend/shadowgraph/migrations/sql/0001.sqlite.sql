CREATE TABLE alerts (
    id INTEGER NOT NULL,
    kind VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    workflow VARCHAR,
    message VARCHAR NOT NULL,
    data JSON NOT NULL,
    at DATETIME NOT NULL,
    acked_by VARCHAR,
    CONSTRAINT pk_alerts PRIMARY KEY (id)
)

-- next

CREATE UNIQUE INDEX ux_alerts_open ON alerts (kind, subject) WHERE acked_by IS NULL

-- next

CREATE TABLE artifacts (
    run_id VARCHAR NOT NULL,
    path VARCHAR NOT NULL,
    media_type VARCHAR NOT NULL,
    size BIGINT NOT NULL,
    sha256 VARCHAR NOT NULL,
    node VARCHAR,
    created_at DATETIME NOT NULL,
    CONSTRAINT pk_artifacts PRIMARY KEY (run_id, path)
)

-- next

CREATE INDEX ix_artifacts_sha256 ON artifacts (sha256)

-- next

CREATE TABLE audit (
    id INTEGER NOT NULL,
    at DATETIME NOT NULL,
    who VARCHAR NOT NULL,
    action VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    data JSON NOT NULL,
    CONSTRAINT pk_audit PRIMARY KEY (id)
)

-- next

CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    txid BIGINT DEFAULT 0 NOT NULL,
    run_id VARCHAR NOT NULL,
    seq BIGINT NOT NULL,
    type VARCHAR NOT NULL,
    payload JSON NOT NULL,
    at DATETIME NOT NULL,
    CONSTRAINT uq_events_run_id_seq UNIQUE (run_id, seq)
)

-- next

CREATE TABLE idempotency_keys (
    scope VARCHAR NOT NULL,
    "key" VARCHAR NOT NULL,
    request_hash VARCHAR NOT NULL,
    response JSON NOT NULL,
    created_at DATETIME NOT NULL,
    CONSTRAINT pk_idempotency_keys PRIMARY KEY (scope, "key")
)

-- next

CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at)

-- next

CREATE TABLE interactions (
    id VARCHAR NOT NULL,
    run_id VARCHAR NOT NULL,
    interrupt_id VARCHAR NOT NULL,
    node VARCHAR,
    question JSON NOT NULL,
    schema JSON,
    "default" JSON,
    deadline_at BIGINT NOT NULL,
    status VARCHAR NOT NULL,
    answer JSON,
    who VARCHAR,
    created_at DATETIME NOT NULL,
    answered_at DATETIME,
    CONSTRAINT pk_interactions PRIMARY KEY (id)
)

-- next

CREATE INDEX ix_interactions_open ON interactions (deadline_at) WHERE status = 'open'

-- next

CREATE UNIQUE INDEX ux_interactions_interrupt ON interactions (run_id, interrupt_id)

-- next

CREATE TABLE llm_attempts (
    run_id VARCHAR NOT NULL,
    call_key VARCHAR NOT NULL,
    request_hash VARCHAR NOT NULL,
    n INTEGER NOT NULL,
    status VARCHAR NOT NULL,
    at DATETIME NOT NULL,
    provider VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    prompt_tokens INTEGER,
    completion_tokens INTEGER,
    cached_tokens INTEGER,
    reasoning_tokens INTEGER,
    tokens_source VARCHAR,
    estimated_prompt_tokens INTEGER NOT NULL,
    cost_nano_usd BIGINT,
    error_class VARCHAR,
    ttft_ms INTEGER,
    latency_ms INTEGER,
    gated BOOLEAN NOT NULL,
    kind VARCHAR NOT NULL,
    workflow VARCHAR NOT NULL,
    version VARCHAR,
    agent VARCHAR NOT NULL,
    owner VARCHAR NOT NULL,
    CONSTRAINT pk_llm_attempts PRIMARY KEY (run_id, call_key, request_hash, n)
)

-- next

CREATE INDEX ix_llm_attempts_at ON llm_attempts (at)

-- next

CREATE TABLE llm_calls (
    run_id VARCHAR NOT NULL,
    call_key VARCHAR NOT NULL,
    request_hash VARCHAR NOT NULL,
    step_key VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    response_ref VARCHAR,
    at DATETIME NOT NULL,
    finished_at DATETIME,
    kind VARCHAR NOT NULL,
    workflow VARCHAR NOT NULL,
    version VARCHAR,
    agent VARCHAR NOT NULL,
    owner VARCHAR NOT NULL,
    CONSTRAINT pk_llm_calls PRIMARY KEY (run_id, call_key, request_hash)
)

-- next

CREATE INDEX ix_llm_calls_response_ref ON llm_calls (response_ref)

-- next

CREATE TABLE outbox (
    id INTEGER NOT NULL,
    topic VARCHAR NOT NULL,
    payload JSON NOT NULL,
    available_at BIGINT NOT NULL,
    created_at DATETIME NOT NULL,
    published_at DATETIME,
    CONSTRAINT pk_outbox PRIMARY KEY (id)
)

-- next

CREATE INDEX ix_outbox_available ON outbox (available_at)

-- next

CREATE INDEX ix_outbox_unpublished ON outbox (id) WHERE published_at IS NULL

-- next

CREATE TABLE payloads (
    sha256 VARCHAR NOT NULL,
    media_type VARCHAR NOT NULL,
    size BIGINT NOT NULL,
    body BLOB NOT NULL,
    CONSTRAINT pk_payloads PRIMARY KEY (sha256)
)

-- next

CREATE VIRTUAL TABLE run_texts USING fts5(run_id UNINDEXED, part UNINDEXED, text)

-- next

CREATE TABLE runs (
    id VARCHAR NOT NULL,
    workflow VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    reason VARCHAR,
    input_ref VARCHAR NOT NULL,
    input_preview VARCHAR NOT NULL,
    result_ref VARCHAR,
    error JSON,
    thread_id VARCHAR NOT NULL,
    checkpoint_thread VARCHAR NOT NULL,
    generation INTEGER DEFAULT '0' NOT NULL,
    version_id VARCHAR,
    snapshot_digest VARCHAR,
    priority SMALLINT DEFAULT '0' NOT NULL,
    available_at BIGINT NOT NULL,
    deadline_at BIGINT,
    lease_owner VARCHAR,
    lease_token BIGINT DEFAULT '0' NOT NULL,
    lease_expires_at BIGINT,
    claims INTEGER DEFAULT '0' NOT NULL,
    crash_streak INTEGER DEFAULT '0' NOT NULL,
    takeovers INTEGER DEFAULT '0' NOT NULL,
    control VARCHAR,
    event_seq BIGINT DEFAULT '0' NOT NULL,
    owner VARCHAR NOT NULL,
    subject VARCHAR,
    parent_run_id VARCHAR,
    traceparent VARCHAR,
    metadata JSON NOT NULL,
    options JSON NOT NULL,
    seed JSON,
    created_at DATETIME NOT NULL,
    started_at DATETIME,
    finished_at DATETIME,
    retention SMALLINT DEFAULT '0' NOT NULL,
    CONSTRAINT pk_runs PRIMARY KEY (id),
    CONSTRAINT ck_runs_leased_while_running CHECK ((status = 'RUNNING') = (lease_expires_at IS NOT NULL)),
    CONSTRAINT ck_runs_status CHECK (status IN ('QUEUED','RUNNING','AWAITING_HUMAN','PAUSED','BUDGET_EXCEEDED','COMPLETED','FAILED','CANCELLED')),
    CONSTRAINT ck_runs_priority CHECK (priority BETWEEN -10 AND 10)
)

-- next

CREATE INDEX ix_runs_admission ON runs (owner, status) WHERE kind = 'live' AND status IN ('QUEUED','RUNNING')

-- next

CREATE INDEX ix_runs_created ON runs (created_at DESC, id DESC)

-- next

CREATE INDEX ix_runs_deadline ON runs (deadline_at) WHERE deadline_at IS NOT NULL

-- next

CREATE INDEX ix_runs_due ON runs ((available_at - priority * 60000)) WHERE status = 'QUEUED'

-- next

CREATE INDEX ix_runs_input_ref ON runs (input_ref)

-- next

CREATE INDEX ix_runs_parent ON runs (parent_run_id) WHERE parent_run_id IS NOT NULL

-- next

CREATE INDEX ix_runs_result_ref ON runs (result_ref)

-- next

CREATE INDEX ix_runs_retention ON runs (retention, finished_at) WHERE finished_at IS NOT NULL AND retention < 3

-- next

CREATE INDEX ix_runs_running ON runs (status) WHERE status = 'RUNNING'

-- next

CREATE INDEX ix_runs_state_ref ON runs (json_extract(seed, '$.state_ref')) WHERE seed IS NOT NULL

-- next

CREATE INDEX ix_runs_thread ON runs (thread_id, id)

-- next

CREATE UNIQUE INDEX ux_runs_thread_started ON runs (thread_id) WHERE kind = 'live' AND started_at IS NOT NULL AND status IN ('RUNNING','AWAITING_HUMAN','PAUSED','BUDGET_EXCEEDED')

-- next

CREATE TABLE steps (
    run_id VARCHAR NOT NULL,
    superstep INTEGER NOT NULL,
    node VARCHAR NOT NULL,
    path VARCHAR NOT NULL,
    attempt INTEGER NOT NULL,
    status VARCHAR NOT NULL,
    started_at DATETIME NOT NULL,
    finished_at DATETIME,
    checkpoint_id VARCHAR,
    output_ref VARCHAR,
    summary VARCHAR,
    error JSON,
    CONSTRAINT pk_steps PRIMARY KEY (run_id, superstep, node, path, attempt)
)

-- next

CREATE INDEX ix_steps_output_ref ON steps (output_ref)

-- next

CREATE TABLE timelines (
    timeline INTEGER NOT NULL,
    promoted_at BIGINT,
    CONSTRAINT pk_timelines PRIMARY KEY (timeline)
)

-- next

CREATE TABLE tool_calls (
    run_id VARCHAR NOT NULL,
    call_key VARCHAR NOT NULL,
    args_hash VARCHAR NOT NULL,
    step_key VARCHAR NOT NULL,
    tool VARCHAR NOT NULL,
    schema_digest VARCHAR NOT NULL,
    effect VARCHAR NOT NULL,
    mode VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    doubts INTEGER NOT NULL,
    agent VARCHAR NOT NULL,
    args_ref VARCHAR NOT NULL,
    result_ref VARCHAR,
    error VARCHAR,
    at DATETIME NOT NULL,
    finished_at DATETIME,
    CONSTRAINT pk_tool_calls PRIMARY KEY (run_id, call_key, args_hash)
)

-- next

CREATE INDEX ix_tool_calls_args_ref ON tool_calls (args_ref)

-- next

CREATE INDEX ix_tool_calls_result_ref ON tool_calls (result_ref)

-- next

CREATE TABLE workers (
    id VARCHAR NOT NULL,
    host VARCHAR NOT NULL,
    pid INTEGER NOT NULL,
    build VARCHAR NOT NULL,
    pools JSON NOT NULL,
    slots INTEGER NOT NULL,
    started_at DATETIME NOT NULL,
    seen_at BIGINT NOT NULL,
    presence INTEGER,
    CONSTRAINT pk_workers PRIMARY KEY (id)
)

-- next

CREATE TABLE workflows (
    name VARCHAR NOT NULL,
    project VARCHAR NOT NULL,
    code_digest VARCHAR NOT NULL,
    input_schema JSON NOT NULL,
    output_schema JSON NOT NULL,
    graph JSON NOT NULL,
    description VARCHAR NOT NULL,
    timeout_s DOUBLE,
    seen_at DATETIME NOT NULL,
    CONSTRAINT pk_workflows PRIMARY KEY (name)
)

-- next

CREATE TRIGGER require_legal_transition BEFORE UPDATE OF status ON runs FOR EACH ROW
    WHEN OLD.status <> NEW.status AND OLD.status || '>' || NEW.status NOT IN (
        'AWAITING_HUMAN>CANCELLED',
        'AWAITING_HUMAN>FAILED',
        'AWAITING_HUMAN>PAUSED',
        'AWAITING_HUMAN>QUEUED',
        'BUDGET_EXCEEDED>CANCELLED',
        'BUDGET_EXCEEDED>FAILED',
        'BUDGET_EXCEEDED>PAUSED',
        'BUDGET_EXCEEDED>QUEUED',
        'FAILED>QUEUED',
        'PAUSED>AWAITING_HUMAN',
        'PAUSED>CANCELLED',
        'PAUSED>FAILED',
        'PAUSED>QUEUED',
        'QUEUED>CANCELLED',
        'QUEUED>FAILED',
        'QUEUED>PAUSED',
        'QUEUED>RUNNING',
        'RUNNING>AWAITING_HUMAN',
        'RUNNING>BUDGET_EXCEEDED',
        'RUNNING>CANCELLED',
        'RUNNING>COMPLETED',
        'RUNNING>FAILED',
        'RUNNING>PAUSED',
        'RUNNING>QUEUED'
    )
BEGIN
    SELECT RAISE(ABORT, 'illegal transition of a run');
END
