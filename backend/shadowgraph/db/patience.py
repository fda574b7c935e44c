"""Waiting for a database that is away: nothing is wrong with the work, and nothing else can harm it meanwhile."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.db.engine import Database, is_outage

log = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 0.1
MAX_RETRY_SECONDS = 2.0

T = TypeVar("T")


def retry_delays() -> Iterator[float]:
    """Seconds before each further try, for ever."""
    delay = FIRST_RETRY_SECONDS
    while True:
        yield delay
        delay = min(delay * 2, MAX_RETRY_SECONDS)


async def outlast_outage(
    work: Callable[[], Awaitable[T]], *, is_away: Callable[[BaseException], bool] = is_outage
) -> T:
    """What `work` gives, tried again until the database is back: only for work that may be done twice."""
    for delay in retry_delays():
        try:
            return await work()
        except Exception as error:
            if not is_away(error):
                raise
            log.warning("the database is away: trying again in %s s", delay)
        await asyncio.sleep(delay)
    raise AssertionError  # the delays never end


async def read_patiently(database: Database, query: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """A read of a run that is under way: it must not fail because the database was away for a moment."""

    async def read() -> T:
        async with database.read() as connection:
            return await query(connection)

    return await outlast_outage(read)
