"""Shows that this worker lives: a session lock on PostgreSQL, which the server frees within milliseconds when the process dies."""

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from shadowgraph.db.dialect import async_url
from shadowgraph.db.engine import is_outage
from shadowgraph.db.sessions import CONNECT_ARGS, is_pooled, limit_connections
from shadowgraph.runs.sweeper import PRESENCE_LOCK_CLASS

log = logging.getLogger(__name__)

CHECK_SECONDS = 5.0
"""How often the session that holds the lock is looked after; a lost one is taken again."""


class Presence:
    """`number` is None where session locks do not work (a pooler in between): recovery then takes up to a lease."""

    def __init__(self, direct_url: str, *, seen_through_url: str) -> None:
        self._direct = _engine(direct_url)
        self._seen_through = _engine(seen_through_url)
        self.number: int | None = secrets.randbelow(2**31)
        self._connection: AsyncConnection | None = None

    @asynccontextmanager
    async def held(self) -> AsyncIterator["Presence"]:
        await self._acquire()
        if self.number is not None and not await self._is_visible():
            log.warning("the session lock of this worker cannot be seen: DATABASE_DIRECT_URL leads to another database")
            self.number = None
        keeper = asyncio.create_task(self._keep())
        try:
            yield self
        finally:
            keeper.cancel()
            await asyncio.gather(keeper, return_exceptions=True)
            await self._release()

    async def _acquire(self) -> None:
        self._connection = await self._direct.connect()
        if is_pooled(self._connection):
            # The lock would be the pooler's, which keeps it when we die, and loses it while we live.
            self.number = None
            return
        await self._connection.execute(
            text("SELECT pg_advisory_lock(:lock_class, :number)"),
            {"lock_class": PRESENCE_LOCK_CLASS, "number": self.number},
        )

    async def _is_visible(self) -> bool:
        """Asked the way the sweeper asks, from another session."""
        statement = text(
            "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = :lock_class AND objid = :number "
            "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
        )
        async with self._seen_through.connect() as connection:
            found = await connection.scalar(statement, {"lock_class": PRESENCE_LOCK_CLASS, "number": self.number})
        return bool(found)

    async def _keep(self) -> None:
        while self.number is not None:
            await asyncio.sleep(CHECK_SECONDS)
            try:
                await self._ensure()
            except Exception as error:
                if not is_outage(error):
                    log.exception("presence could not be taken again")

    async def _ensure(self) -> None:
        if self._connection is not None:
            try:
                await self._connection.execute(text("SELECT 1"))
                return
            except Exception as error:
                if not is_outage(error):
                    raise
                await self._drop_connection()
        await self._acquire()

    async def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.invalidate()
            await connection.close()

    async def _release(self) -> None:
        if self._connection is not None:
            await self._connection.close()
        await self._direct.dispose()
        await self._seen_through.dispose()


def _engine(url: str) -> AsyncEngine:
    engine = create_async_engine(
        async_url(url), poolclass=NullPool, isolation_level="AUTOCOMMIT", connect_args=CONNECT_ARGS
    )
    limit_connections(engine.sync_engine)
    return engine
