"""Limits of requests that processes share: counted together in Redis, else in shares."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from limits.aio.storage import RedisStorage

from shadowgraph.core.clock import ManualClock
from shadowgraph.core.ids import new_worker_id
from shadowgraph.db.engine import Database
from shadowgraph.runs.workers import WorkerInfo, register_worker
from shadowgraph.wiring.rate_limits import SHARE_AGE_SECONDS, LibraryLimiter, count_workers, open_redis
from tests.support.processes import free_port
from tests.support.requirements import skip_or_fail
from tests.support.runs import CLOCK
from tests.support.waiting import wait_until


def limiter(
    rates: dict[str, str] | None = None, *, processes: int = 1, redis: RedisStorage | None = None
) -> LibraryLimiter:
    async def count() -> int:
        return processes

    return LibraryLimiter(rates or {}, count, redis=redis)


async def took(found: LibraryLimiter, times: int, *, rate: str | None = None, provider: str = "groq") -> int:
    """How many of so many requests may leave at once."""
    return sum([await found.take("default", rate, provider) == 0 for _ in range(times)])


@pytest.fixture
async def redis_url(tmp_path: Path) -> AsyncIterator[str]:
    binary = shutil.which("redis-server")
    if binary is None:
        skip_or_fail("redis-server is not installed")
    port = free_port()
    server = await asyncio.create_subprocess_exec(
        str(binary), "--port", str(port), "--dir", str(tmp_path), "--save", "", stdout=asyncio.subprocess.DEVNULL
    )
    try:
        await wait_until(lambda: _answers(port), what="Redis to listen")
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        await server.wait()


async def _answers(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True


async def test_without_a_limit_everything_may_leave() -> None:
    assert await took(limiter(), 50) == 50


async def test_requests_beyond_the_limit_are_told_when_to_come_again() -> None:
    found = limiter({"groq": "2/hour"})

    waits = [await found.take("default", None, "groq") for _ in range(3)]

    assert waits[:2] == [0, 0]
    assert 3_500 < waits[2] <= 3_600
    assert await found.take("default", None, "anthropic") == 0, "each provider has its own"


async def test_a_routes_limit_holds_beside_its_providers() -> None:
    found = limiter({"groq": "10/hour"})

    assert await took(found, 10, rate="3/hour") == 3


async def test_each_process_takes_its_share() -> None:
    assert await took(limiter({"groq": "10/hour"}, processes=4), 10) == 2


async def test_with_redis_all_processes_count_together(redis_url: str) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(open_redis(redis_url, prefix="test-")) for _ in range(4)]

        left = [await took(limiter({"groq": "5/hour"}, processes=4, redis=redis), 3) for redis in clients]

    assert left == [3, 2, 0, 0]


async def test_without_its_redis_a_process_keeps_its_share(caplog: pytest.LogCaptureFixture) -> None:
    async with open_redis(f"redis://127.0.0.1:{free_port()}/0", prefix="") as redis:
        left = await took(limiter({"groq": "8/hour"}, processes=4, redis=redis), 5)

    assert left == 2
    assert "Redis is away" in caplog.text


async def test_live_workers_are_counted_now_and_then(database: Database) -> None:
    clock = ManualClock()
    count = count_workers(database, clock=clock)
    before = await count()
    for _ in range(3):
        async with database.write() as connection:
            await register_worker(connection, WorkerInfo(new_worker_id(), "h", 1, "b", [], 1, CLOCK.now(), None))
    soon = await count()
    clock.advance(SHARE_AGE_SECONDS)

    assert (before, soon, await count()) == (0, 0, 3)
