"""Counts the requests of models that authors bring as they are: "metered, not gated".

LangChain tells its callbacks of each request; what they hear goes into the ledger. Such a request cannot be stopped by a limit, and its
answer is not recorded: after a crash it is made again. An author who wraps it (`shadowgraph.middleware`) gets its answer journaled, and the
requests become attempts of that call.
"""

import asyncio
import itertools
import logging
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.messages.utils import count_tokens_approximately
from langchain_core.outputs import ChatGeneration, Generation, LLMResult
from langchain_core.tracers.context import register_configure_hook

from shadowgraph.core import failpoints
from shadowgraph.core.calls import (
    CHAT_MODEL_TYPE,
    AttemptEnd,
    AttemptStart,
    CallId,
    ForeignCall,
    Priced,
    Recorded,
    Usage,
    current_foreign_call,
)
from shadowgraph.core.clock import Clock
from shadowgraph.core.errors import ShadowgraphError
from shadowgraph.core.json import Json, sha256
from shadowgraph.core.places import find_task
from shadowgraph.core.text import sanitise_text
from shadowgraph.costs.prices import NOTHING_BILLED, UNKNOWN_COST, PriceBook
from shadowgraph.engine.journal import (
    EngineLlmJournal,
    StepMemory,
    attempt_end,
    attempt_row,
    call_event,
    step_key_of,
    usage_facts,
)
from shadowgraph.engine.purse import RunPurse
from shadowgraph.engine.recorder import RunRecorder
from shadowgraph.engine.rows import AttemptStatus, CallEndRow, CallRow, CallStatus, EventRow, PayloadRow, Row
from shadowgraph.llm.classify import classify
from shadowgraph.llm.errors import ProviderError, UnknownFailure
from shadowgraph.llm.usage import BYTES_PER_TOKEN
from shadowgraph.runs import events as ev
from shadowgraph.runs.payloads import JSON_MEDIA_TYPE

log = logging.getLogger(__name__)

UNKNOWN = "unknown"
MAX_NAME_CHARACTERS = 200
CUT = (asyncio.CancelledError, GeneratorExit)
"""Nobody waits for the answer any more; what was written until then may have been billed."""

current_meter: ContextVar["Meter | None"] = ContextVar("shadowgraph_current_meter", default=None)
register_configure_hook(current_meter, inheritable=True)
"""LangChain adds it to every call, also where the author passed callbacks of his own or a thread has lost the config."""


@contextmanager
def unmetered() -> Iterator[None]:
    """What the gateway asks stands in the ledger already."""
    token = current_meter.set(None)
    try:
        yield
    finally:
        current_meter.reset(token)


@dataclass(slots=True)
class _Request:
    call: CallId
    agent: str
    start: AttemptStart
    began: float
    is_own_call: bool
    """It is a logical call by itself, not an attempt of one that is journaled."""
    ttft_ms: int | None = None
    written_bytes: int = 0
    """Of the answer, as far as it was streamed."""


class Meter(BaseCallbackHandler):
    """One per claim. Safe to call from any thread; never waits."""

    run_inline = True

    def __init__(
        self,
        recorder: RunRecorder,
        *,
        clock: Clock,
        loop: asyncio.AbstractEventLoop,
        prices: PriceBook,
        purse: RunPurse,
    ) -> None:
        self._recorder = recorder
        self._clock = clock
        self._loop = loop
        self._prices = prices
        self._purse = purse
        self._requests: dict[UUID, _Request] = {}
        self._is_flushing = False

    # --- what LangChain tells ---------------------------------------------------------------------------------------------------

    def on_chat_model_start(
        self, serialized: dict[str, Any], messages: list[list[BaseMessage]], *, run_id: UUID, **kwargs: Any
    ) -> None:
        asked: Mapping[str, Any] = kwargs.get("invocation_params") or {}
        if asked.get("_type") != CHAT_MODEL_TYPE:
            self._begin(run_id, count_tokens_approximately(messages[0]), asked, kwargs.get("metadata") or {})

    def on_llm_start(self, serialized: dict[str, Any], prompts: list[str], *, run_id: UUID, **kwargs: Any) -> None:
        tokens = count_tokens_approximately([prompts[0]])
        self._begin(run_id, tokens, kwargs.get("invocation_params") or {}, kwargs.get("metadata") or {})

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        request = self._requests.get(run_id)
        if request is None:
            return
        if request.ttft_ms is None:
            request.ttft_ms = self._elapsed_ms(request)
        request.written_bytes += len(str(token).encode(errors="replace"))

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        message = _message_of(response)
        usage = _usage_of(message) if message else None
        self._end(run_id, usage, model=_model_of(message))

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **kwargs: Any) -> None:
        message = _message_of(kwargs.get("response"))
        usage = _usage_of(message) if message else None
        if isinstance(error, CUT):
            self._end(run_id, usage, status="in_doubt", error_class="cancelled")
        else:
            self._end(run_id, usage, status="failed", error_class=type(error).__name__, error=error)

    # --- what goes into the ledger ----------------------------------------------------------------------------------------------

    def _begin(self, run_id: UUID, tokens: int, asked: Mapping[str, Any], metadata: Mapping[str, Any]) -> None:
        foreign = current_foreign_call.get()
        call, agent, n = _attempt_of(foreign) if foreign else self._new_call(metadata)
        start = AttemptStart(n, _provider_of(metadata), _name_of(asked, metadata), self._clock.now(), tokens)
        request = _Request(call, agent, start, self._clock.monotonic(), is_own_call=foreign is None)
        self._requests[run_id] = request
        rows: list[Row] = [
            attempt_row(call, agent, start, self._prices, gated=False),
            *self._purse.open_tab(call, n, agent=agent, provider=start.provider),
        ]
        if request.is_own_call:
            rows.insert(0, CallRow(call.key, call.request_hash, step_key_of(call), agent, start.at))
        self._record(request, rows, ev.CALL_STARTED, {"provider": start.provider, "model": start.model, "attempt": n})

    def _new_call(self, metadata: Mapping[str, Any]) -> tuple[CallId, str, int]:
        """Under a key that never comes again: there is nothing to replay, and a request that is repeated after a crash is paid again."""
        task = find_task(metadata)
        place = task.place if task else None
        key = f"{self._recorder.claim.run.generation}/{place.step_key if place else '-'}/~{secrets.token_hex(8)}"
        return CallId(key, "", place, is_replayable=False), place.node if place else UNKNOWN, 1

    def _end(
        self,
        run_id: UUID,
        usage: Usage | None,
        *,
        status: AttemptStatus = "done",
        error_class: str | None = None,
        error: BaseException | None = None,
        model: str | None = None,
    ) -> None:
        request = self._requests.pop(run_id, None)
        if request is None:
            return  # one of ours
        usage = usage or self._estimate(request, status, error)
        ended = AttemptEnd(
            request.start.n,
            self._clock.now(),
            usage,
            error_class,
            request.ttft_ms,
            self._elapsed_ms(request),
            self._price(request, usage, error),
        )
        rows: list[Row] = [attempt_end(request.call, ended, status)]
        if request.is_own_call:
            rows.insert(0, _call_end(request.call, ended, status))
        facts: dict[str, Json] = {**usage_facts(ended)}
        if model:
            facts["model"] = model
        if error_class:
            facts |= {"error_class": error_class, "error": sanitise_text(str(error or ""), max_characters=500)}
        self._record(request, rows, ev.CALL_FINISHED if status == "done" else ev.CALL_FAILED, facts)

    def _estimate(self, request: _Request, status: AttemptStatus, error: BaseException | None) -> Usage | None:
        """What was asked and written until then, where the provider may charge for it; None: it told nothing."""
        may_have_cost = status == "in_doubt" or request.ttft_ms is not None or self._classify(error).may_have_cost
        if status == "done" or not may_have_cost:
            return None
        written = -(-request.written_bytes // BYTES_PER_TOKEN)
        return Usage(request.start.estimated_prompt_tokens, written, source="estimated")

    def _price(self, request: _Request, usage: Usage | None, error: BaseException | None) -> Priced:
        if usage:
            return self._prices.price(request.start.provider, request.start.model, usage, at=self._clock.now())
        is_refusal = error is not None and not isinstance(self._classify(error), UnknownFailure)
        return NOTHING_BILLED if is_refusal else UNKNOWN_COST

    def _classify(self, error: BaseException | None) -> ProviderError:
        return classify(error, now=self._clock.now) if isinstance(error, Exception) else UnknownFailure("")

    def _record(self, request: _Request, rows: Sequence[Row], event: str, facts: Mapping[str, Json]) -> None:
        told = call_event(event, "llm", request.call, request.agent, {**facts, "gated": False})
        self._recorder.carry(*rows, EventRow(told, self._clock.now()))
        with suppress(RuntimeError):  # the loop is closed: so is the claim
            self._loop.call_soon_threadsafe(self._flush_soon)

    def _flush_soon(self) -> None:
        """Requests that end together are one write."""
        if not self._is_flushing:
            self._is_flushing = True
            self._recorder.spawn(self._flush())

    async def _flush(self) -> None:
        self._is_flushing = False
        try:
            await self._recorder.write_carried()
            await self._purse.book_tabs()
        except ShadowgraphError as error:
            log.debug("a metered request was not written now: %s", error)  # the run's own next write says the same

    def _elapsed_ms(self, request: _Request) -> int:
        return round((self._clock.monotonic() - request.began) * 1000)


class EngineAnswerJournal:
    """`core.calls.AnswerJournal` over the fenced writer. The events come from the meter, which knows the requests."""

    def __init__(
        self, llm: EngineLlmJournal, recorder: RunRecorder, memory: StepMemory[Recorded], *, clock: Clock
    ) -> None:
        self._llm = llm
        self._recorder = recorder
        self._memory = memory
        self._clock = clock
        self._attempts: dict[tuple[str, str], Iterator[int]] = {}
        """Numbers of the next requests, by key and request hash: a node that its own policy retries makes the same call again within this claim."""
        self._standing: dict[tuple[str, str], CallId] = {}
        """Each call as it stands in the journal."""

    async def find(self, call: CallId) -> bytes | None:
        recorded = await self._llm.find(call)
        self._standing[_id_of(call)] = recorded.rename(call) if recorded else call
        self._attempts.setdefault(_id_of(call), itertools.count(recorded.attempts + 1 if recorded else 1))
        return recorded.answer if recorded else None

    async def start(self, call: CallId, *, agent: str) -> ForeignCall:
        standing = self._standing[_id_of(call)]
        at = self._clock.now()
        await self._recorder.write([CallRow(standing.key, call.request_hash, step_key_of(call), agent, at)])
        return ForeignCall(standing, agent, self._attempts[_id_of(call)])

    async def finish(self, call: CallId, *, answer: bytes) -> None:
        call, digest = self._standing[_id_of(call)], sha256(answer)
        payload = PayloadRow(digest, JSON_MEDIA_TYPE, len(answer), answer)
        end = CallEndRow(call.key, call.request_hash, "done", digest, self._clock.now())
        await self._recorder.write([payload, end])
        self._memory.remember(call, Recorded(answer, 1))
        failpoints.hit("engine.answer.finished", call.place.node if call.place else "")

    async def reject(self, call: CallId) -> None:
        call = self._standing[_id_of(call)]
        await self._recorder.write([CallEndRow(call.key, call.request_hash, "rejected", None, self._clock.now())])


def _id_of(call: CallId) -> tuple[str, str]:
    return call.key, call.request_hash


def _attempt_of(foreign: ForeignCall) -> tuple[CallId, str, int]:
    return foreign.id, foreign.agent, next(foreign.attempts)


def _call_end(call: CallId, ended: AttemptEnd, status: AttemptStatus) -> CallEndRow:
    call_status: CallStatus = "rejected" if status == "failed" else status
    return CallEndRow(call.key, call.request_hash, call_status, None, ended.at)


def _provider_of(metadata: Mapping[str, Any]) -> str:
    return _name(metadata.get("ls_provider"))


def _name_of(asked: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    return _name(metadata.get("ls_model_name") or asked.get("model") or asked.get("model_name") or asked.get("_type"))


def _name(value: object) -> str:
    return sanitise_text(str(value or UNKNOWN), max_characters=MAX_NAME_CHARACTERS)


def _message_of(response: LLMResult | None) -> AIMessage | None:
    """None for models that complete text instead of answering messages."""
    found: Generation | Any = next((some[0] for some in response.generations if some), None) if response else None
    message = found.message if isinstance(found, ChatGeneration) else None
    return message if isinstance(message, AIMessage) else None


def _model_of(message: AIMessage | None) -> str | None:
    """As the provider calls it."""
    name = message.response_metadata.get("model_name") if message else None
    return _name(name) if name else None


def _usage_of(message: AIMessage) -> Usage | None:
    """None when nobody reported it, which is not the same as 0."""
    found: Mapping[str, Any] | None = message.usage_metadata
    if not found:
        return None
    if "total_cost" in found:
        return Usage(0, 0)  # LangChain's own cache answered: it repeats the usage of the request that was paid
    if not found.get("input_tokens") and not found.get("output_tokens"):
        return None
    return Usage(
        prompt_tokens=found.get("input_tokens", 0),
        completion_tokens=found.get("output_tokens", 0),
        cached_tokens=(found.get("input_token_details") or {}).get("cache_read") or 0,
        reasoning_tokens=(found.get("output_token_details") or {}).get("reasoning") or 0,
    )
