"""What runs of a workflow may spend that name no budget."""

from shadowgraph.migrations.frozen import execute_frozen

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    execute_frozen(revision)
