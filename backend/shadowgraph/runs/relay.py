"""Carries outbox rows out of the database. Any number of relays may run; a crash between publish and commit means a second, harmless message."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core import failpoints
from shadowgraph.core.clock import Clock
from shadowgraph.core.errors import Unavailable
from shadowgraph.core.waiting import wait_at_most
from shadowgraph.db.dialect import now_ms
from shadowgraph.db.engine import Database, is_outage
from shadowgraph.models.outbox import outbox
from shadowgraph.queue.message import JobMessage
from shadowgraph.queue.port import JobQueue
from shadowgraph.runs.outbox import DISPATCH_TOPIC
from shadowgraph.runs.pools import pool_of

log = logging.getLogger(__name__)

BATCH = 100
SWEEP_SECONDS = 1.0
"""How long a row waits at most whose own process could not publish it."""
MAX_BACKOFF_SECONDS = 10.0

TopicHandler = Callable[[AsyncConnection, Mapping[str, Any]], Awaitable[None]]
"""Turns an outbox row into rows of another feature, inside the transaction that marks it published; idempotent, no I/O."""


@dataclass(frozen=True, slots=True)
class OutboxRow:
    id: int
    topic: str
    payload: Mapping[str, Any]
    pool: str | None
    """Of the run that it is about; None: it is about none, or nobody has registered the run's workflow."""


class Relay:
    def __init__(
        self,
        database: Database,
        queue: JobQueue,
        *,
        clock: Clock,
        handlers: Mapping[str, TopicHandler] | None = None,
    ) -> None:
        self._database = database
        self._queue = queue
        self._clock = clock
        self._handlers = dict(handlers or {})
        self._nudged = asyncio.Event()
        self._is_broken = False

    def nudge(self) -> None:
        """Something was committed just now: do not wait for the next sweep."""
        self._nudged.set()

    async def run(self) -> None:
        """Until cancelled. While the broker or the database is away the rows stay, and the wait between tries grows."""
        backoff = SWEEP_SECONDS
        while True:
            worked = await self._try_once()
            backoff = SWEEP_SECONDS if worked else min(backoff * 2, MAX_BACKOFF_SECONDS)
            await self._wait(backoff)

    async def _wait(self, seconds: float) -> None:
        if self._is_broken:
            await asyncio.sleep(seconds)  # a nudge does not mend the broker
        else:
            await wait_at_most(self._nudged, seconds)
        self._nudged.clear()

    async def _try_once(self) -> bool:
        try:
            while await self.relay_once() == BATCH:
                pass
        except Unavailable as error:
            self._complain(error.message)
        except Exception as error:
            if not is_outage(error):
                log.exception("the relay failed")
            self._is_broken = True
        else:
            self._is_broken = False
        return not self._is_broken

    def _complain(self, message: str) -> None:
        if not self._is_broken:
            log.warning("messages wait in the outbox: %s", message)
        self._is_broken = True

    async def relay_once(self) -> int:
        """Publishes what is due; how many rows left.

        Errors: `QueueUnavailable` when the broker took not all of them; those stay.
        """
        async with self._database.write() as connection:
            rows = await self._take_batch(connection)
            failures = await self._publish([row for row in rows if row.topic == DISPATCH_TOPIC])
            for row in rows:
                if row.topic != DISPATCH_TOPIC:
                    await self._handlers[row.topic](connection, row.payload)
            if rows:
                failpoints.hit("runs.relay.published")
            done = [row.id for row in rows if row.id not in failures]
            if done:
                await connection.execute(
                    update(outbox).where(outbox.c.id.in_(done)).values(published_at=self._clock.now())
                )
        for error in failures.values():
            raise error
        return len(rows)

    async def _publish(self, rows: Sequence[OutboxRow]) -> dict[int, BaseException]:
        """What went wrong, by row id."""
        sent = await asyncio.gather(*map(self._publish_one, rows), return_exceptions=True)
        return {row.id: error for row, error in zip(rows, sent, strict=True) if error is not None}

    async def _publish_one(self, row: OutboxRow) -> None:
        message = JobMessage(id=row.payload["run_id"], why=row.payload["why"])
        await self._queue.publish(message, message_id=str(row.id), pool=row.pool)

    async def _take_batch(self, connection: AsyncConnection) -> Sequence[OutboxRow]:
        statement = (
            select(outbox.c.id, outbox.c.topic, outbox.c.payload, pool_of(outbox.c.payload["run_id"].as_string()))
            .where(outbox.c.published_at.is_(None), outbox.c.available_at <= now_ms())
            .order_by(outbox.c.id)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        )
        return [OutboxRow(row.id, row.topic, row.payload, row.pool) for row in await connection.execute(statement)]
