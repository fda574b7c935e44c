"""Questions and approvals that wait for a person, and their answers."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from jsonschema import Draft202012Validator
from sqlalchemy import bindparam, exists, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.clock import Clock
from shadowgraph.core.errors import Conflict, Invalid, NotFound
from shadowgraph.core.json import Json, JsonObject
from shadowgraph.db.dialect import now_ms
from shadowgraph.models.interactions import interactions
from shadowgraph.models.runs import runs
from shadowgraph.runs import audit
from shadowgraph.runs import events as ev
from shadowgraph.runs.cursors import Cursor
from shadowgraph.runs.inputs import check_storable
from shadowgraph.runs.outbox import enqueue_run
from shadowgraph.runs.repository import Page, require_run
from shadowgraph.runs.run import Run
from shadowgraph.runs.states import Status
from shadowgraph.runs.transitions import add_events, change_state

BY_DEFAULT = "default"
"""Who answered when the deadline did."""


class InteractionNotFound(NotFound):
    code = "interaction_not_found"


class AlreadyAnswered(Conflict):
    """Answers are used once; `who` and `answered_at` say whose counted."""

    code = "already_answered"


class InvalidAnswer(Invalid):
    """The answer does not fit the question's schema."""

    code = "invalid_answer"


@dataclass(frozen=True, slots=True)
class Interaction:
    """One row of `interactions`; the columns' comments say what each field means."""

    id: str
    run_id: str
    interrupt_id: str
    node: str | None
    question: Mapping[str, Any]
    schema: JsonObject | None
    default: Mapping[str, Any] | None
    deadline_at: int
    status: str
    answer: Mapping[str, Any] | None
    who: str | None
    created_at: datetime
    answered_at: datetime | None


@dataclass(frozen=True, slots=True)
class InteractionQuery:
    status: Sequence[str] = ("open",)
    run_id: str | None = None
    workflow: str | None = None
    cursor: Cursor | None = None
    limit: int = 100


_COLUMNS = tuple(interactions.c[name] for name in Interaction.__match_args__)


async def list_interactions(connection: AsyncConnection, query: InteractionQuery) -> Page[Interaction]:
    """Oldest first: who waits longest comes first."""
    c = interactions.c
    statement = select(*_COLUMNS).order_by(c.created_at, c.id).limit(query.limit + 1)
    if query.status:
        statement = statement.where(c.status.in_(query.status))
    if query.run_id:
        statement = statement.where(c.run_id == query.run_id)
    if query.workflow:
        statement = statement.where(c.run_id.in_(select(runs.c.id).where(runs.c.workflow == query.workflow)))
    if query.cursor:
        later = (c.created_at > query.cursor.created_at) | (
            (c.created_at == query.cursor.created_at) & (c.id > query.cursor.id)
        )
        statement = statement.where(later)
    found = [Interaction(**row) for row in (await connection.execute(statement)).mappings()]
    items = found[: query.limit]
    more = len(found) > query.limit
    return Page(items, Cursor(items[-1].created_at, items[-1].id) if more else None)


async def list_open_questions(connection: AsyncConnection, run_id: str) -> list[Interaction]:
    """All of one run, oldest first."""
    c = interactions.c
    statement = select(*_COLUMNS).where(c.run_id == run_id, c.status == "open").order_by(c.created_at, c.id)
    return [Interaction(**row) for row in (await connection.execute(statement)).mappings()]


async def require_interaction(connection: AsyncConnection, interaction_id: str) -> Interaction:
    """Errors: `InteractionNotFound`."""
    statement = select(*_COLUMNS).where(interactions.c.id == interaction_id)
    row = (await connection.execute(statement)).mappings().first()
    if row is None:
        raise InteractionNotFound(f"there is no interaction {interaction_id}", interaction_id=interaction_id)
    return Interaction(**row)


async def answer_interaction(
    connection: AsyncConnection, run_id: str, interaction_id: str, value: Json, *, who: str, clock: Clock
) -> Run:
    """Stores the answer and lets the run go on. Other open questions of the run stay open.

    Errors: `RunNotFound`, `InteractionNotFound`, `InvalidAnswer`, `AlreadyAnswered` (also when the question closed with its run).
    """
    await lock_run(connection, run_id)
    found = await require_interaction(connection, interaction_id)
    if found.run_id != run_id:
        raise InteractionNotFound(f"run {run_id} has no interaction {interaction_id}", interaction_id=interaction_id)
    check_answer(found, value)
    if not await _take(connection, found, value, who=who, at=clock.now()):
        raise _too_late(await require_interaction(connection, interaction_id))
    return await _go_on(connection, found, who=who, at=clock.now())


async def lock_run(connection: AsyncConnection, run_id: str) -> Run:
    """Nobody else moves the run until this transaction ends.

    Errors: `RunNotFound`.
    """
    await connection.execute(select(runs.c.id).where(runs.c.id == run_id).with_for_update())
    return await require_run(connection, run_id)


def check_answer(interaction: Interaction, value: Json) -> None:
    """Errors: `InvalidAnswer`."""
    check_storable(value, "/value")
    if interaction.schema is None:
        return
    errors = [
        {"pointer": "/value" + "".join(f"/{part}" for part in error.absolute_path), "detail": error.message[:300]}
        for error in Draft202012Validator(dict(interaction.schema)).iter_errors(value)
    ]
    if errors:
        raise InvalidAnswer(f"the answer does not fit the question: {errors[0]['detail']}", errors=errors[:10])


async def _take(connection: AsyncConnection, found: Interaction, value: Json, *, who: str, at: datetime) -> bool:
    """False when the question is not open any more: an answer is used once."""
    statement = (
        update(interactions)
        .where(interactions.c.id == found.id, interactions.c.status == "open")
        .values(status="answered", answer={"value": value}, who=who, answered_at=at)
        .returning(interactions.c.id)
    )
    if await connection.scalar(statement) is None:
        return False
    data = {"interaction_id": found.id}
    await audit.record(connection, who=who, action="interaction.answer", subject=found.run_id, at=at, data=data)
    return True


def _too_late(found: Interaction) -> AlreadyAnswered:
    if found.status == "answered":
        return AlreadyAnswered(f"{found.who} answered this already", who=found.who, answered_at=str(found.answered_at))
    return AlreadyAnswered("this question is closed: its run went on or ended without an answer")


async def _go_on(connection: AsyncConnection, found: Interaction, *, who: str, at: datetime) -> Run:
    run = await require_run(connection, found.run_id)
    resolved = ev.NewEvent(ev.INTERACTION_RESOLVED, {"interaction_id": found.id, "who": who})
    if run.status is Status.RUNNING:
        return run  # its worker numbers the events; it finds the answer when it asks
    if run.status is not Status.AWAITING_HUMAN:
        return await add_events(connection, run, [resolved], at=at)
    queued = ev.NewEvent(ev.RUN_QUEUED, {"why": "answered"})
    moved = await change_state(
        connection, run, to=Status.QUEUED, events=[resolved, queued], at=at, reason=None, available_at=now_ms()
    )
    await enqueue_run(connection, run.id, why="answered", at=at)
    return moved or run


async def load_answers(connection: AsyncConnection, run_id: str) -> dict[str, Json]:
    """Every answer that the run ever got, by interrupt id: sending one again is harmless."""
    c = interactions.c
    rows = await connection.execute(select(c.interrupt_id, c.answer).where(c.run_id == run_id, c.status == "answered"))
    return {row.interrupt_id: row.answer["value"] for row in rows}


async def has_open_question(connection: AsyncConnection, run_id: str) -> bool:
    c = interactions.c
    return bool(await connection.scalar(select(exists().where(c.run_id == run_id, c.status == "open"))))


async def has_answer(connection: AsyncConnection, run_id: str, interrupt_ids: Collection[str]) -> bool:
    """Whether one of these questions was answered already."""
    c = interactions.c
    answered = exists().where(c.run_id == run_id, c.interrupt_id.in_(interrupt_ids), c.status == "answered")
    return bool(await connection.scalar(select(answered)))


async def close_questions(connection: AsyncConnection, *run_ids: str) -> None:
    """Nobody will use an answer any more: the run ended, or starts over."""
    await connection.execute(_CLOSE, {"over": list(run_ids)})


_CLOSE = (
    update(interactions)
    .where(interactions.c.run_id.in_(bindparam("over", expanding=True)), interactions.c.status == "open")
    .values(status="closed")
)
