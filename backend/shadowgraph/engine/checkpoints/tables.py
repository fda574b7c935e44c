"""The graph library's own tables, as its savers create them. Only the savers, their set-up and the writer know them."""

from sqlalchemy import Column, Integer, LargeBinary, MetaData, String, Table, Text
from sqlalchemy.dialects.postgresql import JSONB

_postgresql = MetaData()
_sqlite = MetaData()

pg_checkpoints = Table(
    "checkpoints",
    _postgresql,
    Column("thread_id", Text, primary_key=True),
    Column("checkpoint_ns", Text, primary_key=True),
    Column("checkpoint_id", Text, primary_key=True),
    Column("parent_checkpoint_id", Text),
    Column("type", Text),
    Column("checkpoint", JSONB, nullable=False),
    Column("metadata", JSONB, nullable=False),
)

pg_blobs = Table(
    "checkpoint_blobs",
    _postgresql,
    Column("thread_id", Text, primary_key=True),
    Column("checkpoint_ns", Text, primary_key=True),
    Column("channel", Text, primary_key=True),
    Column("version", Text, primary_key=True),
    Column("type", Text, nullable=False),
    Column("blob", LargeBinary),
)

pg_writes = Table(
    "checkpoint_writes",
    _postgresql,
    Column("thread_id", Text, primary_key=True),
    Column("checkpoint_ns", Text, primary_key=True),
    Column("checkpoint_id", Text, primary_key=True),
    Column("task_id", Text, primary_key=True),
    Column("task_path", Text, nullable=False),
    Column("idx", Integer, primary_key=True),
    Column("channel", Text, nullable=False),
    Column("type", Text),
    Column("blob", LargeBinary, nullable=False),
)

sqlite_checkpoints = Table(
    "checkpoints",
    _sqlite,
    Column("thread_id", String, primary_key=True),
    Column("checkpoint_ns", String, primary_key=True),
    Column("checkpoint_id", String, primary_key=True),
    Column("parent_checkpoint_id", String),
    Column("type", String),
    Column("checkpoint", LargeBinary),
    Column("metadata", LargeBinary),
)

sqlite_writes = Table(
    "writes",
    _sqlite,
    Column("thread_id", String, primary_key=True),
    Column("checkpoint_ns", String, primary_key=True),
    Column("checkpoint_id", String, primary_key=True),
    Column("task_id", String, primary_key=True),
    Column("task_path", String, nullable=False),
    Column("idx", Integer, primary_key=True),
    Column("channel", String, nullable=False),
    Column("type", String),
    Column("value", LargeBinary),
)
