from sqlalchemy import Column, Index, Integer, PrimaryKeyConstraint, String, Table

from shadowgraph.db.dialect import IdColumn, UtcDateTime
from shadowgraph.models.base import PARTITIONED_BY_RUN, metadata

tool_calls = Table(
    "tool_calls",
    metadata,
    Column("run_id", IdColumn, nullable=False),
    Column("call_key", String, nullable=False),
    Column("args_hash", String, nullable=False),
    Column("step_key", String, nullable=False),
    Column("tool", String, nullable=False),
    Column("schema_digest", String, nullable=False),
    Column("effect", String, nullable=False, comment="pure, read, write, irreversible"),
    Column("mode", String, nullable=False, comment="live and, later, recorded, stub"),
    Column("status", String, nullable=False, comment="started, done, failed, in_doubt, given_up"),
    Column("doubts", Integer, nullable=False, comment="how many doubts about it a person has settled"),
    Column("agent", String, nullable=False),
    Column("args_ref", String, nullable=False, comment="payloads.sha256"),
    Column("result_ref", String, comment="payloads.sha256; set exactly when done"),
    Column("error", String),
    Column("at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    PrimaryKeyConstraint("run_id", "call_key", "args_hash"),
    **PARTITIONED_BY_RUN,
)
"""Journal, audit and (later) shadow cassette of tool calls in one."""

Index("ix_tool_calls_args_ref", tool_calls.c.args_ref)
Index("ix_tool_calls_result_ref", tool_calls.c.result_ref)
