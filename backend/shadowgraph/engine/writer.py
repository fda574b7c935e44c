"""The one door through which a RUNNING run is written: each write is one transaction that begins with the fence.

The fence is an UPDATE that asserts the lease token, raises the event counter and locks the run's row in one statement. No row comes back:
the run is no longer ours, and nothing is written. While the database is away a write waits: nothing else can harm the run meanwhile.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Exists, Table, Update, bindparam, exists, func, or_, select, update
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError, StatementError
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core import failpoints
from shadowgraph.core.errors import Invalid
from shadowgraph.db.dialect import now_ms
from shadowgraph.db.engine import Database, is_beyond_limits, is_outage
from shadowgraph.db.patience import retry_delays
from shadowgraph.engine.applying import apply_writes
from shadowgraph.engine.claim import Claim, LeaseLost
from shadowgraph.engine.grouping import Group
from shadowgraph.engine.rows import EventRow, Row
from shadowgraph.engine.statements import Write
from shadowgraph.models.interactions import interactions
from shadowgraph.models.llm_calls import llm_attempts, llm_calls
from shadowgraph.models.runs import runs
from shadowgraph.models.steps import steps
from shadowgraph.models.tool_calls import tool_calls
from shadowgraph.runs.doubts import mark_calls_in_doubt
from shadowgraph.runs.events import NewEvent
from shadowgraph.runs.interactions import close_questions
from shadowgraph.runs.outbox import enqueue_run
from shadowgraph.runs.settling import settle
from shadowgraph.runs.states import ENDED, Status
from shadowgraph.runs.texts import RESULT_PART, store_text

log = logging.getLogger(__name__)

MOST_AT_ONCE = 32
"""About half of the runs that a process has in flight: the other half computes meanwhile."""


class StateNotStorable(Invalid):
    """The database refuses the run's own data (a NUL in a state, a number out of range): trying again cannot help."""

    code = "state_not_storable"


@dataclass(frozen=True, slots=True)
class Exit:
    """How a run leaves RUNNING."""

    to: Status
    at: datetime
    events: Sequence[NewEvent] = ()
    reason: str | None = None
    result_ref: str | None = None
    error: dict[str, Any] | None = None
    text: str | None = None
    """What the search should find of the result or the error."""
    delay_ms: int = 0
    """QUEUED: not to be claimed before so long from now."""
    why: str = "handoff"
    """QUEUED: what the next worker is told."""
    waits_for: Sequence[str] = ()
    """AWAITING_HUMAN: interrupt ids of the questions that the graph stands at."""


class Writer:
    def __init__(self, database: Database, *, most_at_once: int = MOST_AT_ONCE) -> None:
        """`most_at_once`: runs whose rows go in one transaction."""
        self._database = database
        is_grouping = database.dialect == "postgresql" and most_at_once > 1
        self._group = Group(self._try_together, most=most_at_once, belongs_to=_run_of) if is_grouping else None

    async def write(self, claim: Claim, rows: Sequence[Row], *, is_progress: bool = False) -> None:
        """Commits the rows, or nothing. `is_progress`: a checkpoint, which clears the run's crash streak.

        Errors: `LeaseLost`, `StateNotStorable`.
        """
        write = Write(claim, rows, is_progress=is_progress)
        if self._group is None or not await self._group.join(write):
            # Without events nothing tells the row before from the row after; but then writing all of it again changes nothing.
            await self._commit(write, self._apply, token_after=claim.token if write.events else None)
        claim.event_seq = _require_reached(write)
        failpoints.hit("engine.writer.committed")

    async def leave(self, claim: Claim, exit_: Exit, rows: Sequence[Row] = ()) -> None:
        """Ends this claim: state, result, open steps and calls, events and the next worker's message in one transaction.

        Errors: `LeaseLost`, `StateNotStorable`.
        """
        write = Write(claim, [*rows, *(EventRow(event, exit_.at) for event in exit_.events)])

        async def transaction(connection: AsyncConnection, write: Write) -> int:
            seq = await self._apply(connection, write)
            await _leave(connection, claim, exit_)
            await _cut_off(connection, claim, exit_)
            if exit_.text is not None:
                await store_text(connection, self._database.dialect, claim.run_id, RESULT_PART, exit_.text)
            if exit_.to is Status.QUEUED:
                due = now_ms() + exit_.delay_ms
                await enqueue_run(connection, claim.run_id, why=exit_.why, at=exit_.at, available_at=due)
            return seq if exit_.to in ENDED else await _settle(connection, claim, exit_)

        await self._commit(write, transaction, token_after=claim.token + 1)
        claim.event_seq = _require_reached(write)
        failpoints.hit("engine.writer.left")

    async def _apply(self, connection: AsyncConnection, write: Write) -> int:
        """The last event number of the write.

        Errors: `LeaseLost`.
        """
        passed = await apply_writes(self._database, connection, [write])
        if not passed:
            raise _lost(write.claim)
        return passed[0]

    async def _try_together(self, writes: Sequence[Write]) -> bool:
        """False: something is wrong with one of them or with the database, so each has to go alone."""
        try:
            async with self._database.write_batch() as connection:
                passed = await apply_writes(self._database, connection, writes)
                for number, write in enumerate(writes):
                    write.reached = passed.get(number)
                failpoints.hit("engine.writer.before_commit")
        except Exception as error:  # noqa: BLE001  whatever it is, each that goes alone meets its own again
            log.info("%d writes go alone: %s", len(writes), _reason(error))
            return False
        return True

    async def _commit(
        self,
        write: Write,
        transaction: Callable[[AsyncConnection, Write], Awaitable[int]],
        *,
        token_after: int | None,
    ) -> None:
        """Waits out an outage.

        After a cut connection it first looks whether the last try had arrived, by the token and the number that it would have left; None:
        that cannot be told.
        """
        for delay in retry_delays():
            try:
                async with self._database.write_batch() as connection:
                    if write.reached is None or await _read_fence(connection, write.claim) != (
                        token_after,
                        write.reached,
                    ):
                        write.reached = await transaction(connection, write)
                        failpoints.hit("engine.writer.before_commit")
            except (SQLAlchemyError, OSError, *_BINDING_ERRORS) as error:
                if _is_unstorable(error):
                    raise StateNotStorable(f"the database refuses this run's data: {_reason(error)}") from error
                if not is_outage(error):
                    raise
                log.warning("the database is away, a write waits: %s", _reason(error))
            else:
                return
            await asyncio.sleep(delay)
        raise AssertionError  # the delays never end


def _run_of(write: Write) -> str:
    return write.claim.run_id


def _require_reached(write: Write) -> int:
    """Errors: `LeaseLost`."""
    if write.reached is None:
        raise _lost(write.claim)
    return write.reached


def _lost(claim: Claim) -> LeaseLost:
    return LeaseLost(f"run {claim.run_id} is no longer ours", run_id=claim.run_id)


_BINDING_ERRORS = (ValueError, TypeError, OverflowError)
"""What a driver raises, wrapped or bare, for a value that it cannot hand to the database."""


def _is_unstorable(error: BaseException) -> bool:
    """A NUL, a lone surrogate, a number out of range: refused by the database, or by its driver while it binds the value."""
    if isinstance(error, DataError | IntegrityError) or is_beyond_limits(error):
        return True
    return isinstance(error.orig if isinstance(error, StatementError) else error, _BINDING_ERRORS)


def _reason(error: BaseException) -> str:
    """The driver's first line: the rest repeats the statement with its values, and those are the run's own texts."""
    cause = error.orig if isinstance(error, StatementError) and error.orig else error
    return (str(cause).splitlines() or [type(cause).__name__])[0][:200]


async def _leave(connection: AsyncConnection, claim: Claim, exit_: Exit) -> None:
    """The fence has locked the row."""
    values: dict[str, Any] = {
        "leaving": claim.run_id,
        "left_for": exit_.reason,
        "failed_with": exit_.error,
        "resulted_in": exit_.result_ref,
        "left_at": exit_.at,
        "delay_ms": exit_.delay_ms,
    }
    await connection.execute(_leaving(exit_.to, is_delayed=exit_.delay_ms > 0), values)


@cache
def _leaving(to: Status, *, is_delayed: bool) -> Update:
    """Built once for each way out: every run takes one."""
    values: dict[str, Any] = {
        "status": to,
        "reason": bindparam("left_for"),
        "lease_owner": None,
        "lease_expires_at": None,
        "lease_token": runs.c.lease_token + 1,
        "error": bindparam("failed_with"),
        "result_ref": bindparam("resulted_in"),
    }
    if to in ENDED:
        values |= {"finished_at": bindparam("left_at"), "control": None}
    if to is Status.PAUSED:  # a cancel that came meanwhile is still to be settled
        values["control"] = func.nullif(runs.c.control, "pause")
    if to is Status.QUEUED and is_delayed:  # without a delay it keeps its place in the queue
        values["available_at"] = now_ms() + bindparam("delay_ms", type_=BigInteger)
    return update(runs).where(runs.c.id == bindparam("leaving")).values(values)


async def _settle(connection: AsyncConnection, claim: Claim, exit_: Exit) -> int:
    """What was wanted of the run meanwhile; the last event number."""
    return (await settle(connection, claim.run_id, at=exit_.at, waits_for=exit_.waits_for)).event_seq


async def _read_fence(connection: AsyncConnection, claim: Claim) -> tuple[int, int] | None:
    of_run = select(runs.c.lease_token, runs.c.event_seq).where(runs.c.id == claim.run_id)
    row = (await connection.execute(of_run)).first()
    return (row.lease_token, row.event_seq) if row else None


async def _cut_off(connection: AsyncConnection, claim: Claim, exit_: Exit) -> None:
    """What this exit leaves undone, which is mostly nothing: steps (one that failed by itself has said so already), calls, questions."""
    left = (await connection.execute(_UNDONE, {"leaving": claim.run_id})).one()
    if left.steps:
        await connection.execute(_CLOSE_STEPS, {"leaving": claim.run_id, "cut_at": exit_.at})
    if left.calls:
        await mark_calls_in_doubt(connection, [claim.run_id], at=exit_.at)
    if left.questions and exit_.to in ENDED:
        await close_questions(connection, claim.run_id)


def _has(table: Table, status: str) -> Exists:
    return exists().where(table.c.run_id == bindparam("leaving"), table.c.status == status)


_UNDONE = select(
    _has(steps, "running").label("steps"),
    or_(*(_has(table, "started") for table in (llm_calls, llm_attempts, tool_calls))).label("calls"),
    _has(interactions, "open").label("questions"),
)
_CLOSE_STEPS = (
    update(steps)
    .where(steps.c.run_id == bindparam("leaving"), steps.c.status == "running")
    .values(status="cancelled", finished_at=bindparam("cut_at"))
)
