"""Calls that were cut off: they may or may not have happened."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import bindparam, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.models.llm_calls import llm_attempts, llm_calls
from shadowgraph.models.tool_calls import tool_calls


async def mark_calls_in_doubt(connection: AsyncConnection, run_ids: Sequence[str], *, at: datetime) -> None:
    """Every call of these runs that is under way; of an LLM attempt its estimate is booked."""
    for statement in _DOUBT_CALLS:
        await connection.execute(statement, {"cut_off": list(run_ids), "cut_at": at})
    await connection.execute(_DOUBT_ATTEMPTS, {"cut_off": list(run_ids)})


_DOUBT_CALLS = [
    update(table)
    .where(table.c.run_id.in_(bindparam("cut_off", expanding=True)), table.c.status == "started")
    .values(status="in_doubt", finished_at=bindparam("cut_at"))
    for table in (llm_calls, tool_calls)
]
_DOUBT_ATTEMPTS = (
    update(llm_attempts)
    .where(llm_attempts.c.run_id.in_(bindparam("cut_off", expanding=True)), llm_attempts.c.status == "started")
    .values(
        status="in_doubt",
        prompt_tokens=llm_attempts.c.estimated_prompt_tokens,
        completion_tokens=llm_attempts.c.estimated_completion_tokens,
        tokens_source="estimated",
        cost_nano_usd=llm_attempts.c.estimated_cost_nano_usd,
    )
)


async def reopen_given_up_calls(connection: AsyncConnection, run_id: str) -> None:
    """A person did not want these tool calls repeated, and their run failed. It is retried: they are asked about anew."""
    c = tool_calls.c
    await connection.execute(
        update(tool_calls)
        .where(c.run_id == run_id, c.status == "given_up")
        .values(status="in_doubt", doubts=c.doubts + 1, error=None)
    )
