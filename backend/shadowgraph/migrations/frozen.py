"""Runs a revision that is frozen as SQL, one file for each database."""

from pathlib import Path

from alembic import op

SQL = Path(__file__).parent / "sql"


def execute_frozen(revision: str) -> None:
    connection = op.get_bind()
    for statement in (SQL / f"{revision}.{connection.dialect.name}.sql").read_text().split("-- next\n"):
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
