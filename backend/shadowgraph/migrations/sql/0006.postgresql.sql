ALTER TABLE snapshots ADD COLUMN code_digest VARCHAR

-- next

ALTER TABLE workers ADD COLUMN codes JSONB

-- next

CREATE INDEX ix_snapshots_code ON snapshots (digest, code_digest)

-- next

CREATE INDEX ix_runs_version ON runs (version_id) WHERE version_id IS NOT NULL
