"""Which workers may claim a run. Derived, never stored: the code that the run's version needs, or its project where it has none."""

from collections.abc import Collection, Sequence

from sqlalchemy import ColumnElement, Label, Select, and_, case, exists, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.ids import WorkerId
from shadowgraph.db.dialect import now_ms
from shadowgraph.models.runs import runs
from shadowgraph.models.workflows import workflows
from shadowgraph.runs.states import Status
from shadowgraph.versioning.pinning import Needed, active_code_of, code_of, list_active, list_needed

_run = runs.alias("pooled")
_project = select(workflows.c.project).where(workflows.c.name == _run.c.workflow)
_pinned = code_of(_run.c.snapshot_digest)
_active = active_code_of(_run.c.workflow)
_is_fresh = and_(_run.c.version_id.is_(None), _run.c.started_at.is_(None))
_code = case(
    (_run.c.version_id.is_not(None), _pinned.correlate(_run).scalar_subquery()),
    (_is_fresh, _active.correlate(_run).scalar_subquery()),
)
_pool = func.coalesce(_code, _project.correlate(_run).scalar_subquery())


def pool_of(run_id: ColumnElement[str]) -> Label[str]:
    """A column for a statement that has run ids; NULL where no worker has registered the run's workflow: anybody may claim such a run.

    Subqueries for each row, so that the plan is primary keys alone whatever the database knows of the tables.
    """
    return select(_pool).where(_run.c.id == run_id).scalar_subquery().label("pool")


_is_due = and_(runs.c.status == Status.QUEUED, runs.c.available_at <= now_ms())


async def list_unserved(connection: AsyncConnection, served: Collection[str]) -> list[Needed]:
    """The code that due runs wait for, and that is not among these; each with a snapshot that has it."""
    found: dict[str, Needed] = {}
    for needed in await list_active(connection):
        if needed.code not in served and await connection.scalar(_waits_for_active(needed.workflow)):
            found[needed.code] = needed
    pinned = select(runs.c.snapshot_digest).where(_is_due, runs.c.version_id.is_not(None)).distinct()
    for needed in await list_needed(connection, list(await connection.scalars(pinned))):
        if needed.code not in served:
            found.setdefault(needed.code, needed)
    return list(found.values())


def _waits_for_active(workflow: str) -> Select[tuple[bool]]:
    is_fresh = and_(runs.c.version_id.is_(None), runs.c.started_at.is_(None))
    return select(exists().where(_is_due, is_fresh, runs.c.workflow == workflow))


async def note_unserved(connection: AsyncConnection, code: str, *, reason: str) -> None:
    """On the runs that wait for this code: why nobody takes them."""
    waiting = select(_run.c.id).where(_run.c.status == Status.QUEUED, _pool == code)
    await connection.execute(
        update(runs).where(runs.c.id.in_(waiting), runs.c.status == Status.QUEUED).values(reason=reason)
    )


async def drives_runs(connection: AsyncConnection, worker_ids: Sequence[WorkerId]) -> bool:
    """Whether one of these workers has a run."""
    has_one = exists().where(runs.c.status == Status.RUNNING, runs.c.lease_owner.in_(worker_ids))
    return bool(await connection.scalar(select(has_one)))
