"""The journal of the tool calls of one claim. A call in doubt comes with what a person decided about it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from sqlalchemy import RowMapping, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core import failpoints
from shadowgraph.core.calls import CallId, ToolRecord, ToolStart, ToolState
from shadowgraph.core.clock import Clock
from shadowgraph.core.doubts import doubt_id
from shadowgraph.core.json import Json, sha256
from shadowgraph.db.engine import Database
from shadowgraph.db.patience import read_patiently
from shadowgraph.engine.journal import Known, StepMemory, by_hash, bytes_or_none, call_event, step_key_of
from shadowgraph.engine.recorder import RunRecorder
from shadowgraph.engine.rows import EventRow, PayloadRow, Row, ToolEndRow, ToolRow
from shadowgraph.models.payloads import payloads
from shadowgraph.models.tool_calls import tool_calls
from shadowgraph.runs import events as ev
from shadowgraph.runs.interactions import load_answers
from shadowgraph.runs.payloads import JSON_MEDIA_TYPE


class EngineToolJournal:
    """`core.calls.ToolJournal` over the fenced writer."""

    def __init__(
        self, recorder: RunRecorder, database: Database, memory: StepMemory[ToolRecord], *, clock: Clock
    ) -> None:
        self._recorder = recorder
        self._database = database
        self._memory = memory
        self._clock = clock

    async def find(self, call: CallId) -> ToolRecord:
        step_key = step_key_of(call)
        if self._memory.get(step_key) is None:
            self._memory.put(step_key, await self._load(step_key))
        key, found = self._memory.take(call)
        return found or ToolRecord(key)

    async def _load(self, step_key: str) -> Known[ToolRecord]:
        if not self._recorder.claim.is_resumed:
            return {}
        run_id = self._recorder.claim.run_id
        return await read_patiently(self._database, lambda connection: _load(connection, run_id, step_key))

    async def start(self, call: CallId, start: ToolStart) -> None:
        arguments = PayloadRow(sha256(start.arguments), JSON_MEDIA_TYPE, len(start.arguments), start.arguments)
        row = ToolRow(
            call_key=call.key,
            args_hash=call.request_hash,
            step_key=step_key_of(call),
            tool=start.tool,
            schema_digest=start.schema_digest,
            effect=start.effect,
            agent=start.agent,
            args_ref=arguments.sha256,
            at=start.at,
            doubts=start.doubts,
        )
        self._remember(call, start, "in_doubt")
        await self._write([arguments, row], ev.CALL_STARTED, call, start, {})
        failpoints.hit("engine.tool.started", start.agent)

    async def finish(self, call: CallId, start: ToolStart, *, result: bytes, at: datetime) -> None:
        failpoints.hit("engine.tool.ran", start.agent)
        digest = sha256(result)
        rows: list[Row] = [
            PayloadRow(digest, JSON_MEDIA_TYPE, len(result), result),
            ToolEndRow(call.key, call.request_hash, "done", digest, None, at),
        ]
        await self._write(rows, ev.CALL_FINISHED, call, start, {"size": len(result)})
        self._remember(call, start, "done", answer=result)
        failpoints.hit("engine.tool.finished", start.agent)

    async def fail(self, call: CallId, start: ToolStart, *, error: str, at: datetime) -> None:
        await self._end_without_result(call, start, "failed", error=error, at=at)

    async def give_up(self, call: CallId, start: ToolStart, *, error: str, at: datetime) -> None:
        await self._end_without_result(call, start, "given_up", error=error, at=at)

    async def _end_without_result(
        self, call: CallId, start: ToolStart, state: Literal["failed", "given_up"], *, error: str, at: datetime
    ) -> None:
        row = ToolEndRow(call.key, call.request_hash, state, None, error, at)
        await self._write([row], ev.CALL_FAILED, call, start, {"error": error})
        self._remember(call, start, state)

    def _remember(self, call: CallId, start: ToolStart, state: ToolState, *, answer: bytes | None = None) -> None:
        self._memory.remember(call, ToolRecord(call.key, state, answer, start.doubts))

    async def _write(
        self, rows: list[Row], event: str, call: CallId, start: ToolStart, facts: Mapping[str, Json]
    ) -> None:
        named = {"tool": start.tool, **facts}
        await self._recorder.write(
            [*rows, EventRow(call_event(event, "tool", call, start.agent, named), self._clock.now())]
        )


_STATES: Mapping[str, ToolState] = {
    "started": "in_doubt",
    "in_doubt": "in_doubt",
    "done": "done",
    "failed": "failed",
    "given_up": "given_up",
}
"""By the row's status: what an earlier claim began and did not end is in doubt for this one."""


async def _load(connection: AsyncConnection, run_id: str, step_key: str) -> Known[ToolRecord]:
    c = tool_calls.c
    statement = (
        select(c.call_key, c.args_hash, c.status, c.doubts, payloads.c.body)
        .outerjoin(payloads, (payloads.c.sha256 == c.result_ref) & (c.status == "done"))
        .where(c.run_id == run_id, c.step_key == step_key)
    )
    rows = (await connection.execute(statement)).mappings().all()
    has_doubts = any(_STATES[row["status"]] == "in_doubt" for row in rows)
    answers = await load_answers(connection, run_id) if has_doubts else {}
    return by_hash((row["call_key"], row["args_hash"], _record(row, answers)) for row in rows)


def _record(row: RowMapping, answers: Mapping[str, Json]) -> ToolRecord:
    key, doubts, state = row["call_key"], row["doubts"], _STATES[row["status"]]
    decision = answers.get(doubt_id(key, row["args_hash"], doubts)) if state == "in_doubt" else None
    return ToolRecord(key, state, bytes_or_none(row["body"]), doubts, decision)
