"""The events of one run as server-sent events.

Every frame with a number comes from the table, so that a reader that comes back with its last number misses nothing and sees nothing
twice. No database connection is held while the stream waits.
"""

import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.api.schemas.details import RunEvent
from shadowgraph.api.services import ApiServices
from shadowgraph.api.views import build_event, build_live_event, load_run
from shadowgraph.api.watching import RunWatch, watch_run
from shadowgraph.db.engine import is_outage
from shadowgraph.queue.message import Wake
from shadowgraph.runs.events import RUN_FINISHED, Event
from shadowgraph.runs.repository import find_run, list_events, require_run

log = logging.getLogger(__name__)

BATCH = 200


@dataclass(frozen=True, slots=True)
class News:
    """What the tables had to say after some number."""

    events: list[RunEvent]
    seq: int
    """All that there is up to this number has been read."""
    is_over: bool
    """The run has ended and this was the last of it."""
    has_more: bool = False


class RunStream:
    def __init__(self, services: ApiServices, run_id: str, *, after: int) -> None:
        self._services = services
        self._times = services.stream_times
        self._run_id = run_id
        self._seq = after
        self._last_sent = services.clock.monotonic()

    async def frames(self) -> AsyncIterator[bytes]:
        """Ends after the run's last event, or when the server stops."""
        async with watch_run(self._services, self._run_id) as watch:
            while not watch.is_stopping:
                news = await self._read_news()
                for event in news.events:
                    yield self._frame(event)
                self._seq = news.seq
                if news.is_over:
                    return
                if not news.has_more:
                    async for frame in self._until_news(watch):
                        yield frame

    async def _read_news(self) -> News:
        """An outage of the database is waited out."""
        try:
            async with self._services.database.read() as connection:
                return await read_news(connection, self._run_id, after=self._seq)
        except SQLAlchemyError as error:
            if not is_outage(error):
                raise
            log.warning("an event stream waits for the database: %s", error, extra={"run_id": self._run_id})
            return News([], self._seq, is_over=False)

    async def _until_news(self, watch: RunWatch) -> AsyncIterator[bytes]:
        """Live text and pings, until the tables should be read again."""
        poll_at = self._now() + self._times.poll_seconds
        while (left := poll_at - self._now()) > 0:
            wake = await watch.next(min(left, self._until_ping()))
            if watch.is_stopping or (wake is not None and self._is_news(wake)):
                return
            if wake is not None and wake.live is not None:
                yield self._frame(build_live_event(wake))
            if self._until_ping() <= 0:
                self._last_sent = self._now()
                yield KEEPALIVE_COMMENT

    def _is_news(self, wake: Wake) -> bool:
        return wake.live is None and (wake.seq is None or wake.seq > self._seq)

    def _frame(self, event: RunEvent) -> bytes:
        self._last_sent = self._now()
        number = None if event.seq is None else str(event.seq)
        return format_sse_event(data_str=event.model_dump_json(), event=event.type, id=number)

    def _until_ping(self) -> float:
        return max(0.0, self._last_sent + self._times.ping_seconds - self._now())

    def _now(self) -> float:
        return self._services.clock.monotonic()


async def read_news(connection: AsyncConnection, run_id: str, *, after: int) -> News:
    """The run is read before its events: whatever its row counts has been committed when they are read."""
    run = await find_run(connection, run_id)
    if run is None:
        return News([], after, is_over=True)
    if run.event_seq <= after:
        return News([], after, is_over=run.has_ended)
    found = await list_events(connection, run_id, after=after, limit=BATCH)
    events = [await _wire_event(connection, event) for event in found]
    if len(found) == BATCH:
        return News(events, found[-1].seq, is_over=False, has_more=True)
    seq = max(run.event_seq, found[-1].seq if found else 0)  # what is missing below was pruned
    return News(events, seq, is_over=run.has_ended and seq == run.event_seq)


async def _wire_event(connection: AsyncConnection, event: Event) -> RunEvent:
    if event.type != RUN_FINISHED:
        return build_event(event)
    run = await require_run(connection, event.run_id)
    # A run that was retried after this end is not finished now: then the event stands alone.
    return build_event(event, run=await load_run(connection, run) if run.has_ended else None)
