"""Which rows refer to payloads, and the removal of payloads to which none does any more.

A body is stored once for all that refer to it, so the end of a row is not the end of its payloads.
"""

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, Exists, Table, and_, delete, exists, func, literal_column, select, text, union
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.db.dialect import DialectName
from shadowgraph.models.artifacts import artifacts
from shadowgraph.models.llm_calls import llm_calls
from shadowgraph.models.payloads import payloads
from shadowgraph.models.runs import runs
from shadowgraph.models.steps import steps
from shadowgraph.models.tool_calls import tool_calls
from shadowgraph.runs.amounts import Amount

BATCH = 500
PAYLOADS = "payloads"

JOURNAL: Sequence[ColumnElement[str]] = (
    llm_calls.c.response_ref,
    tool_calls.c.args_ref,
    tool_calls.c.result_ref,
)
OTHERS: Sequence[ColumnElement[str]] = (
    runs.c.input_ref,
    runs.c.result_ref,
    steps.c.output_ref,
    artifacts.c.sha256,
)
COLUMNS: Sequence[ColumnElement[str]] = (*OTHERS, *JOURNAL)
"""Every column that holds a payload's digest; each has an index of its own. `runs.seed` refers to one, too."""

_STATE_REF: dict[DialectName, ColumnElement[str]] = {  # as the index spells it
    "postgresql": literal_column("(runs.seed ->> 'state_ref')"),
    "sqlite": literal_column("json_extract(runs.seed, '$.state_ref')"),
}


async def load_references(
    connection: AsyncConnection, dialect: DialectName, run_ids: Sequence[str], *, of_journal_only: bool = False
) -> set[str]:
    """The digests that these runs refer to."""
    columns = JOURNAL if of_journal_only else COLUMNS
    parts = [select(column).where(_run_id(column.table).in_(run_ids)) for column in columns]
    if not of_journal_only:
        parts.append(select(_STATE_REF[dialect]).select_from(runs).where(runs.c.id.in_(run_ids)))
    found = await connection.scalars(union(*parts))
    return {digest for digest in found if digest is not None}


async def delete_orphans(connection: AsyncConnection, dialect: DialectName, digests: Collection[str]) -> Amount:
    """Deletes those of these payloads to which no row refers."""
    if not digests:
        return Amount()
    await _keep_writers_away(connection, dialect)
    total = Amount()
    ordered = sorted(digests)
    for start in range(0, len(ordered), BATCH):
        statement = (
            delete(payloads)
            .where(payloads.c.sha256.in_(ordered[start : start + BATCH]), is_orphan(dialect))
            .returning(payloads.c.size)
        )
        sizes = (await connection.scalars(statement)).all()
        total += Amount(len(sizes), sum(sizes))
    return total


async def _keep_writers_away(connection: AsyncConnection, dialect: DialectName) -> None:
    """Until this transaction ends nobody else stores a payload; who has done so already has committed.

    A writer that finds its body in the table leaves it there and refers to it. Without this lock the body could be deleted between the two.
    """
    if dialect == "postgresql":  # SQLite has one writer anyway
        await connection.execute(text("LOCK TABLE payloads IN SHARE ROW EXCLUSIVE MODE"))


def is_orphan(dialect: DialectName, *, loses_journal: ColumnElement[bool] | None = None) -> ColumnElement[bool]:
    """No row refers to the payload of the outer query. `loses_journal`: runs whose journal counts as gone already."""
    by_column = [exists().where(column == payloads.c.sha256) for column in OTHERS]
    by_call = [_is_read(column, loses_journal) for column in JOURNAL]
    by_seed = exists().where(runs.c.seed.is_not(None), _STATE_REF[dialect] == payloads.c.sha256)
    return and_(*(~part.correlate(payloads) for part in (*by_column, *by_call, by_seed)))


def _is_read(column: ColumnElement[str], loses_journal: ColumnElement[bool] | None) -> Exists:
    found = exists().where(column == payloads.c.sha256)
    if loses_journal is None:
        return found
    return found.where(~exists().where(runs.c.id == _run_id(column.table), loses_journal))


async def find_orphans(connection: AsyncConnection, dialect: DialectName, *, after: str) -> tuple[set[str], str | None]:
    """The orphans among the next payloads by digest, and where to go on; None at the end of the table."""
    last = await _end_of_window(connection, after)
    if last is None:
        return set(), None
    statement = select(payloads.c.sha256).where(*_between(after, last), is_orphan(dialect))
    return set(await connection.scalars(statement)), last


async def measure_orphans(
    connection: AsyncConnection, dialect: DialectName, *, after: str, loses_journal: ColumnElement[bool]
) -> tuple[Amount, str | None]:
    """The same as an amount, as if the journals of those runs were gone."""
    last = await _end_of_window(connection, after)
    if last is None:
        return Amount(), None
    size = func.coalesce(func.sum(payloads.c.size), 0)
    statement = select(func.count(), size).where(
        *_between(after, last), is_orphan(dialect, loses_journal=loses_journal)
    )
    rows, size_bytes = (await connection.execute(statement)).one()
    return Amount(rows, int(size_bytes)), last


async def _end_of_window(connection: AsyncConnection, after: str) -> str | None:
    window = (
        select(payloads.c.sha256).where(payloads.c.sha256 > after).order_by(payloads.c.sha256).limit(BATCH).subquery()
    )
    last: str | None = await connection.scalar(select(func.max(window.c.sha256)))
    return last


def _between(after: str, last: str) -> list[ColumnElement[bool]]:
    return [payloads.c.sha256 > after, payloads.c.sha256 <= last]


def _run_id(table: Table) -> ColumnElement[str]:
    return table.c.id if table is runs else table.c.run_id
