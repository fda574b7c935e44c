"""What all processes share of circuit breakers, and what people are told of targets that are not asked any more."""

import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import ColumnElement, and_, case, or_, select, update
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.clock import Clock
from shadowgraph.core.json import JsonObject
from shadowgraph.db.dialect import insert, now_ms
from shadowgraph.db.engine import Database, is_outage
from shadowgraph.db.patience import read_patiently
from shadowgraph.llm.port import Target
from shadowgraph.models.breakers import breakers
from shadowgraph.reliability.breaker import Key, Shared, State, state_of
from shadowgraph.runs.alerts import close_alerts, raise_alert
from shadowgraph.runs.events import BREAKER_CHANGED, NewEvent, append_system_event

log = logging.getLogger(__name__)

MAX_ERROR_CHARACTERS = 500
ANSWERED = "answered"
"""Who closes an alert of a target that has answered since."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Breaker:
    """Of a target that was found ill at least once."""

    provider: str
    model: str
    state: State
    open_seconds: float
    """Left until it is half-open; 0 when it is not open."""
    failures: int
    """In a row, when it opened last."""
    error: str
    opened_at: datetime
    """The first time since it was closed last."""
    changed_at: datetime


async def list_breakers(connection: AsyncConnection) -> Sequence[Breaker]:
    """By provider and model."""
    left = (breakers.c.open_until - now_ms()).label("left")
    rows = await connection.execute(select(breakers, left).order_by(breakers.c.provider, breakers.c.model))
    return [
        Breaker(
            row.provider,
            row.model,
            state_of(None if row.left is None else Shared(row.left / 1000)),
            max(0.0, (row.left or 0) / 1000),
            row.failures,
            row.error,
            row.opened_at,
            row.changed_at,
        )
        for row in rows
    ]


class SqlBreakers:
    """Implements `reliability.breaker.BreakerStore` and `llm.gate.Watch`.

    While the database is away nothing can be shared, and no call can begin either: what a process knows by itself must do.
    """

    def __init__(self, database: Database, *, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def read(self) -> Mapping[Key, Shared]:
        return await read_patiently(self._database, _read)

    async def open(self, key: Key, *, seconds: float, failures: int, error: str) -> None:
        at, until = self._clock.now(), now_ms() + int(seconds * 1000)
        values = {
            "open_until": until,
            "probe_until": None,
            "failures": failures,
            "error": error[:MAX_ERROR_CHARACTERS],
            "changed_at": at,
        }
        statement = insert(breakers, self._database.dialect).values(
            provider=key[0], model=key[1], opened_at=at, **values
        )
        since = case((breakers.c.open_until.is_(None), at), else_=breakers.c.opened_at)
        opening = statement.on_conflict_do_update(
            index_elements=["provider", "model"],
            set_={**values, "opened_at": since},
            where=or_(breakers.c.open_until.is_(None), breakers.c.open_until <= now_ms()),
        ).returning(breakers.c.failures)

        async def change(connection: AsyncConnection) -> None:
            if await connection.scalar(opening) is not None:
                facts: JsonObject = {"failures": failures, "open_seconds": seconds, "error": error}
                await self._tell(connection, key, "open", facts)

        await self._write(change, otherwise=None)

    async def take_probe(self, key: Key, *, seconds: float) -> bool:
        is_free = or_(breakers.c.probe_until.is_(None), breakers.c.probe_until <= now_ms())
        statement = (
            update(breakers)
            .where(_is(key), breakers.c.open_until <= now_ms(), is_free)
            .values(probe_until=now_ms() + int(seconds * 1000))
            .returning(breakers.c.provider)
        )

        async def change(connection: AsyncConnection) -> bool:
            is_ours = await connection.scalar(statement) is not None
            if is_ours:
                await self._tell(connection, key, "half_open", {})
            return is_ours

        return await self._write(change, otherwise=False)

    async def give_back_probe(self, key: Key) -> None:
        async def change(connection: AsyncConnection) -> None:
            await connection.execute(update(breakers).where(_is(key)).values(probe_until=None))

        await self._write(change, otherwise=None)

    async def close(self, key: Key) -> None:
        statement = (
            update(breakers)
            .where(_is(key), breakers.c.open_until.is_not(None))
            .values(open_until=None, probe_until=None, changed_at=self._clock.now())
            .returning(breakers.c.provider)
        )

        async def change(connection: AsyncConnection) -> None:
            if await connection.scalar(statement) is not None:
                await self._tell(connection, key, "closed", {})

        await self._write(change, otherwise=None)

    async def report(self, kind: str, target: Target, message: str) -> None:
        async def change(connection: AsyncConnection) -> None:
            await raise_alert(
                connection,
                self._database.dialect,
                kind=kind,
                subject=str(target),
                message=message,
                at=self._clock.now(),
            )

        await self._write(change, otherwise=None)

    async def take_back(self, kinds: Collection[str], target: Target) -> None:
        async def change(connection: AsyncConnection) -> None:
            for kind in kinds:
                await close_alerts(connection, kind=kind, subject=str(target), who=ANSWERED)

        await self._write(change, otherwise=None)

    async def _tell(self, connection: AsyncConnection, key: Key, state: State, facts: JsonObject) -> None:
        payload: JsonObject = {"provider": key[0], "model": key[1], "state": state, **facts}
        event = NewEvent(BREAKER_CHANGED, payload)
        await append_system_event(connection, self._database.dialect, event, at=self._clock.now())

    async def _write(self, change: Callable[[AsyncConnection], Awaitable[T]], *, otherwise: T) -> T:
        try:
            async with self._database.write() as connection:
                return await change(connection)
        except (SQLAlchemyError, OSError) as error:
            if not is_outage(error):
                raise
            log.warning("the database is away: other processes do not learn how this provider is")
            return otherwise


async def _read(connection: AsyncConnection) -> Mapping[Key, Shared]:
    c, now = breakers.c, now_ms()
    statement = select(
        c.provider, c.model, (c.open_until - now).label("left"), (c.probe_until - now).label("probe")
    ).where(c.open_until.is_not(None))
    rows = await connection.execute(statement)
    return {(row.provider, row.model): Shared(row.left / 1000, (row.probe or 0) / 1000) for row in rows}


def _is(key: Key) -> ColumnElement[bool]:
    return and_(breakers.c.provider == key[0], breakers.c.model == key[1])
