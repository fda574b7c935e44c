"""Routes as live configuration, breakers that all workers share, and the route on each attempt."""

from shadowgraph.migrations.frozen import execute_frozen

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    execute_frozen(revision)
