"""Prices on the wire: USD per million tokens, and per call."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from pydantic import ConfigDict, Field

from shadowgraph.api.schemas.common import Moment, Name, Received, Sent, Usd

MAX_PRICE = 1_000_000

Amount = Annotated[float, Field(ge=0, le=MAX_PRICE, allow_inf_nan=False)]


class Price(Sent):
    provider: str
    model: str
    source: str = Field(
        description="override (set by a person), list (the price list), synthetic (play money), unknown."
    )
    prompt_usd: Usd | None
    cached_usd: Usd | None = Field(
        description="Of prompt tokens that the provider had in its cache; null: as the others."
    )
    completion_usd: Usd | None
    call_usd: Usd | None = Field(description="Per call, beside the tokens.")
    valid_from: datetime | None = Field(description="null: since ever.")
    is_used: bool = Field(description="Some request of the last 30 days went to this model.")


class PriceList(Sent):
    items: Sequence[Price] = Field(description="Overrides, and the models of the last 30 days with what they cost now.")
    next_cursor: None = Field(default=None, description="Always null: the list is whole.")


class NewPrice(Received):
    """Wins over what the provider reports and over the price list, for requests that begin at or after `valid_from`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"provider": "openai_compatible", "model": "llama3", "prompt_usd": 0, "completion_usd": 0},
                {
                    "provider": "groq",
                    "model": "openai/gpt-oss-120b",
                    "prompt_usd": 0.15,
                    "cached_usd": 0.075,
                    "completion_usd": 0.6,
                    "valid_from": "2026-01-01T00:00:00Z",
                },
            ]
        }
    )

    provider: Name
    model: Name
    prompt_usd: Amount
    completion_usd: Amount
    cached_usd: Amount | None = None
    call_usd: Amount = 0
    valid_from: Moment | None = Field(default=None, description="null: since ever.")


class WhichPrice(Received):
    provider: Name
    model: Name


class RemovedPrices(Sent):
    removed: int
