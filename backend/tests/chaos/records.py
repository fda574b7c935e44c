"""What a database holds of a run, read past the product: plain SQL on a connection of the test's own."""

import json
import weakref
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, create_engine, text

from shadowgraph.db.dialect import dialect_of, sync_url

Row = Mapping[str, Any]

TABLES_OF_A_RUN = {
    "events": "run_id",
    "steps": "run_id",
    "llm_calls": "run_id",
    "llm_attempts": "run_id",
    "tool_calls": "run_id",
    "artifacts": "run_id",
    "interactions": "run_id",
    "checkpoints": "thread_id",
    "checkpoint_writes": "thread_id",
    "checkpoint_blobs": "thread_id",
}
"""Where a worker writes, and the column that says of which run. SQLite has no blobs, and calls the writes `writes`."""

JSON_COLUMNS = {"payload", "error", "answer"}
"""Of these tables: the ones that tests look into."""


@dataclass(frozen=True, slots=True)
class Record:
    """All rows of one run at one moment."""

    run: Row
    tables: Mapping[str, list[Row]]
    output: Any
    """Of a COMPLETED run."""

    @property
    def status(self) -> str:
        return str(self.run["status"])

    @property
    def claims(self) -> int:
        return int(self.run["claims"])

    def event_types(self) -> list[str]:
        return [row["type"] for row in self.tables["events"]]

    def first_event(self, kind: str) -> Row:
        return next(row for row in self.tables["events"] if row["type"] == kind)

    def tries(self) -> Counter[str]:
        """How often each node ran its first line."""
        return Counter(row["node"] for row in self.tables["steps"])

    def finished(self) -> Counter[tuple[int, str, str]]:
        return Counter(
            (row["superstep"], row["node"], row["path"]) for row in self.tables["steps"] if row["status"] == "finished"
        )

    def attempts(self, status: str) -> int:
        return sum(row["status"] == status for row in self.tables["llm_attempts"])

    def forks(self) -> int:
        """Checkpoints with more than one child: two workers wrote one thread."""
        children = Counter(
            (row["checkpoint_ns"], row["parent_checkpoint_id"])
            for row in self.tables["checkpoints"]
            if row["parent_checkpoint_id"]
        )
        return sum(count > 1 for count in children.values())


class Observer:
    """Looks into one database, over one connection that is made anew after an outage and closed when nobody looks any more."""

    def __init__(self, url: str) -> None:
        self._engine = create_engine(sync_url(url), pool_size=1, max_overflow=0, pool_pre_ping=True)
        weakref.finalize(self, self._engine.dispose)
        self._is_sqlite = dialect_of(url) == "sqlite"

    def rows(self, statement: str, **parameters: Any) -> list[Row]:
        with self._engine.connect() as connection:
            return self._rows(connection, statement, **parameters)

    def _rows(self, connection: Connection, statement: str, **parameters: Any) -> list[Row]:
        found = connection.execute(text(statement), parameters).mappings()
        return [_decoded(row) if self._is_sqlite else dict(row) for row in found]

    def scalar(self, statement: str, **parameters: Any) -> Any:
        with self._engine.connect() as connection:
            return connection.execute(text(statement), parameters).scalar()

    def execute(self, statement: str, **parameters: Any) -> None:
        with self._engine.begin() as connection:
            connection.execute(text(statement), parameters)

    def run(self, run_id: str) -> Row:
        return self.rows("SELECT * FROM runs WHERE id = :id", id=run_id)[0]

    def record(self, run_id: str) -> Record:
        with self._engine.connect() as connection:
            run = self._rows(connection, "SELECT * FROM runs WHERE id = :id", id=run_id)[0]
            keys = {"run_id": run_id, "thread_id": run["checkpoint_thread"]}
            tables = {
                table: self._rows(
                    connection, f"SELECT * FROM {self._name(table)} WHERE {column} = :key", key=keys[column]
                )
                for table, column in TABLES_OF_A_RUN.items()
                if not (self._is_sqlite and table == "checkpoint_blobs")
            }
            output = _output(connection, run)
        tables["events"].sort(key=lambda row: int(row["seq"]))
        return Record(run, tables, output)

    def _name(self, table: str) -> str:
        return "writes" if self._is_sqlite and table == "checkpoint_writes" else table


def _output(connection: Connection, run: Row) -> Any:
    if run["result_ref"] is None:
        return None
    statement = text("SELECT body FROM payloads WHERE sha256 = :sha")
    body = connection.execute(statement, {"sha": run["result_ref"]}).scalar_one()
    return json.loads(bytes(body))["output"]


def _decoded(row: Mapping[Any, Any]) -> Row:
    """SQLite keeps JSON and times as text."""
    decoded = dict(row)
    for name in JSON_COLUMNS & decoded.keys():
        decoded[name] = None if decoded[name] is None else json.loads(decoded[name])
    if isinstance(decoded.get("at"), str):
        decoded["at"] = datetime.fromisoformat(decoded["at"]).replace(tzinfo=UTC)
    return decoded
