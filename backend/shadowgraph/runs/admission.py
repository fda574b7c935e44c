"""Whether one more run may wait. Said in one statement whose cost does not grow with the number of runs that have ended."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Integer, ScalarSelect, Select, bindparam, func, literal_column, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.errors import Unavailable
from shadowgraph.db.dialect import now_ms
from shadowgraph.models.runs import runs
from shadowgraph.runs.claims import URGENCY
from shadowgraph.runs.run import Run
from shadowgraph.runs.threads import is_its_turn

RETRY_AFTER_SECONDS = 10
RETRY_OLD_QUEUE_AFTER_SECONDS = 60
"""A queue that is an hour old does not become young in seconds."""

MOST_URGENT_MS = 10 * 60_000
"""By how much the highest priority brings a run forward."""


class QueueFull(Unavailable):
    """As many runs wait as the installation allows; `retry_after` says when to ask again."""

    code = "queue_full"


class TooManyRuns(Unavailable):
    """As many runs of this owner wait or run as one owner may have."""

    code = "too_many_runs"


class QueueTooOld(Unavailable):
    """The workflow's runs wait for so long that the new one would only wait behind them."""

    code = "queue_too_old"


@dataclass(frozen=True, slots=True)
class Limits:
    max_queued: int
    max_per_owner: int
    """Of runs that wait or run; 0: no such limit."""
    max_age_seconds: float
    """For which the oldest run of the workflow may wait for a worker."""


# As the indexes spell it: a parameter in its place would keep PostgreSQL's generic plans from using them.
_IS_LIVE = runs.c.kind == literal_column("'live'")
_IS_QUEUED = runs.c.status == literal_column("'QUEUED'")
_IS_ACTIVE = runs.c.status.in_([literal_column("'QUEUED'"), literal_column("'RUNNING'")])


async def require_room(connection: AsyncConnection, run: Run, limits: Limits) -> None:
    """To be called after `run` was stored, in its transaction, so that a repeated request is never refused.

    Errors: `QueueFull`, `TooManyRuns`, `QueueTooOld`.
    """
    found = (await connection.execute(QUESTION, asked_of(run, limits))).one()
    if found.queued > limits.max_queued:
        raise QueueFull(f"{limits.max_queued} runs wait for a worker already", retry_after=RETRY_AFTER_SECONDS)
    if limits.max_per_owner and found.owned > limits.max_per_owner:
        what = f"{limits.max_per_owner} runs of yours wait or run already"
        raise TooManyRuns(what, retry_after=RETRY_AFTER_SECONDS)
    if found.is_old:
        what = f"runs of {run.workflow} have waited for more than {limits.max_age_seconds:g} s"
        raise QueueTooOld(what, retry_after=RETRY_OLD_QUEUE_AFTER_SECONDS, workflow=run.workflow)


def asked_of(run: Run, limits: Limits) -> dict[str, Any]:
    """The parameters of the question."""
    return {
        "most_queued": limits.max_queued + 1,
        "of_owner": run.owner,
        "most_owned": limits.max_per_owner + 1,
        "of_workflow": run.workflow,
        "max_age_ms": int(limits.max_age_seconds * 1000),
    }


def _build_question() -> Select[int, int, bool]:
    """Counts stop just above their limits."""
    queued = _count(_IS_LIVE, _IS_QUEUED, up_to="most_queued")
    owned = _count(_IS_LIVE, _IS_ACTIVE, runs.c.owner == bindparam("of_owner"), up_to="most_owned")
    return select(queued.label("queued"), owned.label("owned"), _is_old().label("is_old"))


def _count(*conditions: ColumnElement[bool], up_to: str) -> ScalarSelect[int]:
    most = bindparam(up_to, type_=Integer)
    found = select(literal_column("1")).select_from(runs).where(*conditions).limit(most).subquery()
    return select(func.count()).select_from(found).scalar_subquery()


def _is_old() -> ColumnElement[bool]:
    """A run of the same workflow could have been claimed that long ago: one that waits for its thread does not count.

    The first condition only lets the index find candidates: it names what could be that old at the highest priority.
    """
    limit = select(now_ms() - bindparam("max_age_ms", type_=BigInteger)).scalar_subquery()  # evaluated once
    return (
        select(literal_column("1"))
        .select_from(runs)
        .where(
            _IS_QUEUED,
            limit + MOST_URGENT_MS >= URGENCY,
            runs.c.available_at <= limit,
            runs.c.workflow == bindparam("of_workflow"),
            _IS_LIVE,
            is_its_turn(),
        )
        .exists()
    )


QUESTION = _build_question()
"""Built once: every POST asks it."""
