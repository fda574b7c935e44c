"""The statements that write the rows of running runs: one for the rows of many runs on PostgreSQL, one for each kind of row on SQLite.

On PostgreSQL the fence is the first part of the statement and every other part joins it: a run that is not ours any more adds no row and
disturbs nobody. Parts of one statement do not see each other's rows, so rows that meet in one place go in rounds, each a statement of its own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from sqlalchemy import Dialect
from sqlalchemy.dialects import postgresql, sqlite

from shadowgraph.db.arrays import BIGINT, BOOLEAN, INTEGER, JSONB, TEXT, TIMESTAMPTZ, Array, ElementType, element_type
from shadowgraph.db.dialect import now_ms
from shadowgraph.engine.claim import Claim
from shadowgraph.engine.operations import OPERATIONS, RowKind
from shadowgraph.engine.rows import EventRow, Row
from shadowgraph.models.events import events
from shadowgraph.runs.events import event_row

# Not "status = 'RUNNING'": a status literal would let a generic plan take the partial index on RUNNING. The CHECK makes them equal.
_IS_OURS = "runs.lease_token = {token} AND runs.lease_expires_at IS NOT NULL"
_PASS = """
    UPDATE runs SET event_seq = runs.event_seq + {events},
        crash_streak = CASE WHEN {is_progress} THEN 0 ELSE runs.crash_streak END
"""
"""The fence: asserts the lease token, raises the event counter and locks the run's row."""


@dataclass(slots=True, eq=False)
class Write:
    """What one run writes in one transaction."""

    claim: Claim
    rows: Sequence[Row]
    is_progress: bool = False
    reached: int | None = None
    """The event number that the last try has left, if it was committed."""
    events: list[EventRow] = field(init=False)

    def __post_init__(self) -> None:
        self.events = [row for row in self.rows if isinstance(row, EventRow)]


# --- SQLite ---------------------------------------------------------------------------------------------------------------------


class _OneRow:
    now_ms = str(now_ms().compile(dialect=sqlite.dialect()))

    def value(self, name: str) -> str:
        return f":{name}"

    def select(self, values: Sequence[str]) -> str:
        return f"SELECT {', '.join(values)} WHERE true"  # without it SQLite would take ON CONFLICT for a join

    def where(self, joined_by: str, table: str, conditions: Sequence[str]) -> str:
        return f"WHERE {' AND '.join(conditions)}"


@cache
def sqlite_fence() -> str:
    passing = _PASS.format(events=":events", is_progress=":is_progress")
    return f"{passing} WHERE runs.id = :id AND {_IS_OURS.format(token=':token')} RETURNING event_seq"


SQLITE_EVENTS = "INSERT INTO events (run_id, seq, type, payload, at) VALUES (:run_id, :seq, :type, :payload, :at)"


def sqlite_events(write: "Write", *, last_seq: int) -> list[dict[str, Any]]:
    first = last_seq - len(write.events) + 1
    rows = (
        event_row(write.claim.run_id, first + offset, row.event, at=row.at) for offset, row in enumerate(write.events)
    )
    return [{name: bind(row[name]) if bind else row[name] for name, bind in _event_binds().items()} for row in rows]


@cache
def _event_binds() -> Mapping[str, Any]:
    dialect = sqlite.dialect()
    return {name: _bind(events.c[name].type, dialect) for name in ("run_id", "seq", "type", "payload", "at")}


@dataclass(frozen=True, slots=True)
class RowStatement:
    text: str
    columns: Sequence[tuple[str, Any]]
    """Name, and what makes its value one that the driver takes; None: nothing need be done."""

    def parameters(self, values: Iterable[Any]) -> dict[str, Any]:
        return {
            name: value if bind is None else bind(value)
            for (name, bind), value in zip(self.columns, values, strict=True)
        }


@cache
def row_statement(kind: RowKind) -> RowStatement:
    operation = OPERATIONS["sqlite"][kind]
    dialect = sqlite.dialect()
    columns = [(name, _bind(column_type, dialect)) for name, column_type in operation.columns(kind)]
    return RowStatement(operation.sql(kind, _OneRow()), columns)


def _bind(column_type: Any, dialect: Dialect) -> Any:
    return column_type.dialect_impl(dialect).bind_processor(dialect)


# --- PostgreSQL -----------------------------------------------------------------------------------------------------------------

_RUN_IDS = "$1::text[]"
_FENCE_COLUMNS: Sequence[tuple[str, ElementType]] = (
    ("r", INTEGER), ("id", TEXT), ("token", BIGINT), ("events", INTEGER), ("is_progress", BOOLEAN),
)  # fmt: skip
_EVENT_COLUMNS: Sequence[tuple[str, ElementType]] = (
    ("back", INTEGER), ("type", TEXT), ("payload", JSONB), ("at", TIMESTAMPTZ),
)  # fmt: skip
"""`back`: how many events of the same write come after this one."""

Values = Sequence[Any]
Round = dict[RowKind, list[Values]]
"""By kind: the rows of a statement, each the number of its write and then its values."""


class _Numbers:
    """Of a statement's parameters; the first one is the run ids."""

    def __init__(self) -> None:
        self._last = 1

    def unnest(self, columns: Sequence[tuple[str, ElementType]]) -> str:
        first = self._last + 1
        self._last += len(columns)
        arrays = [f"${first + n}::{element.name}[]" for n, (_, element) in enumerate(columns)]
        names = ", ".join(f'"{name}"' for name, _ in columns)
        return f"unnest({', '.join(arrays)}) AS x({names})"


class _ManyRows:
    now_ms = str(now_ms().compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]

    def __init__(self, rows: str) -> None:
        self._rows = rows

    def value(self, name: str) -> str:
        return f'x."{name}"'

    def select(self, values: Sequence[str]) -> str:
        return f"SELECT {', '.join(values)} FROM {self._rows}"

    def where(self, joined_by: str, table: str, conditions: Sequence[str]) -> str:
        # The run ids keep every plan at the run's own rows, whatever the planner knows of the table.
        return f"{joined_by} {self._rows} WHERE {table}.run_id = ANY({_RUN_IDS}) AND {' AND '.join(conditions)}"


def _columns_of(kind: RowKind) -> Sequence[tuple[str, ElementType]]:
    if kind is EventRow:
        return (("r", INTEGER), *_EVENT_COLUMNS)
    columns = OPERATIONS["postgresql"][kind].columns(kind)
    return (("r", INTEGER), *((name, element_type(column_type)) for name, column_type in columns))


@dataclass(frozen=True, slots=True)
class BatchStatement:
    """Gives the number of each write that passed the fence, and the last event number that it may use."""

    text: bytes
    is_fenced: bool
    kinds: Sequence[tuple[RowKind, Sequence[ElementType]]]

    def parameters(self, run_ids: Sequence[str], fence: Sequence[Values], rows: Round) -> list[Array]:
        """Errors: as `ElementType.pack`."""
        packed = [TEXT.pack(run_ids)]
        if self.is_fenced:
            packed += _pack([element for _, element in _FENCE_COLUMNS], fence)
        for kind, elements in self.kinds:
            packed += _pack(elements, rows.get(kind, ()))
        return packed


def _pack(elements: Sequence[ElementType], rows: Sequence[Values]) -> list[Array]:
    if not rows:
        return [element.pack(()) for element in elements]
    return [element.pack(column) for element, column in zip(elements, zip(*rows, strict=True), strict=True)]


@cache
def batch_statement(kinds: tuple[RowKind, ...], *, is_fenced: bool) -> BatchStatement:
    """Built once for each set of kinds: a handful makes up nearly all writes."""
    numbers = _Numbers()
    parts = [_fence_part(numbers)] if is_fenced else []
    for n, kind in enumerate(kinds):
        rows = numbers.unnest(_columns_of(kind)) + (" JOIN f USING (r)" if is_fenced else "")
        sql = (
            _EVENTS.format(rows=rows) if kind is EventRow else OPERATIONS["postgresql"][kind].sql(kind, _ManyRows(rows))
        )
        parts.append(f"p{n} AS ({sql})")
    given = "SELECT r, seq FROM f" if is_fenced else f"SELECT cardinality({_RUN_IDS})"
    elements = [(kind, [element for _, element in _columns_of(kind)]) for kind in kinds]
    return BatchStatement(f"WITH {', '.join(parts)} {given}".encode(), is_fenced, elements)


_EVENTS = """
    INSERT INTO events (run_id, seq, type, payload, at)
    SELECT f.run_id, f.seq - x.back, x.type, x.payload, x.at FROM {rows}
"""


def _fence_part(numbers: _Numbers) -> str:
    x = numbers.unnest(_FENCE_COLUMNS)
    passing = _PASS.format(events="x.events", is_progress="x.is_progress")
    # `= ANY` pins the plan to the primary key, and locks in the order of the ids.
    where = f"WHERE runs.id = ANY({_RUN_IDS}) AND runs.id = x.id AND {_IS_OURS.format(token='x.token')}"
    return f"f AS ({passing} FROM {x} {where} RETURNING x.r, runs.id AS run_id, runs.event_seq AS seq)"


# --- what a batch sends ---------------------------------------------------------------------------------------------------------


def fence_rows(writes: Sequence[Write]) -> list[Values]:
    return [
        (n, write.claim.run_id, write.claim.token, len(write.events), write.is_progress)
        for n, write in enumerate(writes)
    ]


def rounds_of(writes: Sequence[Write]) -> list[Round]:
    """The first round has all events, and the first row of each place; a later row of the same place comes in a later round."""
    rounds: list[Round] = [{}]
    for number, write in enumerate(writes):
        _add_events(rounds[0], number, write)
        _add_rows(rounds, number, write)
    for rows in rounds:
        for kind, found in rows.items():
            if kind is not EventRow:  # what several runs share, such as payloads, every process locks in one order
                found.sort(key=_KEY_OF[kind])
    return rounds


def _add_events(rows: Round, number: int, write: Write) -> None:
    last = len(write.events) - 1
    for offset, row in enumerate(write.events):
        rows.setdefault(EventRow, []).append((number, last - offset, row.event.type, dict(row.event.payload), row.at))


def _add_rows(rounds: list[Round], number: int, write: Write) -> None:
    places: dict[Any, tuple[int, RowKind]] = {}
    """Table and key: in which round it was written last, and by which kind of row."""
    for row in write.rows:
        kind = type(row)
        if kind is EventRow:
            continue
        operation = OPERATIONS["postgresql"][kind]
        values = (number, *operation.values(row, write.claim))
        place = (operation.table.name, _KEY_OF[kind](values))
        at = 0
        if place in places:
            last, last_kind = places[place]
            if last_kind is kind and operation.keeps_first:
                continue
            at = last + 1
        places[place] = (at, kind)
        if at == len(rounds):
            rounds.append({})
        rounds[at].setdefault(kind, []).append(values)


def _key_taker(kind: RowKind) -> Callable[[Values], tuple[Any, ...]]:
    operation = OPERATIONS["postgresql"][kind]
    names = [name for name, _ in operation.columns(kind)]
    positions = [names.index(name) + 1 for name in operation.key]
    return lambda values: tuple(values[position] for position in positions)


_KEY_OF = {kind: _key_taker(kind) for kind in OPERATIONS["postgresql"]}
"""Takes the key out of a row's values."""
_KINDS: tuple[RowKind, ...] = (EventRow, *OPERATIONS["postgresql"])
ORDER: Mapping[RowKind, int] = {kind: n for n, kind in enumerate(_KINDS)}
"""Of the parts of a statement."""
