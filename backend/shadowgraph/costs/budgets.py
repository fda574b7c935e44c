"""Budgets: money is set aside before a call leaves, in one short transaction of its own, and booked when the call has ended.

What an attempt cost stands in the ledger alone. A hold whose attempt has ended is folded into its budget with that cost, by whoever comes
first: the worker right after the call, the next one that needs the room, or the sweeper. So nothing is held for ever, and nothing is
counted twice.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.costs.limits import WHOLE, Account, Budget, Payer, bounds_of, refusal
from shadowgraph.db import dialect as db
from shadowgraph.db.dialect import DialectName, now_ms
from shadowgraph.models.budgets import budget_holds, budget_periods, budgets
from shadowgraph.models.llm_calls import llm_attempts
from shadowgraph.models.runs import runs

HOLD_MS = 300_000
"""A hold whose attempt never began goes after this long: its worker died in between."""
FOLD_AFTER_MS = 2_000
"""A hold whose attempt has ended is its worker's to fold; after this long it is anybody's."""
FOLD_BATCH = 500

_b, _p, _h, _a = budgets.c, budget_periods.c, budget_holds.c, llm_attempts.c
_COLUMNS = tuple(_b[field.name] for field in fields(Budget))
_ATTEMPT_KEY = ("run_id", "call_key", "request_hash", "n")


@dataclass(frozen=True, slots=True)
class AttemptKey:
    """Names one attempt in the ledger."""

    run_id: str
    call_key: str
    request_hash: str
    n: int


@dataclass(frozen=True, slots=True)
class Spent:
    """Of one budget in one period, in nano-USD."""

    spent: int
    held: int


# --- which apply ----------------------------------------------------------------------------------------------------------------


async def load_lineage(connection: AsyncConnection, run_id: str) -> list[str]:
    """The run, its parent, and so on; a parent that was deleted is the last one."""
    line = (
        select(runs.c.id, runs.c.parent_run_id, literal(0).label("depth"))
        .where(runs.c.id == run_id)
        .cte(recursive=True)
    )
    above = select(runs.c.id, runs.c.parent_run_id, line.c.depth + 1).join(line, runs.c.id == line.c.parent_run_id)
    line = line.union_all(above)
    found = (await connection.execute(select(line.c.id, line.c.parent_run_id).order_by(line.c.depth))).all()
    ids = [row.id for row in found] or [run_id]
    return [*ids, found[-1].parent_run_id] if found and found[-1].parent_run_id else ids


async def load_applying(connection: AsyncConnection, *payers: Payer) -> list[Budget]:
    """All that may apply to the calls of one of these payers, whoever makes them and wherever they go."""
    whose = {
        "runs": sorted({run_id for payer in payers for run_id in payer.lineage}),
        "workflows": sorted({payer.workflow for payer in payers}),
        "versions": sorted({payer.version or "" for payer in payers}),
        "owners": sorted({payer.owner for payer in payers}),
    }
    return [_budget(row) for row in await connection.execute(_APPLYING, whose)]


# Built once: every run asks for it, again and again.
_APPLYING = select(*_COLUMNS).where(
    or_(
        _b.subject.in_(("everything", "agent", "provider")),
        and_(_b.subject == "run", _b.name.in_(bindparam("runs", expanding=True))),
        and_(_b.subject == "workflow", _b.name.in_(bindparam("workflows", expanding=True))),
        and_(_b.subject == "version", _b.name.in_(bindparam("versions", expanding=True))),
        and_(_b.subject == "owner", _b.name.in_(bindparam("owners", expanding=True))),
    )
)


def _budget(row: Row[Any]) -> Budget:
    return Budget(**row._mapping)


# --- set aside, book ------------------------------------------------------------------------------------------------------------


async def reserve(
    connection: AsyncConnection,
    dialect: DialectName,
    accounts: Sequence[Account],
    attempt: AttemptKey,
    *,
    hold_id: str,
    nano_usd: int,
) -> list[Account]:
    """The budgets that only warn and are exceeded now. `accounts` in the order of `accounts_for`.

    Errors: `BudgetExceeded`, `FallBack`; the transaction must then be rolled back.
    """
    exceeded = [account for account in accounts if await _set_aside(connection, dialect, account, nano_usd)]
    await connection.execute(insert(budget_holds).values(_hold_rows(hold_id, accounts, attempt, nano_usd=nano_usd)))
    return exceeded


async def has_hold(connection: AsyncConnection, hold_id: str) -> bool:
    return await connection.scalar(select(exists().where(_h.id == hold_id))) or False


def _hold_rows(
    hold_id: str, accounts: Iterable[Account], attempt: AttemptKey, *, nano_usd: int
) -> list[dict[str, Any]]:
    return [
        {
            "id": hold_id,
            "budget_id": account.budget.id,
            "period": account.period,
            "amount_nano_usd": nano_usd,
            "run_id": attempt.run_id,
            "call_key": attempt.call_key,
            "request_hash": attempt.request_hash,
            "n": attempt.n,
            "expires_at": now_ms() + HOLD_MS,
        }
        for account in accounts
    ]


async def _set_aside(connection: AsyncConnection, dialect: DialectName, account: Account, nano_usd: int) -> bool:
    """True: the budget only warns, and it is exceeded.

    Errors: `BudgetExceeded`, `FallBack`.
    """
    after = await _try_to_hold(connection, account, nano_usd)
    if after is None and await open_period(connection, dialect, account):
        after = await _try_to_hold(connection, account, nano_usd)
    if after is not None:
        return not account.budget.stops and after.spent + after.held > account.budget.limit_nano_usd
    fresh = await find_budget(connection, account.budget.id)
    if fresh is None:
        return False  # removed just now: nothing limits any more
    now = await load_spent(connection, account)
    raise refusal(Account(fresh, account.period), spent=now.spent, held=now.held, needed=nano_usd)


async def _try_to_hold(connection: AsyncConnection, account: Account, nano_usd: int) -> Spent | None:
    """What is spent and held then; None: there is no room, or no row for this period yet."""
    limit = select(_b.limit_nano_usd).where(_b.id == _p.budget_id).scalar_subquery()
    has_room = _p.spent_nano_usd + _p.held_nano_usd + nano_usd <= limit if account.budget.stops else true()
    statement = (
        update(budget_periods)
        .where(_is(account), has_room)
        .values(held_nano_usd=_p.held_nano_usd + nano_usd)
        .returning(_p.spent_nano_usd, _p.held_nano_usd)
    )
    row = (await connection.execute(statement)).first()
    return Spent(*row) if row else None


async def settle(connection: AsyncConnection, hold_id: str, *, cost_nano_usd: int | None) -> None:
    """Books what the attempt cost. Does nothing when the hold is folded already. None: unknown, which no budget can count."""
    gone = delete(budget_holds).where(_h.id == hold_id).returning(_h.budget_id, _h.period, _h.amount_nano_usd)
    rows = (await connection.execute(gone)).all()
    await _book(connection, [(row.budget_id, row.period, row.amount_nano_usd, cost_nano_usd or 0) for row in rows])


async def fold_ended(
    connection: AsyncConnection,
    dialect: DialectName,
    *,
    budget_ids: Collection[str] | None = None,
    run_ids: Collection[str] | None = None,
    older_than_ms: int = 0,
) -> int:
    """Books the holds whose attempts have ended, and gives back those whose attempts never began; how many that were. None: of all."""
    has_ended = _a.status.is_not(None) & (_a.status != "started")
    was_lost = _a.status.is_(None) & (_h.expires_at < now_ms())
    old_enough = _h.expires_at <= now_ms() + HOLD_MS - older_than_ms
    statement = (
        select(_h.id, _h.budget_id, _h.period, _h.amount_nano_usd, _a.cost_nano_usd)
        .outerjoin(llm_attempts, and_(*(_h[name] == _a[name] for name in _ATTEMPT_KEY)))
        .where(old_enough, or_(has_ended, was_lost))
        .limit(FOLD_BATCH)
        .with_for_update(of=budget_holds, skip_locked=True)
    )
    if budget_ids is not None:
        statement = statement.where(_h.budget_id.in_(budget_ids))
    if run_ids is not None:
        statement = statement.where(_h.run_id.in_(run_ids))
    rows = (await connection.execute(statement)).all()
    if rows:
        await _open_missing(connection, dialect, {(row.budget_id, row.period) for row in rows})
        keys = [(row.id, row.budget_id) for row in rows]
        await connection.execute(delete(budget_holds).where(tuple_(_h.id, _h.budget_id).in_(keys)))
        booked = [(row.budget_id, row.period, row.amount_nano_usd, row.cost_nano_usd or 0) for row in rows]
        await _book(connection, booked)
    return len(rows)


async def _book(connection: AsyncConnection, booked: Iterable[tuple[str, str, int, int]]) -> None:
    """Budget, period, what was held, what it cost."""
    sums: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for budget_id, period, held, cost in booked:
        sums[budget_id, period][0] += held
        sums[budget_id, period][1] += cost
    for (budget_id, period), (held, cost) in sorted(sums.items()):
        await connection.execute(
            update(budget_periods)
            .where(_p.budget_id == budget_id, _p.period == period)
            .values(held_nano_usd=_p.held_nano_usd - held, spent_nano_usd=_p.spent_nano_usd + cost)
        )


# --- periods --------------------------------------------------------------------------------------------------------------------


async def open_period(connection: AsyncConnection, dialect: DialectName, account: Account) -> bool:
    """False when it was open already. It begins with what the ledger says was spent in it, but for what is still held."""
    if await _find_spent(connection, account) is not None:
        return False
    values = select(literal(account.budget.id), literal(account.period), _spent_by_ledger(account), literal(0))
    columns = ["budget_id", "period", "spent_nano_usd", "held_nano_usd"]
    statement = db.insert(budget_periods, dialect).from_select(columns, values).on_conflict_do_nothing()
    await connection.execute(statement)
    return True


async def recount(connection: AsyncConnection, account: Account) -> None:
    """Makes the budget say what the ledger says, whatever happened in between."""
    await connection.execute(select(_p.period).where(_is(account)).with_for_update())
    held = select(func.coalesce(func.sum(_h.amount_nano_usd), 0)).where(
        _h.budget_id == account.budget.id, _h.period == account.period
    )
    await connection.execute(
        update(budget_periods)
        .where(_is(account))
        .values(spent_nano_usd=_spent_by_ledger(account), held_nano_usd=held.scalar_subquery())
    )


async def load_spent(connection: AsyncConnection, account: Account) -> Spent:
    return await _find_spent(connection, account) or Spent(0, 0)


async def _find_spent(connection: AsyncConnection, account: Account) -> Spent | None:
    statement = select(_p.spent_nano_usd, _p.held_nano_usd).where(_is(account))
    row = (await connection.execute(statement)).first()
    return Spent(*row) if row else None


async def _open_missing(connection: AsyncConnection, dialect: DialectName, keys: Collection[tuple[str, str]]) -> None:
    for budget_id, period in sorted(keys):
        if budget := await find_budget(connection, budget_id):
            await open_period(connection, dialect, Account(budget, period))


def _is(account: Account) -> ColumnElement[bool]:
    return (_p.budget_id == account.budget.id) & (_p.period == account.period)


def _spent_by_ledger(account: Account) -> Any:
    is_held = exists().where(_h.budget_id == account.budget.id, *(_h[name] == _a[name] for name in _ATTEMPT_KEY))
    return (
        select(func.coalesce(func.sum(_a.cost_nano_usd), 0))
        .where(*_of_subject(account.budget), *_in_period(account), ~is_held)
        .scalar_subquery()
    )


def _of_subject(budget: Budget) -> list[ColumnElement[bool]]:
    columns = {
        "agent": _a.agent,
        "workflow": _a.workflow,
        "version": _a.version,
        "owner": _a.owner,
        "provider": _a.provider,
    }
    if budget.subject == "run":
        return [_in_family(budget.name)]
    return [columns[budget.subject] == budget.name] if budget.subject in columns else []


def _in_period(account: Account) -> list[ColumnElement[bool]]:
    bounds = bounds_of(account.budget.window, account.period)
    if bounds:
        return [_a.at >= bounds[0], _a.at < bounds[1]]
    return [_in_family(account.period)] if account.period != WHOLE else []


def _in_family(run_id: str) -> ColumnElement[bool]:
    """Of this run, of its children, and of theirs."""
    children = select(runs.c.id).where(runs.c.parent_run_id == run_id).cte(recursive=True)
    children = children.union_all(select(runs.c.id).join(children, runs.c.parent_run_id == children.c.id))
    return or_(_a.run_id == run_id, _a.run_id.in_(select(children.c.id)))


# --- rows -----------------------------------------------------------------------------------------------------------------------


async def find_budget(connection: AsyncConnection, budget_id: str, *, is_locked: bool = False) -> Budget | None:
    """`is_locked`: nobody else changes it until this transaction ends."""
    statement = select(*_COLUMNS).where(_b.id == budget_id)
    row = (await connection.execute(statement.with_for_update() if is_locked else statement)).first()
    return _budget(row) if row else None


async def list_budgets(
    connection: AsyncConnection,
    *,
    conditions: Mapping[str, Any],
    without_runs: bool = False,
    after: str | None = None,
    limit: int | None = None,
) -> list[Budget]:
    """In the order of their making. `conditions`: by column."""
    statement = select(*_COLUMNS).where(*(_b[name] == value for name, value in conditions.items())).order_by(_b.id)
    if without_runs:
        statement = statement.where(_b.subject != "run")
    if after:
        statement = statement.where(_b.id > after)
    return [_budget(row) for row in await connection.execute(statement.limit(limit))]


async def load_run_limits(connection: AsyncConnection, run_ids: Collection[str]) -> Mapping[str, int]:
    """In nano-USD, of the runs that have a budget of their own: the tightest one that stops."""
    statement = (
        select(_b.name, func.min(_b.limit_nano_usd).label("limit"))
        .where(_b.subject == "run", _b.name.in_(run_ids), _b.window.in_(("run", "total")), _b.action != "warn")
        .group_by(_b.name)
    )
    return {row.name: row.limit for row in await connection.execute(statement)}


async def insert_budget(connection: AsyncConnection, dialect: DialectName, budget: Budget) -> bool:
    """False when there is one with this subject, name, window and action."""
    values = {field.name: getattr(budget, field.name) for field in fields(Budget)}
    statement = db.insert(budgets, dialect).values(values).on_conflict_do_nothing().returning(_b.id)
    return await connection.scalar(statement) is not None


async def update_budget(connection: AsyncConnection, budget_id: str, *, at: datetime, **values: Any) -> None:
    await connection.execute(update(budgets).where(_b.id == budget_id).values(updated_at=at, **values))


async def delete_budgets(connection: AsyncConnection, budget_ids: Collection[str]) -> None:
    """With all that was counted and held in them."""
    await connection.execute(delete(budget_holds).where(_h.budget_id.in_(budget_ids)))
    await connection.execute(delete(budget_periods).where(_p.budget_id.in_(budget_ids)))
    await connection.execute(delete(budgets).where(_b.id.in_(budget_ids)))
