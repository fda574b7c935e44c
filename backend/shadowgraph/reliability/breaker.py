"""Circuit breakers: a target that fails again and again is left alone for a while, then tried with one call.

Failures in a row are counted by each process for itself. What all processes share is until when a breaker is open and who may probe; it
lies behind `BreakerStore`. A cancelled call counts neither way, any success closes.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from shadowgraph.core.clock import Clock

THRESHOLD = 5
"""Failures in a row after which a breaker opens."""
OPEN_SECONDS = 30.0
"""Then one call may probe."""
MAX_AGE_SECONDS = 0.5
"""How old what a process knows of the shared state may be when a call asks: all of them see an open breaker within it."""
LOOK_AGAIN_SECONDS = 3.0
"""How long who finds somebody else's probe under way stays away."""

Key = tuple[str, str]
"""Provider and model."""
Outcome = Literal["success", "failure", "neither"]
State = Literal["closed", "open", "half_open"]


@dataclass(frozen=True, slots=True)
class Shared:
    """What all processes know of a breaker that is not closed."""

    open_seconds: float
    """Left until it is half-open."""
    probe_seconds: float = 0.0
    """Left of somebody's probe."""

    def after(self, seconds: float) -> "Shared":
        return Shared(self.open_seconds - seconds, self.probe_seconds - seconds)


def state_of(shared: Shared | None) -> State:
    if shared is None:
        return "closed"
    return "open" if shared.open_seconds > 0 else "half_open"


def seconds_to_wait(shared: Shared | None) -> float:
    """Until a call may be tried; 0: now, with the permit to probe when it is half-open."""
    if shared is None:
        return 0.0
    if shared.open_seconds > 0:
        return shared.open_seconds
    return min(shared.probe_seconds, LOOK_AGAIN_SECONDS) if shared.probe_seconds > 0 else 0.0


class BreakerStore(Protocol):
    """What processes share. Each method is one short statement."""

    async def read(self) -> Mapping[Key, Shared]:
        """Those that are not closed."""
        ...

    async def open(self, key: Key, *, seconds: float, failures: int, error: str) -> None:
        """Closed or half-open becomes open; one that is open stays as it is."""
        ...

    async def take_probe(self, key: Key, *, seconds: float) -> bool:
        """True for one caller; the permit ends by itself after so long, in case its owner dies."""
        ...

    async def give_back_probe(self, key: Key) -> None: ...

    async def close(self, key: Key) -> None: ...


@dataclass(frozen=True, slots=True)
class Permit:
    """Of one call; `Breakers.record` takes it back."""

    key: Key
    is_probe: bool = False


class CallRefused(Exception):
    """The breaker is open, or somebody else's probe is under way."""

    def __init__(self, key: Key, *, seconds: float) -> None:
        super().__init__(f"{':'.join(key)} is left alone for {seconds:.1f} s")
        self.seconds = seconds


class Breakers:
    """One per process."""

    def __init__(self, store: BreakerStore, *, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._failures: Counter[Key] = Counter()
        self._known: Mapping[Key, Shared] = {}
        self._read_at: float | None = None

    async def admit(self, key: Key, *, probe_seconds: float) -> Permit:
        """`probe_seconds`: how long this call may take.

        Errors: `CallRefused`.
        """
        await self._refresh()
        shared = self._shared(key)
        if seconds := seconds_to_wait(shared):
            raise CallRefused(key, seconds=seconds)
        if shared is None:
            return Permit(key)
        is_ours = await self._store.take_probe(key, seconds=probe_seconds)
        self._learn(key, Shared(shared.open_seconds, probe_seconds))
        if not is_ours:
            raise CallRefused(key, seconds=LOOK_AGAIN_SECONDS)
        return Permit(key, is_probe=True)

    async def record(self, permit: Permit, outcome: Outcome, *, error: str = "") -> None:
        if outcome == "success":
            await self._succeeded(permit.key)
        elif outcome == "failure":
            await self._failed(permit, error)
        elif permit.is_probe:
            await self._store.give_back_probe(permit.key)
            self._learn(permit.key, Shared(0.0))

    def seconds_open(self, key: Key) -> float:
        """As far as this process knows; 0: calls may be tried."""
        return seconds_to_wait(self._shared(key))

    async def _succeeded(self, key: Key) -> None:
        self._failures.pop(key, None)
        if key in self._known:
            self._learn(key, None)
            await self._store.close(key)

    async def _failed(self, permit: Permit, error: str) -> None:
        self._failures[permit.key] += 1
        failures = self._failures[permit.key]
        if failures < THRESHOLD and not permit.is_probe:
            return
        self._learn(permit.key, Shared(OPEN_SECONDS))
        await self._store.open(permit.key, seconds=OPEN_SECONDS, failures=failures, error=error)

    async def _refresh(self) -> None:
        now = self._clock.monotonic()
        if self._read_at is None or now - self._read_at >= MAX_AGE_SECONDS:
            self._known, self._read_at = await self._store.read(), now

    def _shared(self, key: Key) -> Shared | None:
        shared = self._known.get(key)
        return shared and shared.after(self._clock.monotonic() - (self._read_at or 0.0))

    def _learn(self, key: Key, shared: Shared | None) -> None:
        """Of one's own change, without reading it again."""
        others = {known: found for known, found in self._known.items() if known != key}
        since_read = self._clock.monotonic() - (self._read_at or 0.0)
        self._known = others if shared is None else {**others, key: shared.after(-since_read)}


class LocalBreakers:
    """Implements `BreakerStore` for a process that shares with nobody."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ends: dict[Key, Shared] = {}
        """Moments of the clock instead of seconds left."""

    async def read(self) -> Mapping[Key, Shared]:
        now = self._clock.monotonic()
        return {key: ends.after(now) for key, ends in self._ends.items()}

    async def open(self, key: Key, *, seconds: float, failures: int, error: str) -> None:
        now = self._clock.monotonic()
        if key not in self._ends or self._ends[key].open_seconds <= now:
            self._ends[key] = Shared(now + seconds)

    async def take_probe(self, key: Key, *, seconds: float) -> bool:
        now, ends = self._clock.monotonic(), self._ends.get(key)
        if ends is None or ends.open_seconds > now or ends.probe_seconds > now:
            return False
        self._ends[key] = Shared(ends.open_seconds, now + seconds)
        return True

    async def give_back_probe(self, key: Key) -> None:
        if key in self._ends:
            self._ends[key] = Shared(self._ends[key].open_seconds)

    async def close(self, key: Key) -> None:
        self._ends.pop(key, None)
