"""One request to one provider: sent, received within its time, and either an answer or an error of ours."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace

from shadowgraph.core.calls import AttemptStart, Completion, Hold, LlmRequest
from shadowgraph.core.clock import Clock
from shadowgraph.llm.answer import Answer
from shadowgraph.llm.deltas import Deltas
from shadowgraph.llm.errors import BrokenStream
from shadowgraph.llm.port import Provider
from shadowgraph.reliability.breaker import Permit


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """After any of them the attempt counts as timed out, and is made again."""

    first_token_seconds: float = 30.0
    total_seconds: float = 120.0
    idle_seconds: float = 30.0
    """Between two pieces of an answer that has begun."""


@dataclass(slots=True)
class Attempt:
    start: AttemptStart
    request: LlmRequest
    """As it is sent this time: a second chance carries the reason for it."""
    answer: Answer
    clock: Clock
    permit: Permit
    hold: Hold | None = None
    began: float = field(init=False)
    ttft_ms: int | None = field(init=False, default=None)
    """Time to the first token."""

    def __post_init__(self) -> None:
        self.began = self.clock.monotonic()

    async def receive(
        self,
        provider: Provider,
        *,
        headers: Mapping[str, str],
        deltas: Deltas,
        limits: TimeLimits,
        on_headers: Callable[[Mapping[str, str]], None],
    ) -> None:
        """Errors: `BrokenStream`, `TimeoutError`, and whatever the provider's library raises."""
        loop = asyncio.get_running_loop()
        ends_at = loop.time() + limits.total_seconds
        async with (
            asyncio.timeout(min(limits.first_token_seconds, limits.total_seconds)) as limit,
            # Closed at once and not whenever it is collected: an open stream holds a connection.
            aclosing(provider.stream(self.request, self.answer.target, headers=headers)) as stream,
        ):
            async for chunk in stream:
                if chunk.headers:
                    on_headers(chunk.headers)
                text = self.answer.add(chunk)
                if self.ttft_ms is None and self.answer.has_begun:
                    self.ttft_ms = self.elapsed_ms()
                if self.ttft_ms is not None:
                    limit.reschedule(min(ends_at, loop.time() + limits.idle_seconds))
                await deltas.send(text)
                if self.answer.is_full:
                    return
        if self.answer.finish_reason is None:
            raise BrokenStream("the answer ended without saying that it is complete")

    def to_completion(self) -> Completion:
        """Errors: `AnswerRefused`."""
        completion = self.answer.to_completion(self.request)
        return replace(completion, left_out_characters=self.start.left_out_characters)

    def elapsed_ms(self) -> int:
        return round((self.clock.monotonic() - self.began) * 1000)
