"""What the API needs from the rest of the program; `wiring/api.py` builds it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from shadowgraph.core.clock import Clock
from shadowgraph.core.settings import Settings
from shadowgraph.costs.prices import PriceBook
from shadowgraph.db.engine import Database
from shadowgraph.queue.port import Wakeups
from shadowgraph.runs.admission import Limits


@dataclass(frozen=True, slots=True)
class ReadinessCheck:
    """One part that `/readyz` asks."""

    name: str
    """database, broker, storage."""
    probe: Callable[[], Awaitable[None]]
    """Raises when the part does not do its work; the message says what is wrong."""
    hint: str
    """How to mend it, in one sentence."""
    is_required: bool = True
    """False: requests are still served and accepted runs still go on without it, so the API only says that it is missing."""


@dataclass(frozen=True, slots=True)
class StreamTimes:
    """How long those who follow a run wait for news."""

    poll_seconds: float = 1.0
    """The tables are read at least this often: a wake-up may be lost."""
    ping_seconds: float = 15.0
    """A comment is sent after this much silence, so that no proxy takes the stream for dead."""


@dataclass(frozen=True, slots=True)
class ApiServices:
    database: Database
    clock: Clock
    settings: Settings
    wakeups: Wakeups
    nudge_relay: Callable[[], None]
    """Called after a commit that left an outbox row."""
    prices: PriceBook = field(default_factory=PriceBook)
    checks: Sequence[ReadinessCheck] = ()
    stream_times: StreamTimes = StreamTimes()
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the server begins to stop: `/readyz` says no and open streams end (`api/server.py` sets it)."""

    @property
    def limits(self) -> Limits:
        settings = self.settings
        return Limits(settings.max_queued_runs, settings.max_runs_per_owner, settings.max_queue_age_s)
