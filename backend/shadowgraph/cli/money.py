"""Money as the server sends it, for people: every digit, no exponent."""

from decimal import Decimal

from shadowgraph.core.money import plain

UNKNOWN = "?"


def usd(amount: float | None) -> str:
    """Plain digits, so that they are those of the API."""
    return UNKNOWN if amount is None else plain(Decimal(repr(amount)))
