"""Sees what each committed transaction has changed, by triggers in the database: it does not rely on what the code says of itself."""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from shadowgraph.engine.claim import Claim

RUN_FIELDS = (
    "status", "reason", "lease_owner", "lease_token", "lease_expires_at", "claims", "crash_streak", "takeovers", "control", "event_seq",
    "thread_id", "available_at", "deadline_at", "generation", "input_preview",
)  # fmt: skip
WATCHED: Mapping[str, tuple[str, ...]] = {
    "runs": RUN_FIELDS,
    "events": ("seq", "type", "payload"),
    "outbox": ("id", "available_at", "published_at"),
    "checkpoints": ("checkpoint_id", "parent_checkpoint_id"),
    "llm_calls": ("call_key", "request_hash", "status"),
    "interactions": ("id", "status", "answer", "deadline_at"),
}
_RUN_ID = {
    "runs": "{row}.id",
    "outbox": "json_extract({row}.payload, '$.run_id')",
    "checkpoints": "{row}.thread_id",  # a run's thread in the checkpoint tables carries the run's id
}

Fields = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """One row that was inserted (no `before`) or updated."""

    table: str
    run_id: str
    before: Fields | None
    after: Fields


@dataclass(frozen=True, slots=True)
class Transaction:
    claim: Claim | None
    """Whose right it is to write; None: it belongs to nobody's claim (API, sweeper, a claim itself)."""
    changes: tuple[Change, ...]
    contact_ms: int
    """How long the database has been there for everybody, outages left out."""
    patience_ms: int
    """How long an owner must have been silent before a sweeper may judge it now."""

    def of(self, table: str) -> list[Change]:
        return [change for change in self.changes if change.table == table]


def install(raw: sqlite3.Connection) -> None:
    raw.executescript(_script())


def take_changes(raw: sqlite3.Connection) -> tuple[Change, ...]:
    """To be called after each commit, before anything else can happen."""
    rows = raw.execute("SELECT tbl, run_id, old, new FROM temp.seen ORDER BY n").fetchall()
    if rows:
        raw.execute("DELETE FROM temp.seen")
    return tuple(Change(table, run_id, _load(old), orjson.loads(new)) for table, run_id, old, new in rows)


def _load(text: str | None) -> Fields | None:
    return orjson.loads(text) if text else None


def _script() -> str:
    table = "CREATE TEMP TABLE seen (n INTEGER PRIMARY KEY, tbl TEXT, run_id TEXT, old TEXT, new TEXT);"
    return table + "".join(_triggers(name, fields) for name, fields in WATCHED.items())


def _triggers(table: str, fields: tuple[str, ...]) -> str:
    run_id = _RUN_ID.get(table, "{row}.run_id").format(row="NEW")
    new, old = _as_json("NEW", fields), _as_json("OLD", fields)
    return f"""
        CREATE TEMP TRIGGER seen_{table}_insert AFTER INSERT ON main.{table} BEGIN
            INSERT INTO seen (tbl, run_id, old, new) VALUES ('{table}', {run_id}, NULL, {new});
        END;
        CREATE TEMP TRIGGER seen_{table}_update AFTER UPDATE ON main.{table} BEGIN
            INSERT INTO seen (tbl, run_id, old, new) VALUES ('{table}', {run_id}, {old}, {new});
        END;
    """


def _as_json(row: str, fields: tuple[str, ...]) -> str:
    pairs = (f"'{name}', {_readable(name, row)}" for name in fields)
    return f"json_object({', '.join(pairs)})"


def _readable(name: str, row: str) -> str:
    if name in ("payload", "answer"):
        return f"json(CAST({row}.{name} AS TEXT))"  # JSON inside JSON
    return f"{row}.{name}"
