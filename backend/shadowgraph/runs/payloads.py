"""Large values, stored once by content."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args

import orjson
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core.errors import Internal
from shadowgraph.core.json import sha256
from shadowgraph.db.dialect import DialectName, insert
from shadowgraph.models.payloads import payloads

JSON_MEDIA_TYPE = "application/json"


@dataclass(frozen=True, slots=True)
class Payload:
    body: bytes
    media_type: str = JSON_MEDIA_TYPE

    @property
    def sha256(self) -> str:
        return sha256(self.body)


def json_payload(value: Any) -> Payload:
    """Errors: `TypeError` (orjson's) for what JSON cannot say."""
    return Payload(orjson.dumps(value))


_STORE = {dialect: insert(payloads, dialect).on_conflict_do_nothing() for dialect in get_args(DialectName)}


async def store_payloads(connection: AsyncConnection, dialect: DialectName, bodies: Iterable[Payload]) -> None:
    """Adds those that are not there yet; in one order, so that two processes cannot lock each other out."""
    by_digest = {payload.sha256: payload for payload in bodies}
    if not by_digest:
        return
    rows = [
        {"sha256": digest, "media_type": payload.media_type, "size": len(payload.body), "body": payload.body}
        for digest, payload in sorted(by_digest.items())
    ]
    await connection.execute(_STORE[dialect], rows)


async def load_payload(connection: AsyncConnection, ref: str) -> bytes:
    """Errors: `Internal` when a row refers to a body that is not there."""
    body = await connection.scalar(select(payloads.c.body).where(payloads.c.sha256 == ref))
    if body is None:
        raise Internal(f"payload {ref} is missing", code="payload_missing", ref=ref)
    return bytes(body)


async def load_json(connection: AsyncConnection, ref: str) -> Any:
    return orjson.loads(await load_payload(connection, ref))
