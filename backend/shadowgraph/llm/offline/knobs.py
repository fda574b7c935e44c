"""The one setting `OFFLINE_MODEL`: how slow, how noisy and how unreliable the offline model plays. Absent: instant, noise-free, never failing.

    latency_ms=200&jitter_ms=50&token_ms=5&noise=0.3&seed=7&fail=429:retry_after=1&fail_rate=0.1&fail_first=2&cut_stream_after=10

`fail` and `cut_stream_after` say what goes wrong, `fail_first` and `fail_rate` how often (neither: always). A node's name before a knob
limits it to that node: `coder.fail=500`.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import unquote_plus

from shadowgraph.core.errors import Invalid

DEFAULT_FAILURE_STATUS = 503
MAX_WAIT_MS = 600_000
"""Ten minutes: longer than any timeout of ours, so a larger number is a slip."""


class BadOfflineSetting(Invalid):
    code = "offline_model_setting"


@dataclass(frozen=True, slots=True)
class Failure:
    status: int
    retry_after: float | None = None
    """Seconds, sent as `Retry-After`."""


@dataclass(frozen=True, slots=True)
class NodeKnobs:
    """The knobs as they hold for one node."""

    latency_ms: float = 0.0
    """Wait before the first token."""
    jitter_ms: float = 0.0
    """The wait differs by up to this much in both directions."""
    token_ms: float = 0.0
    """Wait before each piece of text."""
    noise: float = 0.0
    """0 to 1: how much the wording and the order of answers differ between calls."""
    seed: int = 0
    fail: Failure | None = None
    fail_rate: float = 0.0
    """Share of attempts that fail, 0 to 1."""
    fail_first: int = 0
    """The first n attempts of each call fail."""
    cut_stream_after: int | None = None
    """The connection breaks after this many pieces."""
    price_usd_per_call: Decimal | None = None
    """A made-up price, to show budgets without a provider."""


@dataclass(frozen=True, slots=True)
class Knobs:
    everywhere: NodeKnobs = NodeKnobs()
    by_node: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Only the knobs that a node has for itself."""

    def for_node(self, node: str) -> NodeKnobs:
        own = self.by_node.get(node)
        return dataclasses.replace(self.everywhere, **own) if own else self.everywhere


def parse_knobs(text: str | None) -> Knobs:
    """Errors: `BadOfflineSetting` that names the knob and says what it takes."""
    given: dict[str, dict[str, Any]] = {}
    for part in (text or "").strip().split("&"):
        if part.strip():
            node, name, value = _parse_knob(part.strip())
            if name in given.setdefault(node, {}):
                raise BadOfflineSetting(f"OFFLINE_MODEL sets {part.partition('=')[0]} twice", knob=name)
            given[node][name] = value
    everywhere = given.pop("", {})
    return Knobs(NodeKnobs(**everywhere), given)


def _parse_knob(part: str) -> tuple[str, str, Any]:
    left, equals, value = part.partition("=")
    node, _, name = unquote_plus(left).strip().rpartition(".")
    reader = _READERS.get(name)
    if reader is None:
        raise BadOfflineSetting(
            f"OFFLINE_MODEL has no knob {name!r}",
            hint=f"Knobs are {', '.join(_READERS)}; a node's name may stand before one: coder.fail=500",
            knob=name,
        )
    if not equals:
        raise BadOfflineSetting(f"OFFLINE_MODEL: {name} needs a value, as in {name}=…", knob=name)
    return node, name, reader(name, unquote_plus(value).strip())


def _refuse(name: str, value: str, expected: str) -> BadOfflineSetting:
    return BadOfflineSetting(f"OFFLINE_MODEL: {name}={value} is not {expected}", knob=name, value=value)


def _read_milliseconds(name: str, value: str) -> float:
    return _read_number(name, value, MAX_WAIT_MS, f"a number of milliseconds from 0 to {MAX_WAIT_MS}")


def _read_share(name: str, value: str) -> float:
    return _read_number(name, value, 1, "a number from 0 to 1")


def _read_number(name: str, value: str, largest: float, expected: str) -> float:
    try:
        number = float(value)
    except ValueError:
        raise _refuse(name, value, expected) from None
    if not (math.isfinite(number) and 0 <= number <= largest):
        raise _refuse(name, value, expected)
    return number


def _read_count(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise _refuse(name, value, "a whole number, 0 or more")
    return int(value)


def _read_seed(name: str, value: str) -> int:
    sign, digits = (-1, value[1:]) if value.startswith("-") else (1, value)
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise _refuse(name, value, "a whole number")
    return sign * int(digits)


def _read_failure(name: str, value: str) -> Failure:
    """`429` or `429:retry_after=1`."""
    status, _, detail = value.partition(":")
    key, equals, seconds = detail.partition("=")
    is_known = status.isascii() and status.isdigit() and 400 <= int(status[:4]) <= 599
    if not is_known or (detail and not (key.strip() == "retry_after" and equals)):
        raise _refuse(name, value, "a status from 400 to 599, such as 500 or 429:retry_after=1")
    retry_after = _read_number(name, seconds, 86_400, "a status with retry_after in seconds") if detail else None
    return Failure(int(status), retry_after)


def _read_price(name: str, value: str) -> Decimal:
    try:
        price = Decimal(value)
    except InvalidOperation:
        raise _refuse(name, value, "an amount in USD") from None
    if not (price.is_finite() and 0 <= price <= 1000):
        raise _refuse(name, value, "an amount in USD from 0 to 1000")
    return price


_READERS: dict[str, Callable[[str, str], Any]] = {
    "latency_ms": _read_milliseconds,
    "jitter_ms": _read_milliseconds,
    "token_ms": _read_milliseconds,
    "noise": _read_share,
    "seed": _read_seed,
    "fail": _read_failure,
    "fail_rate": _read_share,
    "fail_first": _read_count,
    "cut_stream_after": _read_count,
    "price_usd_per_call": _read_price,
}
