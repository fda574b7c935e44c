from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, PrimaryKeyConstraint, String, Table

from shadowgraph.db.dialect import IdColumn, JsonColumn, UtcDateTime
from shadowgraph.models.base import PARTITIONED_BY_RUN, metadata


def _attribution() -> list[Column[str]]:
    """Copied onto each row, so that sums need no join."""
    return [
        Column("kind", String, nullable=False),
        Column("workflow", String, nullable=False),
        Column("version", String),
        Column("agent", String, nullable=False),
        Column("owner", String, nullable=False),
    ]


llm_calls = Table(
    "llm_calls",
    metadata,
    Column("run_id", IdColumn, nullable=False),
    Column("call_key", String, nullable=False),
    Column("request_hash", String, nullable=False),
    Column(
        "step_key", String, nullable=False, comment="call_key without generation and index: what one step reads at once"
    ),
    Column("status", String, nullable=False, comment="started, done, rejected, in_doubt"),
    Column("response_ref", String, comment="payloads.sha256 of the completion as JSON; set exactly when done"),
    Column("at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    *_attribution(),
    PrimaryKeyConstraint("run_id", "call_key", "request_hash"),
    **PARTITIONED_BY_RUN,
)
"""One row per logical call."""

llm_attempts = Table(
    "llm_attempts",
    metadata,
    Column("run_id", IdColumn, nullable=False),
    Column("call_key", String, nullable=False),
    Column("request_hash", String, nullable=False),
    Column("n", Integer, nullable=False),
    Column("status", String, nullable=False, comment="started, done, failed, in_doubt"),
    Column("at", UtcDateTime, nullable=False),
    Column("provider", String, nullable=False),
    Column("model", String, nullable=False),
    Column("prompt_tokens", Integer),
    Column("completion_tokens", Integer),
    Column("cached_tokens", Integer),
    Column("reasoning_tokens", Integer),
    Column("tokens_source", String, comment="provider, estimated; NULL while nothing is known"),
    Column("estimated_prompt_tokens", Integer, nullable=False, comment="booked when the attempt ends in doubt"),
    Column(
        "estimated_completion_tokens", Integer, nullable=False, server_default="0", comment="booked in the same case"
    ),
    Column("estimated_cost_nano_usd", BigInteger, comment="of these tokens, booked in the same case; NULL = unknown"),
    Column("cost_nano_usd", BigInteger, comment="NULL = unknown, never 0 for unknown"),
    Column("price_source", String, comment="override, provider, list, synthetic; NULL: no price was needed or known"),
    Column("unit_prices", JsonColumn, comment="{prompt, cached, completion, call}: USD per million tokens, as text"),
    Column("error_class", String),
    Column("ttft_ms", Integer, comment="time to the first token"),
    Column("latency_ms", Integer),
    Column("gated", Boolean, nullable=False, comment="false = only metered by callbacks"),
    Column("route", String, comment="NULL: the author named the model"),
    Column("route_number", Integer, comment="which change of the route said so; 0 = the settings"),
    *_attribution(),
    PrimaryKeyConstraint("run_id", "call_key", "request_hash", "n"),
    **PARTITIONED_BY_RUN,
)
"""One row per request to a provider. Tokens and money are summed over these rows only."""

Index("ix_llm_attempts_at", llm_attempts.c.at)
Index("ix_llm_calls_response_ref", llm_calls.c.response_ref)
