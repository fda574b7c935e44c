"""Which code a snapshot needs, and which code each worker has."""

from alembic import op
from sqlalchemy import column, select, table, update

from shadowgraph.core.json import digest
from shadowgraph.db.dialect import JsonColumn
from shadowgraph.migrations.frozen import execute_frozen

revision = "0006"
down_revision = "0005"

_snapshots = table("snapshots", column("digest"), column("code_digest"), column("facets", JsonColumn))


def upgrade() -> None:
    execute_frozen(revision)
    connection = op.get_bind()
    for row in connection.execute(select(_snapshots.c.digest, _snapshots.c.facets)).all():
        code = digest({"code": row.facets["code"], "dependencies": row.facets["dependencies"]})
        connection.execute(update(_snapshots).where(_snapshots.c.digest == row.digest).values(code_digest=code))
