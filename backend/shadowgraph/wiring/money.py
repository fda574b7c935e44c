"""Prices and budgets, as the settings ask for them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

from shadowgraph.core.settings import Settings
from shadowgraph.costs.overrides import keep_fresh, refresh
from shadowgraph.costs.prices import PriceBook
from shadowgraph.db.patience import outlast_outage
from shadowgraph.llm.offline.knobs import parse_knobs
from shadowgraph.runs.budgets import seed_monthly
from shadowgraph.wiring.common import Base, background


def build_prices(settings: Settings) -> PriceBook:
    """Errors: `BadOfflineSetting`."""
    knobs = parse_knobs(settings.offline_model)
    return PriceBook(
        api_urls={"openai_compatible": settings.openai_api_base or "https://api.openai.com/v1"},
        play_price=lambda node: knobs.for_node(node).price_usd_per_call or Decimal(0),
    )


@asynccontextmanager
async def live_prices(base: Base) -> AsyncIterator[PriceBook]:
    """Follows what people set, while the block is open."""
    prices = build_prices(base.settings)
    await outlast_outage(lambda: refresh(prices, base.database))
    async with background(keep_fresh(prices, base.database)):
        yield prices


async def seed_budgets(base: Base) -> None:
    """What `MAX_MONTHLY_COST` asks for."""
    limit = base.settings.max_monthly_cost
    if not (limit and base.settings.cost_tracking_enabled):
        return

    async def work() -> None:
        async with base.database.write() as connection:
            await seed_monthly(connection, base.database.dialect, limit, clock=base.clock)

    await outlast_outage(work)
