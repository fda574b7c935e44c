from sqlalchemy import BigInteger, Column, Index, String, Table

from shadowgraph.db.dialect import IdColumn, UtcDateTime
from shadowgraph.models.base import metadata

price_overrides = Table(
    "price_overrides",
    metadata,
    Column("id", IdColumn, primary_key=True),
    Column("provider", String, nullable=False),
    Column("model", String, nullable=False),
    Column("valid_from", UtcDateTime, nullable=False, comment="1970 = since ever"),
    Column("prompt_nano_usd", BigInteger, nullable=False, comment="per million tokens"),
    Column("completion_nano_usd", BigInteger, nullable=False, comment="per million tokens"),
    Column("cached_nano_usd", BigInteger, comment="per million tokens; NULL: as other tokens of the prompt"),
    Column("call_nano_usd", BigInteger, nullable=False, comment="per call"),
    Column("created_at", UtcDateTime, nullable=False),
    Column("who", String, nullable=False),
)
"""Prices that a person set: they win over what a provider reports and over the price list."""

Index(
    "ux_price_overrides_what",
    price_overrides.c.provider,
    price_overrides.c.model,
    price_overrides.c.valid_from,
    unique=True,
)
