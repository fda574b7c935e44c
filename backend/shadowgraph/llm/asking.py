"""One logical call that the journal could not answer: targets in order, attempts at each, until there is an answer."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

from tenacity import AsyncRetrying

from shadowgraph.core import failpoints
from shadowgraph.core.calls import AnswerCheck, AttemptStart, Completion, FallBack, LlmRequest
from shadowgraph.core.clock import Clock
from shadowgraph.core.errors import OverBudget
from shadowgraph.llm.answer import Answer
from shadowgraph.llm.attempt import Attempt
from shadowgraph.llm.books import Books
from shadowgraph.llm.classify import classify
from shadowgraph.llm.deltas import Deltas
from shadowgraph.llm.errors import AnswerRefused, ProviderError, Retry
from shadowgraph.llm.failover import Refusal, conclude, is_worth_asking, whom_to_ask_for_less
from shadowgraph.llm.feedback import with_feedback
from shadowgraph.llm.gate import Gate
from shadowgraph.llm.offline.calls import CALL_HEADER, build_call_header
from shadowgraph.llm.port import IDEMPOTENCY_HEADER
from shadowgraph.llm.shorten import shorten_request
from shadowgraph.llm.targets import Candidate, Plan
from shadowgraph.llm.usage import estimate_prompt_tokens, max_completion_tokens

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Asking:
    """One logical call that the journal could not answer."""

    request: LlmRequest
    run_id: str
    plan: Plan
    books: Books
    gate: Gate
    clock: Clock
    deltas: Deltas
    check: AnswerCheck | None
    retrying: Callable[[Candidate], AsyncRetrying]
    """How patiently a target is asked."""
    feedback: str = field(init=False, default="")
    """Why this target's last answer was refused, for the model to read."""
    left_out_characters: int = field(init=False, default=0)
    """Of the author's request, when no model takes all of it."""

    async def until_answered(self) -> Completion:
        """Errors: `ProviderError`, `OverBudget`, and the journal's own."""
        try:
            return await self._ask_in_order()
        except (ProviderError, OverBudget):
            await asyncio.shield(self.books.reject())
            raise
        except asyncio.CancelledError:
            if self.books.failed:  # between two attempts: nothing is under way, so nothing is in doubt
                await asyncio.shield(self._quietly(self.books.reject()))
            raise

    async def _ask_in_order(self) -> Completion:
        refusals: list[Refusal] = []
        for candidate in self.plan.candidates:
            if not is_worth_asking(candidate, refusals):
                continue
            if answer := await self._ask_or_note(candidate, refusals):
                return answer
        if answer := await self._ask_with_less_text(refusals):
            return answer
        raise conclude(refusals)

    async def _ask_or_note(self, candidate: Candidate, refusals: list[Refusal]) -> Completion | None:
        """None: why not is the last one of `refusals`, and somebody else may answer."""
        try:
            return await self._ask(candidate)
        except FallBack as error:
            refusals.append(Refusal(candidate, error))
        except ProviderError as error:
            if not error.fails_over:
                raise
            refusals.append(Refusal(candidate, self.gate.explain(candidate.target, error)))
        return None

    async def _ask_with_less_text(self, refusals: list[Refusal]) -> Completion | None:
        candidate = whom_to_ask_for_less(refusals)
        shorter = candidate and shorten_request(self.request, context_tokens=candidate.context_tokens)
        if not candidate or not shorter:
            return None
        self.request, self.left_out_characters = shorter.request, shorter.left_out_characters
        return await self._ask_or_note(candidate, refusals)

    async def _ask(self, candidate: Candidate) -> Completion:
        self.feedback = ""
        return await self.retrying(candidate)(self._try_once, candidate)

    async def _try_once(self, candidate: Candidate) -> Completion:
        attempt = await self._open_attempt(candidate)
        failpoints.hit("llm.attempt.started", self._node)
        try:
            await self._receive(attempt, candidate)
            completion = attempt.to_completion()
            self._require_accepted(completion)
        except asyncio.CancelledError:
            await asyncio.shield(self._quietly(self._cut(attempt)))
            raise
        except ProviderError as error:
            await asyncio.shield(self._fail(attempt, error))
            raise
        failpoints.hit("llm.answer.received", self._node)
        # Paid for: recorded even when the caller is cancelled at this very moment.
        await asyncio.shield(self._finish(attempt, completion))
        failpoints.hit("llm.answer.recorded", self._node)
        return completion

    async def _open_attempt(self, candidate: Candidate) -> Attempt:
        """Errors: `ProviderError` when the gate is closed, `OverBudget`."""
        request = with_feedback(self.request, self.feedback) if self.feedback else self.request
        start = AttemptStart(
            n=self.books.attempts + 1,
            provider=candidate.target.provider,
            model=candidate.target.model,
            at=self.clock.now(),
            estimated_prompt_tokens=estimate_prompt_tokens(request),
            route=self.plan.route,
            route_number=self.plan.route_number,
            max_completion_tokens=max_completion_tokens(request),
            left_out_characters=self.left_out_characters,
        )
        permit = await self.gate.admit(candidate, self.plan, tokens=start.estimated_prompt_tokens)
        try:
            hold = await self.books.reserve(start)
            await self.books.open(start)
        except BaseException:
            await asyncio.shield(self._quietly(self.gate.withdraw(permit)))
            raise
        await self.deltas.restart()
        return Attempt(start, request, Answer(candidate.target), self.clock, permit, hold)

    async def _receive(self, attempt: Attempt, candidate: Candidate) -> None:
        """Errors: `ProviderError`."""
        try:
            await attempt.receive(
                candidate.provider,
                headers=self._headers(attempt),
                deltas=self.deltas,
                limits=candidate.limits,
                on_headers=lambda headers: self.gate.hear(candidate.target, headers),
            )
        except ProviderError:
            raise
        except Exception as error:  # a provider's library may raise anything
            raise classify(error, now=self.clock.now) from error

    def _require_accepted(self, completion: Completion) -> None:
        """Errors: `AnswerRefused`."""
        if self.check is None:
            return
        try:
            reason = self.check(completion)
        except Exception as error:  # an author's code may raise anything; asking again would not mend it
            broken = AnswerRefused(f"the check of the answer failed: {error!r}")
            broken.retry = Retry.NEVER
            raise broken from error
        if reason:
            raise AnswerRefused(reason)

    async def _fail(self, attempt: Attempt, error: ProviderError) -> None:
        if error.retry is Retry.WITH_FEEDBACK:
            if self.feedback:
                error.retry = Retry.NEVER  # the model had its second chance
            self.feedback = error.message
        target = attempt.answer.target
        error.facts |= {"provider": target.provider, "model": target.model, "attempts": attempt.start.n}
        logger.info("call of %s to %s failed (%s): %s", self.request.agent, target, error.error_class, error.message)
        await self.books.fail(attempt, error)
        await self.gate.record(attempt.permit, self.plan, error)

    async def _finish(self, attempt: Attempt, completion: Completion) -> None:
        await self.books.finish(attempt, completion)
        await self.gate.record(attempt.permit, self.plan, None)

    async def _cut(self, attempt: Attempt) -> None:
        await self.gate.withdraw(attempt.permit)
        await self.books.cut(attempt)

    async def _quietly(self, write: Awaitable[None]) -> None:
        """A cancellation goes on whatever happens; what it leaves open, a takeover finds."""
        try:
            await write
        except Exception:
            logger.warning("a cancelled call of %s could not be closed in the journal", self.run_id, exc_info=True)

    @property
    def _node(self) -> str:
        place = self.books.call.place
        return place.node if place else self.request.agent

    def _headers(self, attempt: Attempt) -> Mapping[str, str]:
        key = self.books.call.key
        return {
            # Names of nodes may hold any character, headers may not.
            IDEMPOTENCY_HEADER: quote(f"{self.run_id}:{key}", safe="/:|~.="),
            CALL_HEADER: build_call_header(run_id=self.run_id, call_key=key, attempt=attempt.start.n),
        }
