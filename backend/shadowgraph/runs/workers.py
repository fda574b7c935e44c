"""What workers say of themselves: that they are here, and which workflows they can run."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from sqlalchemy import delete, exists, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.ids import WorkerId
from shadowgraph.core.json import JsonObject
from shadowgraph.core.money import to_nano
from shadowgraph.db.dialect import DialectName, insert, now_ms
from shadowgraph.models.runs import runs
from shadowgraph.models.workers import workers
from shadowgraph.models.workflows import workflows
from shadowgraph.runs.states import Status


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    id: WorkerId
    host: str
    pid: int
    build: str
    pools: Sequence[str]
    slots: int
    started_at: datetime
    presence: int | None
    codes: Sequence[str] | None = None
    """That it has loaded (`digests.code_digest_of`); None: it pins no run."""


@dataclass(frozen=True, slots=True)
class WorkflowInfo:
    name: str
    project: str
    code_digest: str
    input_schema: JsonObject
    output_schema: JsonObject
    graph: JsonObject
    description: str
    timeout_s: float | None = None
    default_budget_usd: Decimal | None = None


async def register_worker(connection: AsyncConnection, info: WorkerInfo) -> None:
    values = {
        "id": info.id,
        "host": info.host,
        "pid": info.pid,
        "build": info.build,
        "pools": list(info.pools),
        "codes": None if info.codes is None else list(info.codes),
        "slots": info.slots,
        "started_at": info.started_at,
        "seen_at": now_ms(),
        "presence": info.presence,
    }
    await connection.execute(workers.insert().values(values))


async def forget_worker(connection: AsyncConnection, worker_id: WorkerId) -> None:
    """Not while it still owns a run: by its row the sweeper sees at once that it is gone."""
    owns_a_run = exists().where(runs.c.lease_owner == worker_id, runs.c.status == Status.RUNNING)
    await connection.execute(delete(workers).where(workers.c.id == worker_id, ~owns_a_run))


async def forget_all_workers(connection: AsyncConnection) -> None:
    """Right only where none can live: for the process that has just locked its SQLite database."""
    await connection.execute(delete(workers))


class Register(Protocol):
    async def __call__(
        self, connection: AsyncConnection, dialect: DialectName, info: WorkflowInfo, *, at: datetime
    ) -> None: ...


async def register_workflow(
    connection: AsyncConnection, dialect: DialectName, info: WorkflowInfo, *, at: datetime
) -> None:
    """The last worker that loaded a workflow from its project's folder says what it is."""
    statement = insert(workflows, dialect).values(_row(info, at=at))
    changed = {column.name: statement.excluded[column.name] for column in workflows.c if column.name != "name"}
    await connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=changed))


async def register_unknown_workflow(
    connection: AsyncConnection, dialect: DialectName, info: WorkflowInfo, *, at: datetime
) -> None:
    """For a worker that has the code of a version: only where nobody has said yet what the workflow is."""
    await connection.execute(insert(workflows, dialect).values(_row(info, at=at)).on_conflict_do_nothing())


def _row(info: WorkflowInfo, *, at: datetime) -> dict[str, Any]:
    return {
        "name": info.name,
        "project": info.project,
        "code_digest": info.code_digest,
        "input_schema": dict(info.input_schema),
        "output_schema": dict(info.output_schema),
        "graph": dict(info.graph),
        "description": info.description,
        "timeout_s": info.timeout_s,
        "default_budget_nano_usd": None if info.default_budget_usd is None else to_nano(info.default_budget_usd),
        "seen_at": at,
    }


async def list_codes(connection: AsyncConnection, *, within_seconds: float) -> set[str]:
    """That workers have loaded which were heard of lately."""
    heard_of = workers.c.seen_at >= now_ms() - int(within_seconds * 1000)
    rows = await connection.scalars(select(workers.c.codes).where(heard_of, workers.c.codes.is_not(None)))
    return {code for codes in rows for code in codes}


async def count_serving(connection: AsyncConnection, *, within_seconds: float) -> Counter[str]:
    """How many workers that were heard of lately have loaded each workflow."""
    heard_of = workers.c.seen_at >= now_ms() - int(within_seconds * 1000)
    pools = await connection.scalars(select(workers.c.pools).where(heard_of))
    return Counter(name for served in pools for name in served)


async def count_live(connection: AsyncConnection, *, within_seconds: float) -> int:
    """How many workers were heard of lately."""
    heard_of = workers.c.seen_at >= now_ms() - int(within_seconds * 1000)
    return await connection.scalar(select(func.count()).select_from(workers).where(heard_of)) or 0


async def find_served_elsewhere(
    connection: AsyncConnection, names: Collection[str], *, project: str, within_seconds: float
) -> Mapping[str, str]:
    """Those of the workflows that live workers serve for another project, with the name of that project."""
    others = select(workflows.c.name, workflows.c.project).where(
        workflows.c.name.in_(list(names)), workflows.c.project != project
    )
    found = {row.name: row.project for row in await connection.execute(others)}
    serving = await count_serving(connection, within_seconds=within_seconds) if found else Counter()
    return {name: owner for name, owner in found.items() if serving[name]}
