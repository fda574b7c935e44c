"""The single door to every LLM.

The steps of a call: sanitise → answer from the journal → the route's targets, in order → breaker and limits → reserve → journal `started` →
attempt, streamed → usage or an estimate → check of the answer → price → journal `finished` → settle → the answer is used.
"""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt

from shadowgraph.core.calls import AnswerCheck, CallId, Completion, DeltaSink, LlmJournal, LlmRequest, PriceList, Purse
from shadowgraph.core.clock import Clock
from shadowgraph.llm.asking import Asking
from shadowgraph.llm.books import Books
from shadowgraph.llm.deltas import Deltas, emits_deltas
from shadowgraph.llm.gate import Gate
from shadowgraph.llm.money import NoPrices, OpenPurse
from shadowgraph.llm.retry import ATTEMPTS_BEFORE_FAILOVER, MAX_ATTEMPTS, Backoff
from shadowgraph.llm.sanitise import sanitise_request
from shadowgraph.llm.targets import Company, Targets

Sleep = Callable[[float], Awaitable[None]]


class Gateway:
    """One per process; knows no run."""

    def __init__(
        self,
        targets: Targets,
        *,
        clock: Clock,
        rng: Random,
        sleep: Sleep = asyncio.sleep,
        prices: PriceList | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._targets = targets
        self._clock = clock
        self._backoff = Backoff(rng)
        self._sleep = sleep
        self._prices = prices or NoPrices()
        self._gate = gate or Gate(clock)

    async def call(
        self,
        request: LlmRequest,
        call: CallId,
        *,
        journal: LlmJournal,
        run_id: str,
        purse: Purse | None = None,
        company: Company | None = None,
        on_delta: DeltaSink | None = None,
        check: AnswerCheck | None = None,
    ) -> Completion:
        """`purse` None: no budget applies.

        Errors: `ProviderError` and its family, `OverBudget`, `RequestTooLarge`, `BadModelName`, `UnknownRoute`, `NoProvider`, `MixedModels`, and the
        journal's own.
        """
        request = sanitise_request(request)
        recorded = await journal.find(call)
        if recorded and recorded.answer is not None:
            return _remembered(recorded.answer, company)
        call = recorded.rename(call) if recorded else call
        plan = await self._targets.plan(request)
        if company:
            company.require(is_stand_in=plan.is_stand_in, agent=request.agent)
        asking = Asking(
            request=request,
            run_id=run_id,
            plan=plan,
            books=Books(
                call=call,
                agent=request.agent,
                journal=journal,
                purse=purse or OpenPurse(),
                prices=self._prices,
                attempts=recorded.attempts if recorded else 0,
            ),
            gate=self._gate,
            clock=self._clock,
            deltas=Deltas(on_delta if emits_deltas(request) else None),
            check=check,
            retrying=lambda candidate: self._retrying(is_last=candidate is plan.candidates[-1]),
        )
        return await asking.until_answered()

    def _retrying(self, *, is_last: bool) -> AsyncRetrying:
        return AsyncRetrying(
            stop=stop_after_attempt(MAX_ATTEMPTS if is_last else ATTEMPTS_BEFORE_FAILOVER),
            retry=retry_if_exception(self._backoff.is_worth_it),
            wait=self._backoff.wait,
            sleep=self._sleep,
            reraise=True,
        )

    def bind(
        self,
        *,
        journal: LlmJournal,
        run_id: str,
        purse: Purse | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> "BoundModels":
        """The models of one run. `loop` is the one that the journal lives in; None: the journal can be used from any."""
        return BoundModels(self, journal=journal, run_id=run_id, purse=purse, loop=loop)


def _remembered(answer: bytes, company: Company | None) -> Completion:
    completion = Completion.from_json(answer)
    if company:
        company.is_stand_in = completion.synthetic
    return completion


class BoundModels:
    """Implements `core.calls.ModelPort`. A node may call it from another event loop than the journal's: a sync node that runs one."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        journal: LlmJournal,
        run_id: str,
        purse: Purse | None,
        loop: asyncio.AbstractEventLoop | None,
    ) -> None:
        self._gateway = gateway
        self._journal = journal
        self._run_id = run_id
        self._purse = purse
        self._company = Company()
        self._loop = loop

    async def call(
        self,
        request: LlmRequest,
        call: CallId,
        on_delta: DeltaSink | None = None,
        *,
        check: AnswerCheck | None = None,
    ) -> Completion:
        work = self._gateway.call(
            request,
            call,
            journal=self._journal,
            run_id=self._run_id,
            purse=self._purse,
            company=self._company,
            on_delta=on_delta,
            check=check,
        )
        if self._loop is None or self._loop is asyncio.get_running_loop():
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))
