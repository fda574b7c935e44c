"""What attempts cost, budgets and what is held of them, prices that people set."""

from shadowgraph.migrations.frozen import execute_frozen

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    execute_frozen(revision)
