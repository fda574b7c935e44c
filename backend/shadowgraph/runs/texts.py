"""What the full-text search looks through."""

from sqlalchemy import delete
from sqlalchemy import insert as plain_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.db.dialect import DialectName, insert
from shadowgraph.models.run_texts import run_texts

REQUEST_PART = 0
RESULT_PART = 1
MAX_TEXT_CHARACTERS = 100_000
"""PostgreSQL refuses a tsvector above 1 MB; what lies beyond is not found by the search."""


async def store_text(connection: AsyncConnection, dialect: DialectName, run_id: str, part: int, text: str) -> None:
    row = {"run_id": run_id, "part": part, "text": text[:MAX_TEXT_CHARACTERS]}
    if dialect == "sqlite":
        await connection.execute(delete(run_texts).where(run_texts.c.run_id == run_id, run_texts.c.part == part))
        await connection.execute(plain_insert(run_texts).values(row))
    else:
        await connection.execute(_STORE, row)


_INSERT = insert(run_texts, "postgresql")
_STORE = _INSERT.on_conflict_do_update(index_elements=["run_id", "part"], set_={"text": _INSERT.excluded.text})
