"""Money: integer nano-USD in tables, `Decimal` USD in code."""

from decimal import ROUND_HALF_EVEN, Decimal

NANO = Decimal("0.000000001")


def to_nano(usd: Decimal) -> int:
    """Rounded to the nearest nano-USD."""
    return int((usd / NANO).to_integral_value(ROUND_HALF_EVEN))


def to_usd(nano_usd: int) -> Decimal:
    """Exact, however many digits it has."""
    return Decimal(nano_usd).scaleb(-9)


def plain(usd: Decimal) -> str:
    """Digits without an exponent and without zeros at the end: `0.0125`, `3`."""
    text = f"{usd:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def number(usd: Decimal) -> float:
    """For JSON: at most nine decimals."""
    return float(round(usd, 9))
