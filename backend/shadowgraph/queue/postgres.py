"""Jobs over LISTEN/NOTIFY, for PostgreSQL without a broker.

Every listener of a pool gets every message of it and the claim decides; a notification that nobody hears is found by the poll. Wake-ups
have no adapter here: readers in other processes poll each second.
"""

import asyncio
import logging
from collections.abc import Collection

import psycopg
from psycopg import sql

from shadowgraph.db.dialect import plain_url
from shadowgraph.db.sessions import has_session, open_connection
from shadowgraph.queue.delivery import hand_over
from shadowgraph.queue.message import BadMessage, JobMessage
from shadowgraph.queue.pools import pool_digest
from shadowgraph.queue.port import JobHandler, QueueUnavailable

log = logging.getLogger(__name__)

PUBLISH_TIMEOUT_SECONDS = 5.0
RECONNECT_SECONDS = 0.5


class PostgresQueue:
    """Implements `JobQueue`. Through a pooler LISTEN hears nothing: there every job is found by the poll."""

    def __init__(self, url: str, *, prefix: str = "") -> None:
        self._url = plain_url(url)
        self._prefix = prefix
        self._publishing: psycopg.AsyncConnection | None = None
        self._turn = asyncio.Lock()
        self._is_closed = False

    def channel_of(self, pool: str | None) -> str:
        """None: the common one, to which every worker listens."""
        return f"{self._prefix}runs" if pool is None else f"{self._prefix}runs.{pool_digest(pool)}"

    async def publish(self, message: JobMessage, *, message_id: str, pool: str | None) -> None:
        await self._execute("SELECT pg_notify(%s, %s)", (self.channel_of(pool), message.to_bytes().decode()))

    async def consume(self, handler: JobHandler, *, pools: Collection[str]) -> None:
        channels = [self.channel_of(pool) for pool in (None, *sorted(pools))]
        is_away = False
        while True:
            try:
                async with await open_connection(self._url) as connection:
                    if not await has_session(connection):
                        await asyncio.Event().wait()  # until cancelled: nothing will ever come
                    for channel in channels:
                        await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                    is_away = False
                    async for notification in connection.notifies():
                        await self._take(notification.payload, handler)
            except (psycopg.Error, OSError) as error:
                if not is_away:
                    log.warning("the database does not notify: %s; trying again every %s s", error, RECONNECT_SECONDS)
                is_away = True
            await asyncio.sleep(RECONNECT_SECONDS)

    async def check(self) -> None:
        await self._execute("SELECT 1", ())

    async def close(self) -> None:
        self._is_closed = True
        async with self._turn:
            await self._disconnect()

    async def _take(self, payload: str, handler: JobHandler) -> None:
        try:
            message = JobMessage.from_bytes(payload.encode())
        except BadMessage as error:
            log.error("a notification that is not ours was ignored: %s", error.message)
        else:
            await hand_over(message, handler)

    async def _execute(self, statement: str, parameters: tuple[str, ...]) -> None:
        async with self._turn:
            if self._is_closed:
                raise QueueUnavailable("the queue is closed")
            try:
                async with asyncio.timeout(PUBLISH_TIMEOUT_SECONDS):
                    if self._publishing is None:
                        self._publishing = await open_connection(self._url)
                    await self._publishing.execute(statement, parameters)
            except (psycopg.Error, OSError) as error:
                await self._disconnect()
                raise QueueUnavailable(f"the database took no notification: {error}") from error

    async def _disconnect(self) -> None:
        connection, self._publishing = self._publishing, None
        if connection is not None:
            await connection.close()
