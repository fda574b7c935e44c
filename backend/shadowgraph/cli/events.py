"""A run's events as they arrive, over as many connections as that takes."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx
from httpx_sse import ServerSentEvent

from shadowgraph.cli.client import Client
from shadowgraph.cli.server import unreachable

RECONNECT_SECONDS = (0.1, 0.5, 1.0, 2.0, 3.0, 5.0, 5.0, 5.0, 5.0)
"""Waits between attempts while nothing arrives; after the last one the server is taken for gone."""

RESTING_EVENTS = frozenset({"run.finished", "run.awaiting_human", "run.paused", "run.budget_exceeded"})
"""After one of these the run may be at rest. Whether it still is only the run itself says: it may have been retried since."""


@dataclass(frozen=True, slots=True)
class RunEvent:
    type: str
    facts: Mapping[str, Any]
    seq: int | None = None
    """None: a live frame, which is not stored."""
    at: datetime | None = None
    wire: Mapping[str, Any] = field(default_factory=dict)
    """As the server sent it."""

    @property
    def node(self) -> str:
        return str(self.facts.get("node") or "")


async def follow(client: Client, run_id: str) -> AsyncIterator[RunEvent]:
    """From the run's first event to its end, without gap or double, over broken connections.

    Errors: `CommandFailed` for an unknown run, or when the server stays away.
    """
    last_id: str | None = None
    waits = iter(RECONNECT_SECONDS)
    while True:
        broken: Exception | None = None
        try:
            async with client.events(run_id, last_event_id=last_id) as source:
                if source is None:
                    return
                async for message in source.aiter_sse():
                    last_id = message.id or last_id
                    waits = iter(RECONNECT_SECONDS)
                    if message.data:  # a ping has none
                        yield parse(message)
        except httpx.TransportError as error:
            broken = error
        wait = next(waits, None)
        if wait is None:
            raise unreachable(client.url, broken or ConnectionError("the stream ended again and again"))
        await asyncio.sleep(wait)


def parse(message: ServerSentEvent) -> RunEvent:
    wire = json.loads(message.data)
    at = wire.get("at")
    return RunEvent(
        wire["type"], wire.get("data") or {}, wire.get("seq"), datetime.fromisoformat(at) if at else None, wire=wire
    )
