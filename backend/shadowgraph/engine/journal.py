"""The journal of one claim: a call that finished before a crash is answered from here and never paid again."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.core import failpoints
from shadowgraph.core.calls import AttemptEnd, AttemptStart, CallId, Recorded, ToolRecord, Wish
from shadowgraph.core.clock import Clock
from shadowgraph.core.json import Json, sha256
from shadowgraph.core.money import number, to_usd
from shadowgraph.costs.prices import NOTHING_BILLED, UNKNOWN_COST, PriceBook
from shadowgraph.db.engine import Database
from shadowgraph.db.patience import read_patiently
from shadowgraph.engine.recorder import RunRecorder
from shadowgraph.engine.rows import (
    AttemptEndRow,
    AttemptRow,
    AttemptStatus,
    CallEndRow,
    CallRow,
    EventRow,
    PayloadRow,
    Row,
)
from shadowgraph.models.llm_calls import llm_attempts, llm_calls
from shadowgraph.models.payloads import payloads
from shadowgraph.runs import events as ev
from shadowgraph.runs.payloads import JSON_MEDIA_TYPE


class Answered(Protocol):
    """A record that may hold an answer."""

    @property
    def answer(self) -> bytes | None: ...


R = TypeVar("R", bound=Answered)
Known = dict[str, dict[str, R]]
"""By request hash and call key."""


class StepMemory(Generic[R]):
    """What is recorded of the calls of the steps that are open now: read from the database once per step, and only after a crash."""

    def __init__(self) -> None:
        self._steps: dict[str, Known[R]] = {}
        self._given: dict[str, dict[tuple[int, str], dict[str, str]]] = {}
        """By step, then by attempt and request hash: key of each call as it was issued, and the key that it stands under."""

    def get(self, step_key: str) -> Known[R] | None:
        return self._steps.get(step_key)

    def put(self, step_key: str, known: Known[R]) -> Known[R]:
        return self._steps.setdefault(step_key, known)

    def take(self, call: CallId) -> tuple[str, R | None]:
        """The key that this call stands under from now on, and what is recorded there. Each key is given to one call of an attempt.

        Calls side by side may be issued in another order than before the crash: the same request at another index of the same line is then
        the same call.
        """
        step_key = step_key_of(call)
        records = self._steps.get(step_key, {}).get(call.request_hash, {})
        attempt = call.place.attempt if call.place else 1
        given = self._given.setdefault(step_key, {}).setdefault((attempt, call.request_hash), {})
        taken = set(given.values())
        free = {key: found for key, found in records.items() if key not in taken and _line(key) == _line(call.key)}
        given[call.key] = key = _choose_key(call.key, free, taken, issued=given)
        return key, free.get(key)

    def remember(self, call: CallId, recorded: R) -> None:
        self.put(step_key_of(call), {}).setdefault(call.request_hash, {})[call.key] = recorded

    def forget(self, step_key: str) -> None:
        self._steps.pop(step_key, None)
        self._given.pop(step_key, None)


def _choose_key(own: str, free: Mapping[str, Answered], taken: Collection[str], *, issued: Iterable[str]) -> str:
    """Its own record, else an answered one, else one that was begun. Without any: its own key, unless another call took that over; then one
    that such a call has left behind."""
    if own in free:
        return own
    if free:
        return max(free, key=lambda key: free[key].answer is not None)
    if own not in taken:
        return own
    return next((key for key in issued if key not in taken and _line(key) == _line(own)), own)


def _line(call_key: str) -> str:
    """The key without the index: calls of one line of execution."""
    return call_key.rpartition("/")[0]


def step_key_of(call: CallId) -> str:
    """Calls without a place in the graph stand for themselves."""
    return call.place.step_key if call.place else call.key


def by_hash(rows: Iterable[tuple[str, str, R]]) -> Known[R]:
    known: Known[R] = {}
    for key, request_hash, recorded in rows:
        known.setdefault(request_hash, {})[key] = recorded
    return known


class EngineLlmJournal:
    """`core.calls.LlmJournal` over the fenced writer."""

    def __init__(
        self,
        recorder: RunRecorder,
        database: Database,
        memory: StepMemory[Recorded],
        *,
        clock: Clock,
        prices: PriceBook,
    ) -> None:
        self._recorder = recorder
        self._database = database
        self._memory = memory
        self._clock = clock
        self._prices = prices

    async def find(self, call: CallId) -> Recorded | None:
        step_key = step_key_of(call)
        if self._memory.get(step_key) is None:
            self._memory.put(step_key, await self._load(step_key))
        key, found = self._memory.take(call)
        return found if key == call.key else replace(found or Recorded(None, 0), key=key)

    async def _load(self, step_key: str) -> Known[Recorded]:
        if not self._recorder.claim.is_resumed:
            return {}
        run_id = self._recorder.claim.run_id
        return await read_patiently(self._database, lambda connection: _load_llm(connection, run_id, step_key))

    async def start(self, call: CallId, *, agent: str, attempt: AttemptStart) -> None:
        self._memory.remember(call, Recorded(None, attempt.n))
        rows: list[Row] = [
            CallRow(call.key, call.request_hash, step_key_of(call), agent, attempt.at),
            attempt_row(call, agent, attempt, self._prices),
        ]
        facts: dict[str, Json] = {"provider": attempt.provider, "model": attempt.model, "attempt": attempt.n}
        await self._write(rows, ev.CALL_STARTED, call, agent, facts)

    async def retry(
        self, call: CallId, *, agent: str, ended: AttemptEnd, attempt: AttemptStart, error: str, wait_seconds: float
    ) -> None:
        self._memory.remember(call, Recorded(None, attempt.n))
        rows: list[Row] = [attempt_end(call, ended, "failed"), attempt_row(call, agent, attempt, self._prices)]
        facts: dict[str, Json] = {
            "provider": attempt.provider,
            "model": attempt.model,
            "attempt": attempt.n,
            "error": error,
            "error_class": ended.error_class,
            "waited_seconds": round(wait_seconds, 3),
        }
        if attempt.left_out_characters:
            facts["left_out_characters"] = attempt.left_out_characters
        await self._write(rows, ev.CALL_RETRIED, call, agent, facts)

    async def finish(self, call: CallId, *, agent: str, ended: AttemptEnd, answer: bytes) -> None:
        digest = sha256(answer)
        rows: list[Row] = [
            PayloadRow(digest, JSON_MEDIA_TYPE, len(answer), answer),
            CallEndRow(call.key, call.request_hash, "done", digest, ended.at),
            attempt_end(call, ended, "done"),
        ]
        await self._write(rows, ev.CALL_FINISHED, call, agent, usage_facts(ended))
        self._memory.remember(call, Recorded(answer, ended.n))
        failpoints.hit("engine.journal.finished", agent)

    async def reject(self, call: CallId, *, agent: str, ended: AttemptEnd, error: str) -> None:
        rows: list[Row] = [
            CallEndRow(call.key, call.request_hash, "rejected", None, ended.at),
            attempt_end(call, ended, "failed"),
        ]
        facts = {**usage_facts(ended), "error": error, "error_class": ended.error_class}
        await self._write(rows, ev.CALL_FAILED, call, agent, facts)

    async def cut(self, call: CallId, *, agent: str, ended: AttemptEnd) -> None:
        rows: list[Row] = [
            CallEndRow(call.key, call.request_hash, "in_doubt", None, ended.at),
            attempt_end(call, ended, "in_doubt"),
        ]
        await self._write(rows, ev.CALL_FAILED, call, agent, {**usage_facts(ended), "error_class": "cancelled"})

    async def _write(self, rows: list[Row], event: str, call: CallId, agent: str, facts: Mapping[str, Json]) -> None:
        await self._recorder.write([*rows, EventRow(call_event(event, "llm", call, agent, facts), self._clock.now())])


@dataclass(frozen=True, slots=True)
class Memories:
    """LLM and tool calls of one step are read apart, so each has a memory of its own."""

    llm: StepMemory[Recorded]
    tools: StepMemory[ToolRecord]

    def forget(self, step_key: str) -> None:
        self.llm.forget(step_key)
        self.tools.forget(step_key)


def call_event(kind: str, of: str, call: CallId, agent: str, facts: Mapping[str, Json]) -> ev.NewEvent:
    place: dict[str, Json] = {}
    if call.place:
        place = {"node": call.place.node, "superstep": call.place.superstep}
    if not call.is_replayable:
        place["replayable"] = False
    return ev.NewEvent(kind, {"kind": of, "call": call.key, "agent": agent, **place, **facts})


def usage_facts(ended: AttemptEnd) -> dict[str, Json]:
    facts: dict[str, Json] = {"attempt": ended.n, "latency_ms": ended.latency_ms, "ttft_ms": ended.ttft_ms}
    if ended.usage:
        facts |= {
            "prompt_tokens": ended.usage.prompt_tokens,
            "completion_tokens": ended.usage.completion_tokens,
            "tokens_source": ended.usage.source,
        }
    if ended.priced:
        cost = ended.priced.cost_nano_usd
        facts["cost_usd"] = None if cost is None else number(to_usd(cost))
    return facts


def attempt_row(
    call: CallId, agent: str, attempt: AttemptStart, prices: PriceBook, *, gated: bool = True
) -> AttemptRow:
    """With what the attempt is taken to cost if nobody sees its end."""
    completion_tokens = attempt.max_completion_tokens or 0
    priced = prices.estimate(_wish_of(call, agent, attempt, completion_tokens), at=attempt.at)
    return AttemptRow(
        call_key=call.key,
        request_hash=call.request_hash,
        n=attempt.n,
        agent=agent,
        at=attempt.at,
        provider=attempt.provider,
        model=attempt.model,
        estimated_prompt_tokens=attempt.estimated_prompt_tokens,
        estimated_completion_tokens=completion_tokens,
        estimated_cost_nano_usd=priced.cost_nano_usd,
        price_source=priced.source,
        unit_prices=priced.unit_prices,
        route=attempt.route,
        route_number=attempt.route_number,
        gated=gated,
    )


def _wish_of(call: CallId, agent: str, attempt: AttemptStart, completion_tokens: int) -> Wish:
    return Wish(
        call=call,
        attempt=attempt.n,
        agent=agent,
        provider=attempt.provider,
        model=attempt.model,
        prompt_tokens=attempt.estimated_prompt_tokens,
        max_completion_tokens=completion_tokens,
    )


def attempt_end(call: CallId, ended: AttemptEnd, status: AttemptStatus) -> AttemptEndRow:
    usage = ended.usage
    priced = ended.priced or (NOTHING_BILLED if usage is None else UNKNOWN_COST)
    return AttemptEndRow(
        call_key=call.key,
        request_hash=call.request_hash,
        n=ended.n,
        status=status,
        prompt_tokens=usage.prompt_tokens if usage else None,
        completion_tokens=usage.completion_tokens if usage else None,
        cached_tokens=usage.cached_tokens if usage else None,
        reasoning_tokens=usage.reasoning_tokens if usage else None,
        tokens_source=usage.source if usage else None,
        cost_nano_usd=priced.cost_nano_usd,
        price_source=priced.source,
        unit_prices=priced.unit_prices,
        error_class=ended.error_class,
        ttft_ms=ended.ttft_ms,
        latency_ms=ended.latency_ms,
    )


async def _load_llm(connection: AsyncConnection, run_id: str, step_key: str) -> Known[Recorded]:
    c = llm_calls.c
    attempts = (
        select(func.coalesce(func.max(llm_attempts.c.n), 0))
        .where(
            llm_attempts.c.run_id == c.run_id,
            llm_attempts.c.call_key == c.call_key,
            llm_attempts.c.request_hash == c.request_hash,
        )
        .scalar_subquery()
    )
    statement = (
        select(c.call_key, c.request_hash, c.status, payloads.c.body, attempts.label("attempts"))
        .outerjoin(payloads, (payloads.c.sha256 == c.response_ref) & (c.status == "done"))
        .where(c.run_id == run_id, c.step_key == step_key)
    )
    rows = await connection.execute(statement)
    return by_hash(
        (
            row.call_key,
            row.request_hash,
            Recorded(bytes_or_none(row.body), row.attempts, failed=row.status == "rejected"),
        )
        for row in rows
    )


def bytes_or_none(body: Any) -> bytes | None:
    return None if body is None else bytes(body)
