"""Rows by the million, written by the database itself. The one home of this."""

from datetime import datetime

import psycopg

ATTEMPTS = """
INSERT INTO llm_attempts (
    run_id, call_key, request_hash, n, status, at, provider, model, prompt_tokens, completion_tokens, cached_tokens, reasoning_tokens,
    tokens_source, estimated_prompt_tokens, cost_nano_usd, price_source, ttft_ms, latency_ms, gated, kind, workflow, version, agent, owner
)
SELECT
    'run_' || lpad(to_hex(g / 7), 32, '0'), '0//node' || g %% 5 || '/1//' || g, md5(g::text), 1,
    CASE WHEN g %% 50 = 0 THEN 'failed' ELSE 'done' END,
    %(until)s::timestamptz - (%(days)s * interval '1 day') * (g::float / %(count)s),
    'provider' || g %% 3, 'model' || g %% 6, 400 + g %% 1000, 50 + g %% 400, g %% 100, g %% 50,
    CASE WHEN g %% 40 = 0 THEN 'estimated' ELSE 'provider' END, 400,
    CASE WHEN g %% 25 = 0 THEN NULL ELSE 1000000 + g %% 5000000 END, 'list', 200, 900, true, 'live',
    'workflow' || g %% 8, 'v' || g %% 4, 'agent' || g %% 12, 'owner' || g %% 20
FROM generate_series(0, %(count)s - 1) AS g
"""
"""Seven attempts a run, spread evenly over the days before `until`."""


def seed_attempts(url: str, *, count: int, days: int, until: datetime) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(ATTEMPTS, {"count": count, "days": days, "until": until})
        connection.execute("VACUUM ANALYZE llm_attempts")
