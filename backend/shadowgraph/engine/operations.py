"""How each kind of row reaches its table. Every statement goes by primary key, so that its plan stays the same however large a table is.

One text serves both databases: it takes its values from a `Source`, which is the parameters of one row on SQLite, and on PostgreSQL the rows
of many runs at once.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from sqlalchemy import BigInteger, Table
from sqlalchemy.types import TypeEngine

from shadowgraph.costs.budgets import HOLD_MS
from shadowgraph.db.dialect import DialectName
from shadowgraph.engine import rows
from shadowgraph.engine.checkpoints import tables
from shadowgraph.engine.claim import Claim
from shadowgraph.models.artifacts import artifacts
from shadowgraph.models.budgets import budget_holds
from shadowgraph.models.events import events
from shadowgraph.models.interactions import interactions
from shadowgraph.models.llm_calls import llm_attempts, llm_calls
from shadowgraph.models.payloads import payloads
from shadowgraph.models.steps import steps
from shadowgraph.models.tool_calls import tool_calls

RowKind = type[Any]
"""A class of `rows.Row`."""
Column = tuple[str, TypeEngine[Any]]

_OF_CLAIM: Mapping[str, Callable[[Claim], Any]] = {
    "run_id": lambda claim: claim.run_id,
    "kind": lambda claim: claim.run.kind,
    "workflow": lambda claim: claim.run.workflow,
    "version": lambda claim: claim.run.version_id,
    "owner": lambda claim: claim.run.owner,
}
_RUN_ID = ("run_id",)
_ATTRIBUTION = tuple(_OF_CLAIM)


class Source(Protocol):
    """Where a statement finds its values."""

    now_ms: str

    def value(self, name: str) -> str:
        """How SQL spells the value of this name."""
        ...

    def select(self, values: Sequence[str]) -> str:
        """The SELECT that an INSERT takes its rows from."""
        ...

    def where(self, joined_by: str, table: str, conditions: Sequence[str]) -> str:
        """The end of an UPDATE (joined by FROM) or DELETE (by USING)."""
        ...


@dataclass(frozen=True, slots=True)
class Operation:
    """INSERT that leaves an existing row alone, but for the columns in `overwrites`."""

    table: Table
    adds: tuple[str, ...] = ()
    """What the claim knows."""
    overwrites: tuple[str, ...] = ()
    clears: tuple[str, ...] = ()
    """Columns that become NULL when the row is there already: what its last life left behind."""
    renames: Mapping[str, str] = field(default_factory=dict)
    """Row field to column, where they differ."""
    from_now: Mapping[str, str] = field(default_factory=dict)
    """Column to a row's field, or to a number: milliseconds from the database's now."""
    conflict: tuple[str, ...] = ()
    """The key that tells an existing row; the primary key unless given."""
    only_when: str = ""
    """What must hold for an existing row to be overwritten."""

    @property
    def keeps_first(self) -> bool:
        return not self.overwrites

    @property
    def key(self) -> tuple[str, ...]:
        return self.conflict or _key_of(self.table)

    def columns(self, kind: RowKind) -> list[Column]:
        names = [*self.adds, *(self.renames.get(name, name) for name in _field_names(kind))]
        return [(name, self.table.c[name].type if name in self.table.c else BigInteger()) for name in names]

    def sql(self, kind: RowKind, source: Source) -> str:
        sent = [name for name, _ in self.columns(kind) if name in self.table.c]
        values = [source.value(name) for name in sent]
        amounts = (text if text.isdigit() else source.value(text) for text in self.from_now.values())
        values += [f"{source.now_ms} + {amount}" for amount in amounts]
        into = f"INSERT INTO {self.table.name} AS old ({_names([*sent, *self.from_now])})"
        return f"{into} {source.select(values)} {self._on_conflict()}"

    def _on_conflict(self) -> str:
        if self.keeps_first:
            return "ON CONFLICT DO NOTHING"
        changed = [f'"{name}" = excluded."{name}"' for name in self.overwrites]
        changed += [f'"{name}" = NULL' for name in self.clears]
        condition = f" WHERE {self.only_when}" if self.only_when else ""
        return f"ON CONFLICT ({_names(self.key)}) DO UPDATE SET {', '.join(changed)}{condition}"

    def values(self, row: rows.Row, claim: Claim) -> list[Any]:
        added = [_OF_CLAIM[name](claim) for name in self.adds]
        return added + [getattr(row, name) for name in _field_names(type(row))]


@dataclass(frozen=True, slots=True)
class Ending:
    """UPDATE of an existing row by its primary key, which begins with the run's id."""

    table: Table
    keeps_first = False

    @property
    def key(self) -> tuple[str, ...]:
        return _key_of(self.table)

    def columns(self, kind: RowKind) -> list[Column]:
        return [(name, self.table.c[name].type) for name in (*_RUN_ID, *_field_names(kind))]

    def sql(self, kind: RowKind, source: Source) -> str:
        changed = [f'"{name}" = {source.value(name)}' for name in _field_names(kind) if name not in self.key]
        table = self.table.name
        return f"UPDATE {table} SET {', '.join(changed)} {source.where('FROM', table, _is_row(self, source))}"

    def values(self, row: rows.Row, claim: Claim) -> list[Any]:
        return [claim.run_id, *(getattr(row, name) for name in _field_names(type(row)))]


@dataclass(frozen=True, slots=True)
class Removal:
    """DELETE of one row by its primary key, whose columns are the run's id and the row's fields."""

    table: Table
    keeps_first = True

    @property
    def key(self) -> tuple[str, ...]:
        return _key_of(self.table)

    def columns(self, kind: RowKind) -> list[Column]:
        return [(name, self.table.c[name].type) for name in (*_RUN_ID, *_field_names(kind))]

    def sql(self, kind: RowKind, source: Source) -> str:
        table = self.table.name
        return f"DELETE FROM {table} {source.where('USING', table, _is_row(self, source))}"

    def values(self, row: rows.Row, claim: Claim) -> list[Any]:
        return [claim.run_id, *(getattr(row, name) for name in _field_names(type(row)))]


AnyOperation = Operation | Ending | Removal


def _key_of(table: Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.primary_key)


def _names(names: Sequence[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _is_row(operation: Ending | Removal, source: Source) -> list[str]:
    return [f'{operation.table.name}."{name}" = {source.value(name)}' for name in operation.key]


def _field_names(kind: RowKind) -> tuple[str, ...]:
    names: tuple[str, ...] = kind.__match_args__  # a dataclass's fields, in order
    return names


_COMMON: dict[RowKind, AnyOperation] = {
    rows.EventPruneRow: Removal(events),
    rows.PayloadRow: Operation(payloads),
    rows.HoldRow: Operation(budget_holds, adds=_RUN_ID, from_now={"expires_at": str(HOLD_MS)}),
    rows.StepRow: Operation(steps, adds=_RUN_ID),
    rows.StepEndRow: Ending(steps),
    rows.CallRow: Operation(llm_calls, adds=_ATTRIBUTION, overwrites=("status",), clears=("finished_at",)),
    rows.CallEndRow: Ending(llm_calls),
    rows.AttemptRow: Operation(llm_attempts, adds=_ATTRIBUTION),
    rows.AttemptEndRow: Ending(llm_attempts),
    rows.ToolRow: Operation(tool_calls, adds=_RUN_ID, overwrites=("status", "doubts"), clears=("finished_at", "error")),
    rows.ToolEndRow: Ending(tool_calls),
    # One that closed with its run opens again when the run, retried, still asks it.
    rows.InteractionRow: Operation(
        interactions,
        adds=_RUN_ID,
        overwrites=("status", "deadline_at"),
        from_now={"deadline_at": "wait_ms"},
        conflict=("run_id", "interrupt_id"),
        only_when="old.status = 'closed'",
    ),
    rows.ArtifactRow: Operation(
        artifacts, adds=_RUN_ID, overwrites=("media_type", "size", "sha256", "node", "created_at")
    ),
}
_POSTGRESQL: dict[RowKind, AnyOperation] = {
    rows.CheckpointRow: Operation(tables.pg_checkpoints, overwrites=("checkpoint", "metadata")),
    rows.BlobRow: Operation(tables.pg_blobs),
    rows.PendingRow: Operation(tables.pg_writes),
    rows.SpecialWriteRow: Operation(tables.pg_writes, overwrites=("channel", "type", "blob")),
}
_SQLITE: dict[RowKind, AnyOperation] = {
    rows.CheckpointRow: Operation(
        tables.sqlite_checkpoints, overwrites=("parent_checkpoint_id", "type", "checkpoint", "metadata")
    ),
    rows.PendingRow: Operation(tables.sqlite_writes, renames={"blob": "value"}),
    rows.SpecialWriteRow: Operation(
        tables.sqlite_writes, overwrites=("channel", "type", "value"), renames={"blob": "value"}
    ),
}
OPERATIONS: Mapping[DialectName, Mapping[RowKind, AnyOperation]] = {
    "postgresql": _COMMON | _POSTGRESQL,
    "sqlite": _COMMON | _SQLITE,
}
