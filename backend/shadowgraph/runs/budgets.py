"""What people do with budgets, and what a budget does to runs: the use cases around `costs/budgets.py`, with their events and alerts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from sqlalchemy import exists, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.clock import Clock
from shadowgraph.core.errors import Conflict, Invalid, NotFound
from shadowgraph.core.ids import new_budget_id
from shadowgraph.core.json import JsonObject
from shadowgraph.core.money import number, plain, to_nano, to_usd
from shadowgraph.costs import budgets
from shadowgraph.costs.budgets import Spent
from shadowgraph.costs.grouping import Action, Subject, Window
from shadowgraph.costs.limits import WHOLE, Account, Budget, Payer, period_at, period_of
from shadowgraph.db.dialect import DialectName
from shadowgraph.db.engine import Database
from shadowgraph.models.runs import runs
from shadowgraph.runs import audit
from shadowgraph.runs import events as ev
from shadowgraph.runs.alerts import close_alerts, raise_alert
from shadowgraph.runs.repository import require_run
from shadowgraph.runs.run import Run

EXCEEDED = "budget_exceeded"
"""Kind of the alert of a budget that is used up; its subject is the budget and the period."""

SETTING = "setting"
"""Who made the monthly budget of `MAX_MONTHLY_COST`."""


class BudgetNotFound(NotFound):
    code = "budget_not_found"


class BudgetExists(Conflict):
    """One with this subject, name, window and action is there; `budget_id` names it."""

    code = "budget_exists"


class BudgetUnfit(Invalid):
    """Subject, name and window do not go together."""

    code = "budget_unfit"


class StillExceeded(Conflict):
    """The run would stop at once again; `missing_usd` is what the limit lacks."""

    code = "budget_still_exceeded"


@dataclass(frozen=True, slots=True)
class NewBudget:
    subject: Subject
    name: str
    window: Window
    limit_usd: Decimal
    action: Action = "pause"
    seed_usd: Decimal | None = None


@dataclass(frozen=True, slots=True)
class BudgetState:
    """A budget, and how much of it is gone in the period of now."""

    budget: Budget
    period: str
    spent: Spent

    @property
    def remaining_usd(self) -> Decimal:
        left = self.budget.limit_nano_usd - self.spent.spent - self.spent.held
        return to_usd(max(0, left))


# --- what people do -------------------------------------------------------------------------------------------------------------


async def create_budget(
    connection: AsyncConnection, dialect: DialectName, new: NewBudget, *, who: str, clock: Clock
) -> BudgetState:
    """What was spent in its window already counts.

    Errors: `BudgetExists`, `BudgetUnfit`, `RunNotFound` (of a run's budget).
    """
    await _require_fit(connection, new)
    now = clock.now()
    budget = Budget(
        id=new_budget_id(),
        subject=new.subject,
        name=new.name,
        window=new.window,
        limit_nano_usd=to_nano(new.limit_usd),
        action=new.action,
        seed_nano_usd=None if new.seed_usd is None else to_nano(new.seed_usd),
        created_at=now,
        updated_at=now,
    )
    if not await budgets.insert_budget(connection, dialect, budget):
        what = {"subject": new.subject, "name": new.name, "window": new.window, "action": new.action}
        (there,) = await budgets.list_budgets(connection, conditions=what)
        raise BudgetExists(f"there is a budget of {there} already", hint="change its limit", budget_id=there.id)
    state = await _state_of(connection, dialect, budget, now=now)
    await _record(connection, dialect, "budget.create", budget, who=who, at=now)
    return state


async def _require_fit(connection: AsyncConnection, new: NewBudget) -> None:
    if (new.subject == "everything") != (new.name == ""):
        raise BudgetUnfit("a budget of everything has no name, every other one has", subject=new.subject, name=new.name)
    if new.subject == "run":
        await require_run(connection, new.name)


async def change_budget(
    connection: AsyncConnection,
    dialect: DialectName,
    budget_id: str,
    *,
    who: str,
    clock: Clock,
    limit_usd: Decimal | None = None,
    action: Action | None = None,
) -> BudgetState:
    """Holds for the very next call. None: as it is.

    Errors: `BudgetNotFound`, `BudgetExists` (for another action).
    """
    budget, now = await require_budget(connection, budget_id), clock.now()
    values: dict[str, object] = {}
    if limit_usd is not None:
        values["limit_nano_usd"] = to_nano(limit_usd)
    if action is not None and action != budget.action:
        what = {"subject": budget.subject, "name": budget.name, "window": budget.window, "action": action}
        for there in await budgets.list_budgets(connection, conditions=what):
            raise BudgetExists(f"there is a budget of {there} with this action", budget_id=there.id)
        values["action"] = action
    await budgets.update_budget(connection, budget_id, at=now, **values)
    changed = await require_budget(connection, budget_id)
    await _close_alert(connection, changed, who=who, now=now)
    await _record(connection, dialect, "budget.change", changed, who=who, at=now)
    return await _state_of(connection, dialect, changed, now=now)


async def remove_budget(
    connection: AsyncConnection, dialect: DialectName, budget_id: str, *, who: str, clock: Clock
) -> None:
    """Errors: `BudgetNotFound`."""
    budget, now = await require_budget(connection, budget_id), clock.now()
    await budgets.delete_budgets(connection, [budget_id])
    await _close_alert(connection, budget, who=who, now=now)
    await _record(connection, dialect, "budget.remove", budget, who=who, at=now)


async def require_budget(connection: AsyncConnection, budget_id: str, *, is_locked: bool = False) -> Budget:
    """Errors: `BudgetNotFound`."""
    budget = await budgets.find_budget(connection, budget_id, is_locked=is_locked)
    if budget is None:
        raise BudgetNotFound(f"there is no budget {budget_id[:80]!r}", budget_id=budget_id[:80])
    return budget


async def load_state(connection: AsyncConnection, budget: Budget, *, now: datetime) -> BudgetState:
    """Of a budget that holds for each run apart nothing is spent as a whole."""
    account = Account(budget, period_at(budget.window, WHOLE, now))
    return BudgetState(budget, account.period, await budgets.load_spent(connection, account))


async def _state_of(connection: AsyncConnection, dialect: DialectName, budget: Budget, *, now: datetime) -> BudgetState:
    account = Account(budget, period_at(budget.window, WHOLE, now))
    if budget.window != "run" or budget.subject == "run":
        await budgets.open_period(connection, dialect, account)
    return await load_state(connection, budget, now=now)


async def _record(
    connection: AsyncConnection, dialect: DialectName, action: str, budget: Budget, *, who: str, at: datetime
) -> None:
    facts: JsonObject = {
        "budget_id": budget.id,
        "change": action.removeprefix("budget."),
        "subject": budget.subject,
        "window": budget.window,
        "limit_usd": number(to_usd(budget.limit_nano_usd)),
        "action": budget.action,
    }
    await ev.append_system_event(connection, dialect, ev.NewEvent(ev.BUDGET_CHANGED, facts), at=at)
    limit: JsonObject = {"limit_usd": facts["limit_usd"]}
    await audit.record(connection, who=who, action=action, subject=budget.id, at=at, data=limit)


async def seed_monthly(connection: AsyncConnection, dialect: DialectName, limit_usd: Decimal, *, clock: Clock) -> None:
    """The budget that a setting asks for: made once, and changed when the setting changes; what people do to it meanwhile stays."""
    seed = to_nano(limit_usd)
    what = {"subject": "everything", "name": "", "window": "month", "action": "pause"}
    for there in await budgets.list_budgets(connection, conditions=what):
        if there.seed_nano_usd != seed:
            await budgets.update_budget(connection, there.id, at=clock.now(), seed_nano_usd=seed)
            await change_budget(connection, dialect, there.id, limit_usd=limit_usd, who=SETTING, clock=clock)
        return
    new = NewBudget("everything", "", "month", limit_usd, seed_usd=limit_usd)
    await create_budget(connection, dialect, new, who=SETTING, clock=clock)


# --- runs -----------------------------------------------------------------------------------------------------------------------


async def require_room(connection: AsyncConnection, run: Run, *, now: datetime) -> None:
    """That the call at which the run stopped would pass now.

    Errors: `StillExceeded`.
    """
    stopped = run.error or {}
    budget = await budgets.find_budget(connection, str(stopped.get("budget_id")))
    needed = stopped.get("needed_usd")
    if budget is None or needed is None:
        return  # the limit is gone, or it was the price that was missing
    account = Account(budget, period_at(budget.window, str(stopped.get("period", WHOLE)), now))
    spent = await budgets.load_spent(connection, account)
    missing = spent.spent + spent.held + to_nano(Decimal(str(needed))) - budget.limit_nano_usd
    if budget.stops and missing > 0:
        raise StillExceeded(
            f"the budget of {budget} still has no room for the next call: it lacks ${plain(to_usd(missing))}",
            hint=f"raise its limit first: shadowgraph budgets set --id {budget.id} --limit USD",
            budget_id=budget.id,
            missing_usd=number(to_usd(missing)),
            state=run.status,
            possible=["cancel"],
        )


async def tell_exceeded(
    connection: AsyncConnection, dialect: DialectName, account: Account, *, run: Run, at: datetime
) -> None:
    """Once per budget and period."""
    budget = account.budget
    await raise_alert(
        connection,
        dialect,
        kind=EXCEEDED,
        subject=_alert_subject(account),
        message=f"the budget of {budget} is used up; it {_DOES[budget.action]}",
        at=at,
        data={"budget_id": budget.id, "period": account.period, "run_id": run.id},
    )


_DOES: Mapping[Action, str] = {
    "warn": "only warns",
    "pause": "stops runs at their next call",
    "fail": "ends runs at their next call",
    "fallback": "lets calls go to cheaper targets only",
}


async def _close_alert(connection: AsyncConnection, budget: Budget, *, who: str, now: datetime) -> None:
    account = Account(budget, period_at(budget.window, WHOLE, now))
    await close_alerts(connection, kind=EXCEEDED, subject=_alert_subject(account), who=who)


def _alert_subject(account: Account) -> str:
    return f"{account.budget.id} {account.period}".strip()


async def list_shared(database: Database) -> list[Budget]:
    """Those that many runs count against together."""
    async with database.read() as connection:
        found = await budgets.list_budgets(connection, conditions={}, without_runs=True)
    return [budget for budget in found if budget.window != "run"]


async def recount_now(connection: AsyncConnection, budget: Budget, *, now: datetime) -> None:
    """In the period of now."""
    await budgets.recount(connection, Account(budget, period_at(budget.window, WHOLE, now)))


async def delete_of_runs(connection: AsyncConnection, run_ids: Sequence[str]) -> None:
    """Budgets of runs that are deleted, but for those that children of them still share."""
    shared = exists().where(runs.c.parent_run_id.in_(run_ids), runs.c.id.not_in(run_ids))
    if await connection.scalar(select(shared)):
        return
    for run_id in run_ids:
        own = await budgets.list_budgets(connection, conditions={"subject": "run", "name": run_id})
        await budgets.delete_budgets(connection, [budget.id for budget in own])


async def load_states_of_run(connection: AsyncConnection, run: Run, *, now: datetime) -> list[BudgetState]:
    """The budgets that all calls of the run count against, whichever agent makes them."""
    payer = Payer(await budgets.load_lineage(connection, run.id), run.workflow, run.version_id, run.owner)
    states = []
    for budget in await budgets.load_applying(connection, payer):
        if budget.subject not in ("agent", "provider"):
            account = Account(budget, period_of(budget, payer, now))
            states.append(BudgetState(budget, account.period, await budgets.load_spent(connection, account)))
    return sorted(states, key=lambda state: state.budget.id)


async def add_run_budget(
    connection: AsyncConnection, dialect: DialectName, run_id: str, limit_usd: Decimal, *, at: datetime
) -> None:
    """What a run may spend that starts in this very transaction."""
    budget = Budget(new_budget_id(), "run", run_id, "run", to_nano(limit_usd), "pause", None, at, at)
    await budgets.insert_budget(connection, dialect, budget)
