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


IDS = """
CREATE TEMPORARY TABLE seeded AS
SELECT g, at,
    regexp_replace(
        lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' || substr(md5(g::text), 1, 3) || 'b' || substr(md5(g::text), 4, 15),
        '(.{8})(.{4})(.{4})(.{4})(.{12})', 'run_\\1-\\2-\\3-\\4-\\5'
    ) AS id
FROM (
    SELECT g, %(until)s::timestamptz - (%(days)s * interval '1 day') * (g::float / %(count)s) AS at
    FROM generate_series(0, %(count)s - 1) AS g
) AS spread
"""
"""Ids as runs get them, so that each lies in the partition of its time."""

RUNS = (
    "INSERT INTO payloads (sha256, media_type, size, body) VALUES (md5('in'), 'application/json', 2, '{}'), (md5('out'), 'application/json', 2, '{}')",
    """
INSERT INTO runs (
    id, workflow, kind, status, input_ref, input_preview, result_ref, thread_id, checkpoint_thread, available_at, lease_token, claims, event_seq,
    owner, metadata, options, created_at, started_at, finished_at, retention
)
SELECT id, 'five', 'live', CASE WHEN g % 20 = 0 THEN 'FAILED' ELSE 'COMPLETED' END, md5('in'), 'request ' || g, md5('out'), id, id,
    (extract(epoch FROM at) * 1000)::bigint, 2, 1, 23, 'local', '{}', '{}', at, at, at + interval '2 s', 3
FROM seeded
""",
    """
INSERT INTO run_texts (run_id, part, text)
SELECT id, 0, concat_ws(' ', 'request', g, words[1 + g % 10], words[1 + g / 10 % 10], words[1 + g / 100 % 10])
FROM seeded,
    (SELECT '{amber,basalt,cedar,delta,ember,fjord,garnet,harbour,island,quarry}'::text[] AS words) AS vocabulary
""",
    """
INSERT INTO steps (run_id, superstep, node, path, attempt, status, started_at, finished_at, summary)
SELECT id, 1, 'read', '', 1, 'finished', at, at + interval '1 s', 'read: 20 items' FROM seeded
""",
    "INSERT INTO events (run_id, seq, type, payload, at) SELECT id, 23, 'run.finished', '{\"status\": \"COMPLETED\"}', at FROM seeded",
    """
INSERT INTO llm_attempts (
    run_id, call_key, request_hash, n, status, at, provider, model, prompt_tokens, completion_tokens, tokens_source, estimated_prompt_tokens,
    cost_nano_usd, gated, kind, workflow, agent, owner
)
SELECT id, '0//read/1//0', md5(g::text), 1, 'done', at, 'steady', 'steady', 100, 50, 'provider', 100, 1000000, false, 'live', 'five', 'read', 'local'
FROM seeded
""",
    """
INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, checkpoint, metadata)
SELECT id, '', lpad(to_hex(g), 32, '0'), '{"v": 4, "channel_values": {}, "channel_versions": {}, "versions_seen": {}}', '{}' FROM seeded
""",
)
"""What a run leaves behind that is older than all retention, in brief: one row where a real run has several."""


def seed_runs(url: str, *, count: int, days: int, until: datetime) -> None:
    """Ended ones, spread evenly over the days before `until`."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(IDS, {"count": count, "days": days, "until": until})
        for statement in RUNS:
            connection.execute(statement)
        connection.execute("VACUUM ANALYZE")
