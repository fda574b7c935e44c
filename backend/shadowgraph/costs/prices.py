"""What an attempt costs: an override that a person set, else what the provider reported, else the price list, else unknown.

The price list is the library genai-prices: its data lies in the package, nothing here asks the network. An unknown price is None, never 0.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

import genai_prices
from genai_prices.types import ModelPrice, PriceCalculation, TieredPrices

from shadowgraph.core.calls import Priced, Usage, Wish
from shadowgraph.core.json import Json
from shadowgraph.core.money import plain, to_nano

log = logging.getLogger(__name__)

OFFLINE = "offline"
"""The provider whose answers are rules: its price is 0, or play money to show budgets with."""

MILLION = Decimal(1_000_000)

ASSUMED_COMPLETION_TOKENS = 1_000
"""What an answer is taken to need, before it is there, when its request sets no limit."""

NOTHING_BILLED = Priced(cost_nano_usd=0)
"""Refused before the first token: there is nothing to pay."""

UNKNOWN_COST = Priced(cost_nano_usd=None)

LISTED_AS: Mapping[str, str] = {
    "anthropic": "anthropic",
    "azure": "azure",
    "amazon_bedrock": "aws",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "google_genai": "google",
    "google_vertexai": "google",
    "groq": "groq",
    "mistral": "mistral",
    "mistralai": "mistral",
    "openai": "openai",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "together": "together",
    "xai": "x-ai",
}
"""Our provider names, and those of LangChain's models, as the price list calls them. A name that is not here has no listed price: the
library would guess the provider from the model's name, and a model that somebody serves at home would get another one's price."""


@dataclass(frozen=True, slots=True)
class UnitPrices:
    """USD per million tokens, and per call."""

    prompt: Decimal
    completion: Decimal
    cached: Decimal | None = None
    """Of prompt tokens that the provider had in its cache; None: as the others."""
    call: Decimal = Decimal(0)

    def cost_of(self, usage: Usage) -> Decimal:
        cached = min(usage.cached_tokens, usage.prompt_tokens)
        per_million = (
            self.prompt * (usage.prompt_tokens - cached)
            + (self.prompt if self.cached is None else self.cached) * cached
            + self.completion * usage.completion_tokens
        )
        return per_million / MILLION + self.call

    def to_json(self) -> dict[str, Json]:
        """Digits as text, so that no reader rounds them."""
        named = {"prompt": self.prompt, "cached": self.cached, "completion": self.completion, "call": self.call or None}
        return {name: plain(price) for name, price in named.items() if price is not None}


@dataclass(frozen=True, slots=True)
class Override:
    """A price that a person set."""

    provider: str
    model: str
    prices: UnitPrices
    valid_from: datetime | None = None
    """None: since ever."""


class PriceBook:
    """Implements `core.calls.PriceList`. The overrides are replaced as a whole when somebody changes them."""

    def __init__(
        self,
        overrides: Iterable[Override] = (),
        *,
        api_urls: Mapping[str, str] | None = None,
        play_price: Callable[[str], Decimal] = lambda _node: Decimal(0),
    ) -> None:
        """`api_urls`: where providers are that speak somebody's API under a name of ours. `play_price`: USD per call of the offline model,
        by node."""
        self._api_urls = api_urls or {}
        self._play_price = play_price
        self.replace(overrides)

    def replace(self, overrides: Iterable[Override]) -> None:
        """From now on these hold."""
        found: dict[tuple[str, str], list[Override]] = {}
        for override in overrides:
            found.setdefault((override.provider, override.model), []).append(override)
        self._overrides = found

    def price(
        self, provider: str, model: str, usage: Usage, *, at: datetime, reported_cost: Decimal | None = None
    ) -> Priced:
        if override := self._override(provider, model, at):
            return _by_units(override.prices, usage)
        if provider == OFFLINE:
            return _play_money(self._play_price("") if reported_cost is None else reported_cost)
        if reported_cost is not None:
            return Priced(to_nano(reported_cost), None, "provider")
        return self._listed(provider, model, usage, at)

    def estimate(self, wish: Wish, *, at: datetime) -> Priced:
        """What an attempt may cost that has not left yet."""
        limit = wish.max_completion_tokens
        usage = Usage(wish.prompt_tokens, ASSUMED_COMPLETION_TOKENS if limit is None else limit, source="estimated")
        if wish.provider != OFFLINE:
            return self.price(wish.provider, wish.model, usage, at=at)
        node = wish.call.place.node if wish.call.place else wish.agent
        return self.price(wish.provider, wish.model, usage, at=at, reported_cost=self._play_price(node))

    def unit_prices(self, provider: str, model: str, *, at: datetime) -> tuple[UnitPrices, str] | None:
        """What a short request would be reckoned with, and where that comes from; None: unknown."""
        if override := self._override(provider, model, at):
            return override.prices, "override"
        if provider == OFFLINE:
            return UnitPrices(Decimal(0), Decimal(0), call=self._play_price("")), "synthetic"
        found = self._calculate(provider, model, Usage(0, 0), at)
        units = _units_of(found.model_price, 0) if found else None
        return (units, "list") if units else None

    def _override(self, provider: str, model: str, at: datetime) -> Override | None:
        """The latest one that holds at that time."""
        holding = [
            override
            for override in self._overrides.get((provider, model), ())
            if override.valid_from is None or override.valid_from <= at
        ]
        return max(
            holding, key=lambda override: (override.valid_from is not None, override.valid_from or at), default=None
        )

    def _listed(self, provider: str, model: str, usage: Usage, at: datetime) -> Priced:
        found = self._calculate(provider, model, usage, at)
        if found is None:
            return UNKNOWN_COST
        units = _units_of(found.model_price, usage.prompt_tokens)
        return Priced(to_nano(found.total_price), units.to_json() if units else None, "list")

    def _calculate(self, provider: str, model: str, usage: Usage, at: datetime) -> PriceCalculation | None:
        tokens = genai_prices.Usage(
            input_tokens=usage.prompt_tokens,
            cache_read_tokens=min(usage.cached_tokens, usage.prompt_tokens),
            output_tokens=usage.completion_tokens,
        )
        url, listed = self._api_urls.get(provider), LISTED_AS.get(provider)
        try:
            if url:
                return genai_prices.calc_price(tokens, model, provider_api_url=url, genai_request_timestamp=at)
            if listed:
                return genai_prices.calc_price(tokens, model, provider_id=listed, genai_request_timestamp=at)
        except LookupError:
            return None
        except ValueError as error:
            log.warning("the price list cannot reckon with %s:%s: %s", provider, model, error)
        return None


def _by_units(units: UnitPrices, usage: Usage) -> Priced:
    return Priced(to_nano(units.cost_of(usage)), units.to_json(), "override")


def _play_money(usd: Decimal) -> Priced:
    return Priced(to_nano(usd), {"call": plain(usd)} if usd else None, "synthetic")


def _units_of(price: ModelPrice, prompt_tokens: int) -> UnitPrices | None:
    """None for a model that is not paid by tokens of text."""
    prompt = _tier_of(price.input_mtok, prompt_tokens)
    completion = _tier_of(price.output_mtok, prompt_tokens)
    if prompt is None or completion is None:
        return None
    cached = _tier_of(price.cache_read_mtok, prompt_tokens)
    per_thousand_calls = _tier_of(price.requests_kcount, prompt_tokens)
    return UnitPrices(prompt, completion, cached, (per_thousand_calls or Decimal(0)) / 1000)


def _tier_of(price: Decimal | TieredPrices | None, prompt_tokens: int) -> Decimal | None:
    """All tokens of a long request have the price of its tier."""
    if not isinstance(price, TieredPrices):
        return price
    reached = [tier.price for tier in price.tiers if prompt_tokens > tier.start]
    return reached[-1] if reached else price.base
