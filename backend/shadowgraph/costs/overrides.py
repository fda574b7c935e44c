"""Prices that a person set, as rows, and the price book that follows them."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Row, delete, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.ids import new_price_id
from shadowgraph.core.money import to_nano, to_usd
from shadowgraph.costs.prices import Override, PriceBook, UnitPrices
from shadowgraph.db.dialect import DialectName, insert
from shadowgraph.db.engine import Database, is_outage
from shadowgraph.models.price_overrides import price_overrides

log = logging.getLogger(__name__)

SINCE_EVER = datetime(1970, 1, 1, tzinfo=UTC)
REFRESH_SECONDS = 1.0
"""How long calls may still be reckoned with the prices before a change."""

_c = price_overrides.c


@dataclass(frozen=True, slots=True)
class StoredOverride:
    id: str
    override: Override
    created_at: datetime
    who: str


async def list_overrides(connection: AsyncConnection) -> list[StoredOverride]:
    """By provider, model and date."""
    statement = select(price_overrides).order_by(_c.provider, _c.model, _c.valid_from)
    return [_stored(row) for row in await connection.execute(statement)]


async def set_override(
    connection: AsyncConnection, dialect: DialectName, override: Override, *, who: str, at: datetime
) -> None:
    """Takes the place of one for the same model from the same moment on."""
    prices = override.prices
    values = {
        "prompt_nano_usd": to_nano(prices.prompt),
        "completion_nano_usd": to_nano(prices.completion),
        "cached_nano_usd": None if prices.cached is None else to_nano(prices.cached),
        "call_nano_usd": to_nano(prices.call),
        "created_at": at,
        "who": who,
    }
    what = {
        "provider": override.provider,
        "model": override.model,
        "valid_from": override.valid_from or SINCE_EVER,
    }
    statement = insert(price_overrides, dialect).values(id=new_price_id(), **what, **values)
    await connection.execute(statement.on_conflict_do_update(index_elements=list(what), set_=values))


async def remove_overrides(connection: AsyncConnection, *, provider: str, model: str) -> int:
    """All of a model; how many there were."""
    found = await connection.execute(
        delete(price_overrides).where(_c.provider == provider, _c.model == model).returning(_c.id)
    )
    return len(found.all())


def _stored(row: Row[tuple[object, ...]]) -> StoredOverride:
    values = row._mapping
    cached = values["cached_nano_usd"]
    prices = UnitPrices(
        prompt=to_usd(values["prompt_nano_usd"]),
        completion=to_usd(values["completion_nano_usd"]),
        cached=None if cached is None else to_usd(cached),
        call=to_usd(values["call_nano_usd"]),
    )
    valid_from = values["valid_from"] if values["valid_from"] > SINCE_EVER else None
    override = Override(values["provider"], values["model"], prices, valid_from)
    return StoredOverride(values["id"], override, values["created_at"], values["who"])


async def refresh(book: PriceBook, database: Database) -> None:
    async with database.read() as connection:
        book.replace(stored.override for stored in await list_overrides(connection))


async def keep_fresh(book: PriceBook, database: Database) -> None:
    """Until cancelled. While the database is away the prices stay as they were."""
    while True:
        await asyncio.sleep(REFRESH_SECONDS)
        try:
            await refresh(book, database)
        except Exception as error:
            if not is_outage(error):
                log.exception("prices could not be read")
