CREATE TABLE alerts (
    id BIGSERIAL NOT NULL,
    kind VARCHAR NOT NULL,
    subject VARCHAR NOT NULL,
    workflow VARCHAR,
    message VARCHAR NOT NULL,
    data JSONB NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    acked_by VARCHAR,
    CONSTRAINT pk_alerts PRIMARY KEY (id)
)

-- next

CREATE UNIQUE INDEX ux_alerts_open ON alerts (kind, subject) WHERE acked_by IS NULL

-- next

CREATE TABLE artifacts (
    run_id TEXT COLLATE "C" NOT NULL,
    path VARCHAR NOT NULL,
    media_type VARCHAR NOT NULL,
    size BIGINT NOT NULL,
    sha256 VARCHAR NOT NULL,
    node VARCHAR,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_artifacts PRIMARY KEY (run_id, path)
)

-- next

CREATE INDEX ix_artifacts_sha256 ON artifacts (sha256)

-- next

CREATE TABLE audit (
    id BIGSERIAL NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    who VARCHAR NOT NULL,
    action VARCHAR NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    data JSONB NOT NULL,
    CONSTRAINT pk_audit PRIMARY KEY (id)
)

-- next

CREATE SEQUENCE events_id

-- next

CREATE TABLE events (
    run_id TEXT COLLATE "C" NOT NULL,
    seq BIGINT NOT NULL,
    id BIGINT DEFAULT nextval('events_id') NOT NULL,
    txid XID8 DEFAULT pg_current_xact_id() NOT NULL,
    type VARCHAR NOT NULL,
    payload JSONB NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_events PRIMARY KEY (run_id, seq)
)
 PARTITION BY RANGE (run_id)

-- next

CREATE INDEX ix_events_txid_id ON events (txid, id)

-- next

CREATE TABLE idempotency_keys (
    scope VARCHAR NOT NULL,
    key VARCHAR NOT NULL,
    request_hash VARCHAR NOT NULL,
    response JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_idempotency_keys PRIMARY KEY (scope, key)
)

-- next

CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at)

-- next

CREATE TABLE interactions (
    id TEXT COLLATE "C" NOT NULL,
    run_id TEXT COLLATE "C" NOT NULL,
    interrupt_id VARCHAR NOT NULL,
    node VARCHAR,
    question JSONB NOT NULL,
    schema JSONB,
    "default" JSONB,
    deadline_at BIGINT NOT NULL,
    status VARCHAR NOT NULL,
    answer JSONB,
    who VARCHAR,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    answered_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_interactions PRIMARY KEY (id)
)

-- next

CREATE INDEX ix_interactions_open ON interactions (deadline_at) WHERE status = 'open'

-- next

CREATE UNIQUE INDEX ux_interactions_interrupt ON interactions (run_id, interrupt_id)

-- next

CREATE TABLE llm_attempts (
    run_id TEXT COLLATE "C" NOT NULL,
    call_key VARCHAR NOT NULL,
    request_hash VARCHAR NOT NULL,
    n INTEGER NOT NULL,
    status VARCHAR NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
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
 PARTITION BY RANGE (run_id)

-- next

CREATE INDEX ix_llm_attempts_at ON llm_attempts (at)

-- next

CREATE TABLE llm_calls (
    run_id TEXT COLLATE "C" NOT NULL,
    call_key VARCHAR NOT NULL,
    request_hash VARCHAR NOT NULL,
    step_key VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    response_ref VARCHAR,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    kind VARCHAR NOT NULL,
    workflow VARCHAR NOT NULL,
    version VARCHAR,
    agent VARCHAR NOT NULL,
    owner VARCHAR NOT NULL,
    CONSTRAINT pk_llm_calls PRIMARY KEY (run_id, call_key, request_hash)
)
 PARTITION BY RANGE (run_id)

-- next

CREATE INDEX ix_llm_calls_response_ref ON llm_calls (response_ref)

-- next

CREATE TABLE outbox (
    id BIGSERIAL NOT NULL,
    topic VARCHAR NOT NULL,
    payload JSONB NOT NULL,
    available_at BIGINT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    published_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_outbox PRIMARY KEY (id)
)
 WITH (fillfactor = 70)

-- next

CREATE INDEX ix_outbox_available ON outbox (available_at)

-- next

CREATE INDEX ix_outbox_unpublished ON outbox (id) WHERE published_at IS NULL

-- next

CREATE TABLE payloads (
    sha256 VARCHAR NOT NULL,
    media_type VARCHAR NOT NULL,
    size BIGINT NOT NULL,
    body BYTEA NOT NULL,
    CONSTRAINT pk_payloads PRIMARY KEY (sha256)
)

-- next

CREATE TABLE run_texts (
    run_id TEXT COLLATE "C" NOT NULL,
    part INTEGER NOT NULL,
    text TEXT NOT NULL,
    tsv TSVECTOR GENERATED ALWAYS AS (to_tsvector('simple', text)) STORED,
    CONSTRAINT pk_run_texts PRIMARY KEY (run_id, part)
)

-- next

CREATE INDEX ix_run_texts_tsv ON run_texts USING gin (tsv)

-- next

CREATE TABLE runs (
    id TEXT COLLATE "C" NOT NULL,
    workflow VARCHAR NOT NULL,
    kind VARCHAR NOT NULL,
    status VARCHAR NOT NULL,
    reason VARCHAR,
    input_ref VARCHAR NOT NULL,
    input_preview VARCHAR NOT NULL,
    result_ref VARCHAR,
    error JSONB,
    thread_id TEXT COLLATE "C" NOT NULL,
    checkpoint_thread TEXT COLLATE "C" NOT NULL,
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
    parent_run_id TEXT COLLATE "C",
    traceparent VARCHAR,
    metadata JSONB NOT NULL,
    options JSONB NOT NULL,
    seed JSONB,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE,
    finished_at TIMESTAMP WITH TIME ZONE,
    retention SMALLINT DEFAULT '0' NOT NULL,
    CONSTRAINT pk_runs PRIMARY KEY (id),
    CONSTRAINT ck_runs_leased_while_running CHECK ((status = 'RUNNING') = (lease_expires_at IS NOT NULL)),
    CONSTRAINT ck_runs_status CHECK (status IN ('QUEUED','RUNNING','AWAITING_HUMAN','PAUSED','BUDGET_EXCEEDED','COMPLETED','FAILED','CANCELLED')),
    CONSTRAINT ck_runs_priority CHECK (priority BETWEEN -10 AND 10)
)
 WITH (fillfactor = 70)

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

CREATE INDEX ix_runs_state_ref ON runs ((seed ->> 'state_ref')) WHERE seed IS NOT NULL

-- next

CREATE INDEX ix_runs_thread ON runs (thread_id, id)

-- next

CREATE UNIQUE INDEX ux_runs_thread_started ON runs (thread_id) WHERE kind = 'live' AND started_at IS NOT NULL AND status IN ('RUNNING','AWAITING_HUMAN','PAUSED','BUDGET_EXCEEDED')

-- next

CREATE TABLE steps (
    run_id TEXT COLLATE "C" NOT NULL,
    superstep INTEGER NOT NULL,
    node VARCHAR NOT NULL,
    path VARCHAR NOT NULL,
    attempt INTEGER NOT NULL,
    status VARCHAR NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    checkpoint_id VARCHAR,
    output_ref VARCHAR,
    summary VARCHAR,
    error JSONB,
    CONSTRAINT pk_steps PRIMARY KEY (run_id, superstep, node, path, attempt)
)
 PARTITION BY RANGE (run_id)

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
    run_id TEXT COLLATE "C" NOT NULL,
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
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_tool_calls PRIMARY KEY (run_id, call_key, args_hash)
)
 PARTITION BY RANGE (run_id)

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
    pools JSONB NOT NULL,
    slots INTEGER NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE NOT NULL,
    seen_at BIGINT NOT NULL,
    presence INTEGER,
    CONSTRAINT pk_workers PRIMARY KEY (id)
)

-- next

CREATE TABLE workflows (
    name VARCHAR NOT NULL,
    project VARCHAR NOT NULL,
    code_digest VARCHAR NOT NULL,
    input_schema JSONB NOT NULL,
    output_schema JSONB NOT NULL,
    graph JSONB NOT NULL,
    description VARCHAR NOT NULL,
    timeout_s DOUBLE PRECISION,
    seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_workflows PRIMARY KEY (name)
)

-- next

CREATE FUNCTION require_legal_transition() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (OLD.status, NEW.status) NOT IN (
        ('AWAITING_HUMAN', 'CANCELLED'),
        ('AWAITING_HUMAN', 'FAILED'),
        ('AWAITING_HUMAN', 'PAUSED'),
        ('AWAITING_HUMAN', 'QUEUED'),
        ('BUDGET_EXCEEDED', 'CANCELLED'),
        ('BUDGET_EXCEEDED', 'FAILED'),
        ('BUDGET_EXCEEDED', 'PAUSED'),
        ('BUDGET_EXCEEDED', 'QUEUED'),
        ('FAILED', 'QUEUED'),
        ('PAUSED', 'AWAITING_HUMAN'),
        ('PAUSED', 'CANCELLED'),
        ('PAUSED', 'FAILED'),
        ('PAUSED', 'QUEUED'),
        ('QUEUED', 'CANCELLED'),
        ('QUEUED', 'FAILED'),
        ('QUEUED', 'PAUSED'),
        ('QUEUED', 'RUNNING'),
        ('RUNNING', 'AWAITING_HUMAN'),
        ('RUNNING', 'BUDGET_EXCEEDED'),
        ('RUNNING', 'CANCELLED'),
        ('RUNNING', 'COMPLETED'),
        ('RUNNING', 'FAILED'),
        ('RUNNING', 'PAUSED'),
        ('RUNNING', 'QUEUED')
    ) THEN
        RAISE EXCEPTION 'illegal transition of run %: % to %', OLD.id, OLD.status, NEW.status;
    END IF;
    RETURN NEW;
END
$$

-- next

CREATE TRIGGER require_legal_transition BEFORE UPDATE OF status ON runs FOR EACH ROW
    WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION require_legal_transition()
