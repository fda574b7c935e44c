"""All tables of the first release, frozen as SQL for each database in `migrations/sql/`."""

from datetime import UTC, datetime

from alembic import op

from shadowgraph.db.partitions import fixed_partitions, month_partitions
from shadowgraph.migrations.frozen import execute_frozen

revision = "0001"
down_revision = None


def upgrade() -> None:
    execute_frozen(revision)
    connection = op.get_bind()
    if connection.dialect.name == "postgresql":
        for statement in (*fixed_partitions(), *month_partitions(datetime.now(UTC))):
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
