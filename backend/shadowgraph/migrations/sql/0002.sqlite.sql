CREATE TABLE routes (
    name VARCHAR NOT NULL,
    number INTEGER NOT NULL,
    targets JSON,
    when_no_key VARCHAR NOT NULL,
    rate_limit VARCHAR,
    at DATETIME NOT NULL,
    changed_by VARCHAR NOT NULL,
    CONSTRAINT pk_routes PRIMARY KEY (name, number)
)

-- next

CREATE TABLE breakers (
    provider VARCHAR NOT NULL,
    model VARCHAR NOT NULL,
    open_until BIGINT,
    probe_until BIGINT,
    failures INTEGER NOT NULL,
    error VARCHAR NOT NULL,
    opened_at DATETIME NOT NULL,
    changed_at DATETIME NOT NULL,
    CONSTRAINT pk_breakers PRIMARY KEY (provider, model)
)

-- next

ALTER TABLE llm_attempts ADD COLUMN route VARCHAR

-- next

ALTER TABLE llm_attempts ADD COLUMN route_number INTEGER
