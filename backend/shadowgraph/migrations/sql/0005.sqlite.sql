ALTER TABLE workflows ADD COLUMN default_budget_nano_usd BIGINT
