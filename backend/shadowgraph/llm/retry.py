"""When a failed attempt is made again, and how long to wait before. Pure but for the dice, which are handed in."""

from random import Random

from tenacity import RetryCallState

from shadowgraph.llm.errors import ProviderError, Retry

MAX_ATTEMPTS = 5
"""Of one call at the last target of its route, in one go. Then the call fails, and its run may try again later."""
ATTEMPTS_BEFORE_FAILOVER = 2
"""At a target that another one follows: a hiccup is no reason to change the model, but nobody waits long for what another one can do."""
MAX_WAIT_SECONDS = 30.0
"""A provider that asks for more patience gets the run parked: a worker's slot is not for sleeping."""
BASE_SECONDS = 0.5
"""Upper end of the first wait; it doubles with each attempt, and the wait is anything between zero and it (full jitter)."""
JITTER_SHARE = 0.1
"""On top of what a provider asked for, so that those who wait do not come back together."""


class Backoff:
    """tenacity's `retry` and `wait` in one policy."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def is_worth_it(self, error: BaseException) -> bool:
        if not isinstance(error, ProviderError) or error.retry is Retry.NEVER:
            return False
        return (error.retry_after or 0.0) <= MAX_WAIT_SECONDS

    def seconds(self, error: ProviderError, *, attempt: int) -> float:
        """The wait after attempt number `attempt` failed with `error`."""
        if error.retry is Retry.WITH_FEEDBACK:
            return 0.0
        if error.retry_after is not None:
            return error.retry_after + self._rng.uniform(0.0, JITTER_SHARE * (1.0 + error.retry_after))
        return self._rng.uniform(0.0, min(MAX_WAIT_SECONDS, BASE_SECONDS * 2 ** (attempt - 1)))

    def wait(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        return self.seconds(error, attempt=state.attempt_number) if isinstance(error, ProviderError) else 0.0
