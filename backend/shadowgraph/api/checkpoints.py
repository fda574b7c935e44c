"""Reads checkpoints. The graph library is imported with the first of them, in a thread: an API that shows none starts without it."""

import asyncio
from types import ModuleType
from typing import TYPE_CHECKING

from shadowgraph.api.services import ApiServices
from shadowgraph.core.errors import NotFound
from shadowgraph.runs.run import Run

if TYPE_CHECKING:
    from shadowgraph.engine.history import CheckpointView


class CheckpointNotFound(NotFound):
    code = "checkpoint_not_found"


async def list_checkpoints(
    services: ApiServices, run: Run, *, before: str | None, limit: int
) -> "list[CheckpointView]":
    """Newest first. A run that never started has none, and perhaps no tables for them yet."""
    if run.started_at is None:
        return []
    history = await asyncio.to_thread(_import_history)
    found: list[CheckpointView] = await history.list_checkpoints(
        services.database.url, run.checkpoint_thread, before=before, limit=limit
    )
    return found


async def find_checkpoint(services: ApiServices, run: Run, checkpoint_id: str | None = None) -> "CheckpointView | None":
    """Without an id: the last one."""
    if run.started_at is None:
        return None
    history = await asyncio.to_thread(_import_history)
    found: CheckpointView | None = await history.find_checkpoint(
        services.database.url, run.checkpoint_thread, checkpoint_id
    )
    return found


async def require_checkpoint(services: ApiServices, run: Run, checkpoint_id: str) -> "CheckpointView":
    """Errors: `CheckpointNotFound`."""
    found = await find_checkpoint(services, run, checkpoint_id)
    if found is None:
        raise CheckpointNotFound(
            f"run {run.id} has no checkpoint {checkpoint_id[:80]!r}", checkpoint_id=checkpoint_id[:80]
        )
    return found


def _import_history() -> ModuleType:
    from shadowgraph.engine import history

    return history
