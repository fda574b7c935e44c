"""Limits of requests: those that we set, and those that providers tell of with each answer. Clock injected."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from shadowgraph.core.clock import Clock
from shadowgraph.reliability.breaker import Key

MAX_PAUSE_SECONDS = 3_600.0
"""What a header says beyond this is not believed."""
_DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?\Z")
_SECONDS_OF = (86_400.0, 3_600.0, 60.0, 1.0, 0.001)


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests in so many seconds."""

    amount: int
    seconds: int


def parse_rate(text: str) -> Rate:
    """Of `30/minute`; a bare number counts per minute.

    Errors: `ValueError`.
    """
    amount, _, unit = text.strip().partition("/")
    seconds = _SECONDS_OF_UNIT.get(unit or "minute")
    if seconds is None or not amount.isdecimal() or int(amount) < 1:
        raise ValueError(f"{text!r} is no rate: write 30/minute, or second, hour, day")
    return Rate(int(amount), seconds)


def share_of(rate: Rate, *, processes: int) -> Rate:
    """What each of so many processes may do that cannot count together. Never more than the rate in all."""
    if rate.amount >= processes:
        return Rate(rate.amount // processes, rate.seconds)
    return Rate(1, -(-rate.seconds * processes // rate.amount))


_SECONDS_OF_UNIT = {"second": 1, "minute": 60, "hour": 3_600, "day": 86_400}


@dataclass(frozen=True, slots=True)
class Allowance:
    """What is left of a provider's limit, and for how long that holds."""

    remaining: float
    reset_seconds: float


def read_allowances(headers: Mapping[str, str]) -> dict[str, Allowance]:
    """`requests` and `tokens`, those that the headers tell of."""
    found = {}
    for unit in ("requests", "tokens"):
        remaining = _number(headers.get(f"x-ratelimit-remaining-{unit}"))
        reset = parse_duration(headers.get(f"x-ratelimit-reset-{unit}"))
        if remaining is not None and reset is not None:
            found[unit] = Allowance(remaining, min(reset, MAX_PAUSE_SECONDS))
    return found


def parse_duration(text: str | None) -> float | None:
    """Seconds of `2m59.56s`, `7.66s`, `120ms` or a bare number of seconds; None for anything else."""
    if not text:
        return None
    if (number := _number(text)) is not None:
        return number
    match = _DURATION.match(text.strip())
    if match is None or not any(match.groups()):
        return None
    return sum(float(part) * seconds for part, seconds in zip(match.groups(), _SECONDS_OF, strict=True) if part)


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"\d+(\.\d+)?", text.strip()) else None


@dataclass(slots=True)
class _Known:
    remaining: float
    ends_at: float


class Reported:
    """Of all targets, as this process heard it."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[tuple[Key, str], _Known] = {}

    def hear(self, key: Key, headers: Mapping[str, str]) -> None:
        now = self._clock.monotonic()
        for unit, allowance in read_allowances(headers).items():
            self._known[key, unit] = _Known(allowance.remaining, now + allowance.reset_seconds)

    def pause(self, key: Key, seconds: float) -> None:
        """The provider said not to come back before."""
        self._known[key, "requests"] = _Known(0, self._clock.monotonic() + seconds)

    def take(self, key: Key, *, tokens: int) -> float:
        """Counts one request of so many tokens; else the seconds after which it may be tried again."""
        now = self._clock.monotonic()
        wanted = {"requests": 1, "tokens": tokens}
        found = {unit: known for unit in wanted if (known := self._known.get((key, unit))) and known.ends_at > now}
        waits = [known.ends_at - now for unit, known in found.items() if known.remaining < wanted[unit]]
        if waits:
            return max(waits)
        for unit, known in found.items():
            known.remaining -= wanted[unit]
        return 0.0
