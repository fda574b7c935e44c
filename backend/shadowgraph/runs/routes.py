"""Routes as live configuration: who changed what, and how other processes learn of it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.clock import Clock
from shadowgraph.core.errors import Conflict, NotFound
from shadowgraph.db.dialect import DialectName, insert
from shadowgraph.db.engine import Database
from shadowgraph.db.patience import read_patiently
from shadowgraph.llm.port import Target
from shadowgraph.llm.routes import DEFAULT_ROUTE, Route, RouteTarget, WhenNoKey
from shadowgraph.models.routes import routes

MAX_AGE_SECONDS = 0.5
"""How old what a process knows of the routes may be when a call asks: a change reaches all of them within it."""


class RouteNotFound(NotFound):
    code = "route_not_found"


class RouteChanged(Conflict):
    """Somebody else changed it at the same moment."""

    code = "route_changed"
    retryable = True


@dataclass(frozen=True, slots=True)
class Change:
    """A row of `routes`."""

    name: str
    number: int
    targets: tuple[RouteTarget, ...] | None
    """None: from here on it is again as the settings say, or does not exist."""
    when_no_key: WhenNoKey
    rate_limit: str | None
    at: datetime
    changed_by: str

    def to_route(self, seed: Route) -> Route | None:
        if self.targets is None:
            return replace(seed, number=self.number) if self.name == seed.name else None
        return Route(
            self.name, self.targets, number=self.number, rate_limit=self.rate_limit, when_no_key=self.when_no_key
        )


async def list_changes(connection: AsyncConnection) -> Sequence[Change]:
    """The last one of each route, by name."""
    last = select(routes.c.name, func.max(routes.c.number).label("number")).group_by(routes.c.name).subquery()
    statement = select(routes).join(last, (routes.c.name == last.c.name) & (routes.c.number == last.c.number))
    rows = await connection.execute(statement.order_by(routes.c.name))
    return [_change(row) for row in rows]


async def list_routes(connection: AsyncConnection, seed: Route) -> Sequence[tuple[Route, Change | None]]:
    """As they are now, the default one first, each with the change that made it so; None: the settings did."""
    last = {change.name: change for change in await list_changes(connection)}
    found: list[tuple[Route, Change | None]]
    found = [(route, change) for change in last.values() if (route := change.to_route(seed))]
    if seed.name not in last:
        found.append((seed, None))
    return sorted(found, key=lambda pair: (pair[0].name != DEFAULT_ROUTE, pair[0].name))


async def change_route(connection: AsyncConnection, dialect: DialectName, change: Change) -> None:
    """`change.number` must follow the last one.

    Errors: `RouteChanged`.
    """
    values = {
        "name": change.name,
        "number": change.number,
        "targets": None if change.targets is None else [_target_json(target) for target in change.targets],
        "when_no_key": change.when_no_key,
        "rate_limit": change.rate_limit,
        "at": change.at,
        "changed_by": change.changed_by,
    }
    statement = insert(routes, dialect).values(values).on_conflict_do_nothing().returning(routes.c.number)
    if await connection.scalar(statement) is None:
        raise RouteChanged(f"the route {change.name!r} was changed by somebody else just now", route=change.name)


async def next_number(connection: AsyncConnection, name: str) -> int:
    last: int | None = await connection.scalar(select(func.max(routes.c.number)).where(routes.c.name == name))
    return (last or 0) + 1


class LiveRoutes:
    """Implements `llm.routes.RouteSource`: reads the table again when what it knows is older than `MAX_AGE_SECONDS`."""

    def __init__(self, database: Database, seed: Route, *, clock: Clock) -> None:
        self._database = database
        self._seed = seed
        self._clock = clock
        self._known: Mapping[str, Route] = {}
        self._read_at: float | None = None

    async def find(self, name: str) -> Route | None:
        now = self._clock.monotonic()
        if self._read_at is None or now - self._read_at >= MAX_AGE_SECONDS:
            found = await read_patiently(self._database, lambda connection: list_routes(connection, self._seed))
            self._known = {route.name: route for route, _change in found}
            self._read_at = now
        return self._known.get(name)


def _change(row: Any) -> Change:
    targets = None if row.targets is None else tuple(_target(target) for target in row.targets)
    return Change(row.name, row.number, targets, row.when_no_key, row.rate_limit, row.at, row.changed_by)


def _target(stored: Mapping[str, Any]) -> RouteTarget:
    return RouteTarget(**{**stored, "target": Target(**stored["target"])})


def _target_json(target: RouteTarget) -> Mapping[str, Any]:
    return asdict(target)
