"""A purse and a price list for those who reckon with neither."""

from datetime import datetime
from decimal import Decimal

from shadowgraph.core.calls import Hold, Priced, Usage, Wish


class OpenPurse:
    """Implements `core.calls.Purse`: no budget applies."""

    async def reserve(self, wish: Wish) -> Hold | None:
        return None

    async def settle(self, hold: Hold, cost_nano_usd: int | None) -> None:
        pass


class NoPrices:
    """Implements `core.calls.PriceList`: nothing is known of any price."""

    def price(
        self, provider: str, model: str, usage: Usage, *, at: datetime, reported_cost: Decimal | None = None
    ) -> Priced:
        return Priced(cost_nano_usd=None)
