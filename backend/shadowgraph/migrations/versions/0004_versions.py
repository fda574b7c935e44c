"""Snapshots, versions and releases of workflows."""

from shadowgraph.migrations.frozen import execute_frozen

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    execute_frozen(revision)
