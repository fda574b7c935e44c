"""What a promoted standby means for the fences.

A standby that was not synchronous has not heard of the last commits. A worker may then hold a token that the database has never given, or
has forgotten steps of its run; and a new claim would be given the very same token. So at the first contact with a new timeline every run
that can still go on gets a token beyond all that were given, and RUNNING ones go back into the queue. Nobody claims or writes before that
(`db/engine.py: settled_timeline`).
"""

import logging
from dataclasses import dataclass

from sqlalchemy import ColumnElement, exists, func, literal_column, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.clock import Clock
from shadowgraph.db.dialect import insert, now_ms
from shadowgraph.models.runs import runs
from shadowgraph.models.timelines import timelines
from shadowgraph.runs.states import Status
from shadowgraph.runs.takeover import take_orphans

log = logging.getLogger(__name__)

TOKEN_LEAP = 1_000
"""More claims and exits of one run than a standby can be behind."""

OVER = (Status.COMPLETED, Status.CANCELLED)
"""A FAILED run can be retried."""

_IS_SYNCHRONOUS: ColumnElement[bool] = literal_column(
    "current_setting('synchronous_standby_names') <> ''"
    " AND current_setting('synchronous_commit') NOT IN ('off', 'local')"
)


@dataclass(frozen=True, slots=True)
class Server:
    """What can be seen of the server that is in charge."""

    is_known: bool
    """Its timeline has been settled."""
    is_first: bool
    """No other timeline was seen before."""
    is_synchronous: bool
    """A commit is answered only when a standby has it."""


async def look_at_server(connection: AsyncConnection, timeline: int) -> Server:
    statement = select(
        exists().where(timelines.c.timeline == timeline), ~exists(select(timelines.c.timeline)), _IS_SYNCHRONOUS
    )
    return Server(*(await connection.execute(statement)).one())


async def settle_timeline(
    connection: AsyncConnection, timeline: int, server: Server, *, is_lossless: bool, clock: Clock
) -> None:
    """`is_lossless`: the server before had a synchronous standby, so its workers may go on. Once, however many processes try."""
    promoted_at = None if server.is_first else now_ms()
    statement = insert(timelines, "postgresql").values(timeline=timeline, promoted_at=promoted_at)
    is_ours = (await connection.execute(statement.on_conflict_do_nothing().returning(timelines.c.timeline))).first()
    if is_ours is None or server.is_first:
        return
    if is_lossless:
        log.warning("a standby was promoted (timeline %s); it was synchronous, so nothing is lost", timeline)
        return
    await connection.execute(text("SET LOCAL statement_timeout = 0"))
    raised = await raise_tokens(connection)
    taken = await take_orphans(connection, clock=clock)
    log.warning(
        "a standby was promoted (timeline %s) that may lack the last commits: fences of %s runs were raised, %s that ran are queued again",
        timeline,
        raised,
        len(taken),
    )


async def raise_tokens(connection: AsyncConnection) -> int:
    """How many runs have a new token that nobody can hold."""
    statement = update(runs).where(runs.c.status.not_in(OVER)).values(lease_token=runs.c.lease_token + TOKEN_LEAP)
    raised = statement.returning(runs.c.id).cte("raised")
    return await connection.scalar(select(func.count()).select_from(raised)) or 0
