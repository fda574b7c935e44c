"""Same key and same body give the same run."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import ColumnElement, delete, select, text, update
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.clock import Clock
from shadowgraph.core.errors import Conflict, Invalid
from shadowgraph.core.ids import RunId
from shadowgraph.core.json import JsonObject
from shadowgraph.db.dialect import DialectName, insert
from shadowgraph.db.engine import LOCK_NOT_AVAILABLE, sqlstate_of
from shadowgraph.models.idempotency_keys import idempotency_keys

KEPT_FOR = timedelta(hours=24)
"""A key may be used anew after this."""

WAIT_FOR_OTHER_SECONDS = 2
"""How long a request waits for another one with its key that has not committed yet."""


class IdempotencyKeyReused(Invalid):
    """The key came before with another body."""

    code = "idempotency_key_reused"


class IdempotencyInProgress(Conflict):
    """A request with this key is being worked on; `retry_after` says when to ask again."""

    code = "idempotency_in_progress"
    retryable = True


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    key: str
    request_hash: str
    """Of the canonical request body."""


async def claim_key(
    connection: AsyncConnection,
    dialect: DialectName,
    wanted: IdempotencyKey,
    *,
    scope: str,
    run_id: RunId,
    clock: Clock,
) -> RunId | None:
    """Takes the key for `run_id`; the run id that holds it already, if one does.

    Errors: `IdempotencyKeyReused`, `IdempotencyInProgress`.
    """
    earlier = await take_key(connection, dialect, wanted, scope=scope, answer={"run_id": run_id}, clock=clock)
    return None if earlier is None else RunId(earlier["run_id"])


async def take_key(
    connection: AsyncConnection,
    dialect: DialectName,
    wanted: IdempotencyKey,
    *,
    scope: str,
    answer: JsonObject,
    clock: Clock,
) -> Mapping[str, Any] | None:
    """Takes the key, with what names the answer to its request; what it was taken with before, if it was.

    Errors: `IdempotencyKeyReused`, `IdempotencyInProgress`.
    """
    mine = _row_of(wanted, scope)
    await connection.execute(
        delete(idempotency_keys).where(mine, idempotency_keys.c.created_at < clock.now() - KEPT_FOR)
    )
    row = {
        "scope": scope,
        "key": wanted.key,
        "request_hash": wanted.request_hash,
        "response": dict(answer),
        "created_at": clock.now(),
    }
    if await _insert_unless_taken(connection, dialect, row):
        return None
    held = (await connection.execute(select(idempotency_keys).where(mine))).mappings().one()
    if held["request_hash"] != wanted.request_hash:
        raise IdempotencyKeyReused(
            "this Idempotency-Key came before with another body", hint="send a new key for a new request"
        )
    response: Mapping[str, Any] = held["response"]
    return response


async def note_answer(connection: AsyncConnection, wanted: IdempotencyKey, *, scope: str, answer: JsonObject) -> None:
    """What names the answer, once it is known; in the transaction that took the key."""
    await connection.execute(update(idempotency_keys).where(_row_of(wanted, scope)).values(response=dict(answer)))


def _row_of(wanted: IdempotencyKey, scope: str) -> ColumnElement[bool]:
    return (idempotency_keys.c.scope == scope) & (idempotency_keys.c.key == wanted.key)


async def _insert_unless_taken(connection: AsyncConnection, dialect: DialectName, row: dict[str, object]) -> bool:
    statement = insert(idempotency_keys, dialect).values(row).on_conflict_do_nothing().returning(idempotency_keys.c.key)
    if dialect == "sqlite":
        return await connection.scalar(statement) is not None
    await connection.execute(text(f"SET LOCAL lock_timeout = '{WAIT_FOR_OTHER_SECONDS}s'"))
    try:
        inserted = await connection.scalar(statement) is not None
    except OperationalError as error:
        if sqlstate_of(error) != LOCK_NOT_AVAILABLE:
            raise
        raise IdempotencyInProgress("a request with this Idempotency-Key is under way", retry_after=1) from error
    await connection.execute(text("SET LOCAL lock_timeout = '5s'"))
    return inserted
