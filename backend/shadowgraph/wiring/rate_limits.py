"""Limits that we set for routes and providers, with the library `limits`: counted in Redis by all processes together when it is set up, else
each process takes its share of them."""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.util import find_spec

from limits import RateLimitItem, RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError

from shadowgraph.core.clock import Clock
from shadowgraph.core.settings import Settings
from shadowgraph.db.engine import Database
from shadowgraph.reliability.limits import Rate, parse_rate, share_of
from shadowgraph.runs.workers import count_live

log = logging.getLogger(__name__)

SHARE_AGE_SECONDS = 5.0
"""How long a process goes by what it knows of the number of others."""
SHORTEST_WAIT_SECONDS = 0.05
"""What is due at this very moment is not asked for in a tight loop."""
COUNT_SECONDS = 60.0
"""A worker that was not heard of for so long does not count."""

CountProcesses = Callable[[], Awaitable[int]]


class LibraryLimiter:
    """Implements `llm.gate.RateLimiter`."""

    def __init__(
        self, rates: Mapping[str, str], count_processes: CountProcesses, *, redis: RedisStorage | None = None
    ) -> None:
        """`rates` by provider."""
        self._rates = rates
        self._count_processes = count_processes
        self._alone = MovingWindowRateLimiter(MemoryStorage())
        self._together = MovingWindowRateLimiter(redis) if redis else None

    async def take(self, route: str | None, rate_limit: str | None, provider: str) -> float:
        wanted = [(f"route:{route}", rate_limit), (f"provider:{provider}", self._rates.get(provider))]
        limits = [(name, parse_rate(text)) for name, text in wanted if text]
        if not limits:
            return 0.0
        if self._together:
            try:
                return await _take(self._together, [(name, _item(rate)) for name, rate in limits])
            except StorageError as error:
                log.warning("Redis is away, this process keeps its share of the limits: %s", error)
        processes = max(1, await self._count_processes())
        return await _take(self._alone, [(name, _item(share_of(rate, processes=processes))) for name, rate in limits])


def count_workers(database: Database, *, clock: Clock) -> CountProcesses:
    """The live workers, read again when what is known is `SHARE_AGE_SECONDS` old."""
    known = 1
    read_at: float | None = None

    async def count() -> int:
        nonlocal known, read_at
        now = clock.monotonic()
        if read_at is None or now - read_at >= SHARE_AGE_SECONDS:
            async with database.read() as connection:
                known, read_at = await count_live(connection, within_seconds=COUNT_SECONDS), now
        return known

    return count


@asynccontextmanager
async def open_limiter(settings: Settings, database: Database, *, clock: Clock) -> AsyncIterator[LibraryLimiter]:
    count = count_workers(database, clock=clock)
    async with open_redis(settings.redis_url, prefix=settings.redis_prefix) as redis:
        yield LibraryLimiter(settings.rate_limits, count, redis=redis)


async def _take(limiter: MovingWindowRateLimiter, limits: list[tuple[str, RateLimitItem]]) -> float:
    """Counts under all of them or under none, but for a race that another process wins in between."""
    waits = [await _seconds_left(limiter, name, item) for name, item in limits]
    if not any(waits):
        waits = [0.0 if await limiter.hit(item, name) else SHORTEST_WAIT_SECONDS for name, item in limits]
    return max(waits)


async def _seconds_left(limiter: MovingWindowRateLimiter, name: str, item: RateLimitItem) -> float:
    if await limiter.test(item, name):
        return 0.0
    window = await limiter.get_window_stats(item, name)
    return max(window.reset_time - time.time(), SHORTEST_WAIT_SECONDS)


def _item(rate: Rate) -> RateLimitItem:
    return RateLimitItemPerSecond(rate.amount, rate.seconds)


@asynccontextmanager
async def open_redis(url: str, *, prefix: str) -> AsyncIterator[RedisStorage | None]:
    """None: it is not set up, or its library is not installed. Nothing is sent before the first limit is asked for."""
    if url and find_spec("redis") is None:
        log.warning("REDIS_URL is set, but its library is not installed: pip install 'shadowgraph[redis]'")
        url = ""
    if not url:
        yield None
        return
    pool = import_module("redis.asyncio").ConnectionPool.from_url(url)
    try:
        yield RedisStorage(
            f"async+{url}",
            wrap_exceptions=True,
            implementation="redispy",
            key_prefix=f"{prefix}shadowgraph-limits",
            connection_pool=pool,
        )
    finally:
        await pool.aclose()
