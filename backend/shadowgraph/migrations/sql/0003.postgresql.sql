ALTER TABLE llm_attempts ADD COLUMN estimated_completion_tokens INTEGER DEFAULT '0' NOT NULL

-- next

ALTER TABLE llm_attempts ADD COLUMN estimated_cost_nano_usd BIGINT

-- next

ALTER TABLE llm_attempts ADD COLUMN price_source VARCHAR

-- next

ALTER TABLE llm_attempts ADD COLUMN unit_prices JSONB

-- next

CREATE TABLE budgets (
    id TEXT COLLATE "C" NOT NULL,
    subject VARCHAR NOT NULL,
    name VARCHAR NOT NULL,
    "window" VARCHAR NOT NULL,
    limit_nano_usd BIGINT NOT NULL,
    action VARCHAR NOT NULL,
    seed_nano_usd BIGINT,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_budgets PRIMARY KEY (id),
    CONSTRAINT ck_budgets_limit CHECK (limit_nano_usd >= 0)
)

-- next

CREATE UNIQUE INDEX ux_budgets_what ON budgets (subject, name, "window", action)

-- next

CREATE TABLE budget_periods (
    budget_id TEXT COLLATE "C" NOT NULL,
    period TEXT COLLATE "C" NOT NULL,
    spent_nano_usd BIGINT NOT NULL,
    held_nano_usd BIGINT NOT NULL,
    CONSTRAINT pk_budget_periods PRIMARY KEY (budget_id, period)
)

-- next

CREATE TABLE budget_holds (
    id TEXT COLLATE "C" NOT NULL,
    budget_id TEXT COLLATE "C" NOT NULL,
    period TEXT COLLATE "C" NOT NULL,
    amount_nano_usd BIGINT NOT NULL,
    run_id TEXT COLLATE "C" NOT NULL,
    call_key VARCHAR NOT NULL,
    request_hash VARCHAR NOT NULL,
    n INTEGER NOT NULL,
    expires_at BIGINT NOT NULL,
    CONSTRAINT pk_budget_holds PRIMARY KEY (id, budget_id)
)

-- next

CREATE INDEX ix_budget_holds_budget_id ON budget_holds (budget_id)

-- next

CREATE TABLE price_overrides (
    id TEXT COLLATE "C" NOT NULL,
    provider VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    valid_from TIMESTAMP WITH TIME ZONE NOT NULL,
    prompt_nano_usd BIGINT NOT NULL,
    completion_nano_usd BIGINT NOT NULL,
    cached_nano_usd BIGINT,
    call_nano_usd BIGINT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL,
    who VARCHAR NOT NULL,
    CONSTRAINT pk_price_overrides PRIMARY KEY (id)
)

-- next

CREATE UNIQUE INDEX ux_price_overrides_what ON price_overrides (provider, model, valid_from)

-- next

UPDATE llm_attempts SET cost_nano_usd = 0, price_source = 'synthetic'
WHERE provider = 'offline' AND cost_nano_usd IS NULL AND status <> 'started'

-- next

UPDATE llm_attempts SET cost_nano_usd = 0
WHERE gated AND status = 'failed' AND tokens_source IS NULL AND cost_nano_usd IS NULL
