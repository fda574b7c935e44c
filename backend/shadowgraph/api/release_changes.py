"""Carries out a change of a release, and tells of it after the commit."""

from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Response
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.api.release_views import load_change
from shadowgraph.api.services import ApiServices
from shadowgraph.queue.message import Wake
from shadowgraph.runs.releases import Changed, tell

REPLAYED: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            "Idempotency-Replayed": {
                "description": "`true`: the key and body came before, and this is what they did.",
                "schema": {"type": "string"},
            }
        }
    }
}


async def carry_out(services: ApiServices, work: Callable[[AsyncConnection], Awaitable[Changed]]) -> Response:
    """`work` runs in one transaction."""
    async with services.database.write() as connection:
        changed = await work(connection)
        shown = await load_change(connection, changed)
    if not changed.replayed:
        await _announce(services, changed)
    headers = {"Idempotency-Replayed": "true"} if changed.replayed else {}
    return Response(shown.model_dump_json(), headers=headers, media_type="application/json")


async def _announce(services: ApiServices, changed: Changed) -> None:
    """Outside the database, to workers, and to whoever follows one of the runs."""
    tell(changed.event)
    if changed.moved:
        services.nudge_relay()
    for moved in changed.moved:
        await services.wakeups.publish(Wake(run_id=moved.run_id, seq=moved.seq))
