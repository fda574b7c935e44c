"""What a budget is, to whom it applies, and in which window a payment counts. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from shadowgraph.core.calls import FallBack
from shadowgraph.core.errors import Conflict, OverBudget
from shadowgraph.core.money import number, plain, to_usd
from shadowgraph.costs.grouping import Action, Subject, Window

WHOLE = ""
"""The period of a window that never ends."""


class BudgetExceeded(OverBudget):
    """A budget has no room for the call."""

    code = "budget_exceeded"


class PriceUnknown(OverBudget):
    """A budget that stops cannot be kept with a model whose price nobody knows."""

    code = "price_unknown"


class CostsDisabled(Conflict):
    """`COST_TRACKING_ENABLED` is false."""

    code = "costs_disabled"


@dataclass(frozen=True, slots=True)
class Budget:
    id: str
    subject: Subject
    name: str
    """Which run, agent, …; empty for everything."""
    window: Window
    limit_nano_usd: int
    action: Action
    seed_nano_usd: int | None
    created_at: datetime
    updated_at: datetime

    @property
    def stops(self) -> bool:
        return self.action != "warn"

    def __str__(self) -> str:
        whose = self.subject if self.subject == "everything" else f"{self.subject} {self.name}"
        return f"{whose}, ${plain(to_usd(self.limit_nano_usd))} per {self.window}"


@dataclass(frozen=True, slots=True)
class Payer:
    """On whose account a run's calls go."""

    lineage: Sequence[str]
    """The run, its parent, and so on: what a child spends counts against the budgets of all of them."""
    workflow: str
    version: str | None
    owner: str

    @property
    def root(self) -> str:
        return self.lineage[-1]


@dataclass(frozen=True, slots=True)
class Account:
    """A budget in one of its windows."""

    budget: Budget
    period: str

    @property
    def key(self) -> tuple[str, str]:
        return self.budget.id, self.period


def may_apply(budget: Budget, payer: Payer) -> bool:
    """To a call of this payer, whoever makes it and wherever it goes."""
    match budget.subject:
        case "run":
            return budget.name in payer.lineage
        case "workflow":
            return budget.name == payer.workflow
        case "version":
            return budget.name == (payer.version or "")
        case "owner":
            return budget.name == payer.owner
        case _:
            return True


def accounts_for(budgets: Iterable[Budget], payer: Payer, *, agent: str, provider: str, now: datetime) -> list[Account]:
    """Those that a call of this agent to this provider counts against, in the order in which they must be locked."""
    named = {"agent": agent, "provider": provider}
    applying = [budget for budget in budgets if named.get(budget.subject, budget.name) == budget.name]
    return sorted((Account(budget, period_of(budget, payer, now)) for budget in applying), key=lambda found: found.key)


def period_of(budget: Budget, payer: Payer, now: datetime) -> str:
    return _run_period(budget, payer) if budget.window == "run" else period_at(budget.window, WHOLE, now)


def _run_period(budget: Budget, payer: Payer) -> str:
    """A budget of one run counts all of it; one that holds for each run counts each with its children."""
    return WHOLE if budget.subject == "run" else payer.root


def period_at(window: Window, period: str, now: datetime) -> str:
    """The period at another time: the same one, unless the window follows the calendar (UTC)."""
    if window == "day":
        return f"{now.astimezone(UTC):%Y-%m-%d}"
    if window == "month":
        return f"{now.astimezone(UTC):%Y-%m}"
    return period


def bounds_of(window: Window, period: str) -> tuple[datetime, datetime] | None:
    """Begin and end; None for windows that do not follow the calendar."""
    if window == "day":
        begins = datetime.strptime(period, "%Y-%m-%d").replace(tzinfo=UTC)
        return begins, begins + timedelta(days=1)
    if window == "month":
        begins = datetime.strptime(period, "%Y-%m").replace(tzinfo=UTC)
        return begins, begins.replace(year=begins.year + begins.month // 12, month=begins.month % 12 + 1)
    return None


def refusal(account: Account, *, spent: int, held: int, needed: int) -> OverBudget:
    """In nano-USD; `needed`: what the call may cost."""
    budget = account.budget
    missing = spent + held + needed - budget.limit_nano_usd
    message = (
        f"the budget of {budget} has no room: ${plain(to_usd(spent))} spent, ${plain(to_usd(held))} held for calls under way, "
        f"and the next call may cost ${plain(to_usd(needed))}"
    )
    kind = FallBack if budget.action == "fallback" else BudgetExceeded
    return kind(
        message,
        hint=f"shadowgraph budgets set --id {budget.id} --limit USD raises it; then resume the run",
        budget_id=budget.id,
        period=account.period,
        action=budget.action,
        limit_usd=number(to_usd(budget.limit_nano_usd)),
        spent_usd=number(to_usd(spent)),
        held_usd=number(to_usd(held)),
        needed_usd=number(to_usd(needed)),
        missing_usd=number(to_usd(missing)),
    )


def unpriced(account: Account, *, provider: str, model: str) -> OverBudget:
    budget = account.budget
    kind = FallBack if budget.action == "fallback" else PriceUnknown
    return kind(
        f"nobody knows the price of {provider}:{model}, so the budget of {budget} cannot be kept",
        hint=f"set one, 0 for a model of your own: shadowgraph prices set {provider}:{model} --prompt USD --completion USD",
        budget_id=budget.id,
        period=account.period,
        action=budget.action,
        model=f"{provider}:{model}",
    )
