"""What is written down of one logical call, and the money that is set aside for it."""

from dataclasses import dataclass, field
from datetime import datetime

from shadowgraph.core.calls import (
    AttemptEnd,
    AttemptStart,
    CallId,
    Completion,
    Hold,
    LlmJournal,
    Priced,
    PriceList,
    Purse,
    Usage,
    Wish,
)
from shadowgraph.llm.attempt import Attempt
from shadowgraph.llm.errors import ProviderError

CANCELLED = "cancelled"
"""The error class of an attempt that we ended ourselves."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The last attempt, which is over but still open in the journal."""

    ended: AttemptEnd
    error: ProviderError


@dataclass(slots=True)
class Books:
    """Of one logical call. Every attempt that is opened is finished, failed or cut."""

    call: CallId
    agent: str
    journal: LlmJournal
    purse: Purse
    prices: PriceList
    attempts: int
    """Made so far, by this and by earlier workers."""
    failed: Failed | None = field(init=False, default=None)

    async def reserve(self, start: AttemptStart) -> Hold | None:
        """Errors: `FallBack`, and whatever else of `OverBudget` a purse says."""
        return await self.purse.reserve(
            Wish(
                call=self.call,
                attempt=start.n,
                agent=self.agent,
                provider=start.provider,
                model=start.model,
                prompt_tokens=start.estimated_prompt_tokens,
                max_completion_tokens=start.max_completion_tokens,
            )
        )

    async def open(self, start: AttemptStart) -> None:
        """Closes the attempt that failed before, in the same write."""
        failed, self.failed = self.failed, None
        self.attempts = start.n
        if failed is None:
            await self.journal.start(self.call, agent=self.agent, attempt=start)
            return
        await self.journal.retry(
            self.call,
            agent=self.agent,
            ended=failed.ended,
            attempt=start,
            error=failed.error.message,
            wait_seconds=(start.at - failed.ended.at).total_seconds(),
        )

    async def finish(self, attempt: Attempt, completion: Completion) -> None:
        ended = self._end(attempt, completion.usage)
        await self.journal.finish(self.call, agent=self.agent, ended=ended, answer=completion.to_json())
        await self._settle(attempt, ended)

    async def fail(self, attempt: Attempt, error: ProviderError) -> None:
        """Nothing was billed when the provider refused before the first token."""
        has_usage = error.may_have_cost or attempt.answer.has_begun
        usage = attempt.answer.usage_so_far(attempt.request) if has_usage else None
        self.failed = Failed(self._end(attempt, usage, error_class=error.error_class), error)
        await self._settle(attempt, self.failed.ended)

    async def reject(self) -> None:
        """The call ends with the attempt that failed last."""
        if self.failed:
            error = self.failed.error.message
            await self.journal.reject(self.call, agent=self.agent, ended=self.failed.ended, error=error)

    async def cut(self, attempt: Attempt) -> None:
        ended = self._end(attempt, attempt.answer.usage_so_far(attempt.request), error_class=CANCELLED)
        await self.journal.cut(self.call, agent=self.agent, ended=ended)
        await self._settle(attempt, ended)

    def _end(self, attempt: Attempt, usage: Usage | None, *, error_class: str | None = None) -> AttemptEnd:
        at = attempt.clock.now()
        return AttemptEnd(
            n=attempt.start.n,
            at=at,
            usage=usage,
            error_class=error_class,
            ttft_ms=attempt.ttft_ms,
            latency_ms=attempt.elapsed_ms(),
            priced=self._price(attempt, usage, at) if usage else None,
        )

    async def _settle(self, attempt: Attempt, ended: AttemptEnd) -> None:
        if attempt.hold is None:
            return
        await self.purse.settle(attempt.hold, ended.priced.cost_nano_usd if ended.priced else 0)

    def _price(self, attempt: Attempt, usage: Usage, at: datetime) -> Priced:
        return self.prices.price(
            attempt.start.provider, attempt.start.model, usage, at=at, reported_cost=attempt.answer.reported_cost
        )
