"""How a call to a provider can go wrong.

ProviderError
├── CircuitOpen      the target failed too often and is left alone for a while; nobody was asked
├── RateLimited      429; says how long to wait when the provider did
├── Overloaded       5xx, and what else means "not now"
├── NoCapacity       the provider is well but has no room for this class of service (Groq's 498)
├── QuotaUsedUp      the account has no money left
├── Unreachable      no connection
├── TimedOut         no connection, no first token or no end in time
├── BrokenStream     the answer broke off
├── ToolUseFailed    the provider refused the model's own tool call
├── AnswerRefused    we refused the answer: its tool calls are no JSON, or its check said no
├── ContextTooLong   more text than the model takes
├── ModelGone        the provider has no such model (any more)
├── BadCredentials   401, 403
├── BadRequest       the provider says that the request is wrong
└── UnknownFailure   anything else an adapter raised
"""

from enum import Enum
from typing import ClassVar

from shadowgraph.core.errors import Unavailable


class Retry(Enum):
    LATER = "later"
    """The same request again, after a while."""
    WITH_FEEDBACK = "with_feedback"
    """At once, with the reason added for the model to read; one time."""
    NEVER = "never"


class ProviderError(Unavailable):
    code = "provider_error"
    error_class: ClassVar[str] = "unknown"
    """Stands in `llm_attempts.error_class`."""
    retry: Retry = Retry.NEVER
    may_have_cost: bool = False
    """The request reached the model, so tokens are estimated and booked."""
    fails_over: bool = True
    """Another target of the route may answer."""
    trips: bool = False
    """It says that the target is ill: the breaker counts it."""
    retryable = False

    @property
    def retry_after(self) -> float | None:
        """Seconds after which the same target may answer, when that is known."""
        seconds = self.facts.get("retry_after")
        return seconds if isinstance(seconds, int | float) else None


class CircuitOpen(ProviderError):
    code = "circuit_open"
    error_class = "circuit_open"
    retryable = True


class RateLimited(ProviderError):
    code = "rate_limited"
    error_class = "rate_limited"
    retry = Retry.LATER
    retryable = True


class Overloaded(ProviderError):
    code = "provider_unavailable"
    error_class = "server_error"
    retry = Retry.LATER
    trips = True
    retryable = True


class NoCapacity(ProviderError):
    code = "provider_unavailable"
    error_class = "no_capacity"
    retry = Retry.LATER
    retryable = True


class QuotaUsedUp(ProviderError):
    code = "provider_quota"
    error_class = "quota"


class Unreachable(ProviderError):
    code = "provider_unreachable"
    error_class = "unreachable"
    retry = Retry.LATER
    trips = True
    retryable = True


class TimedOut(ProviderError):
    code = "provider_timeout"
    error_class = "timeout"
    retry = Retry.LATER
    may_have_cost = True
    trips = True
    retryable = True


class BrokenStream(ProviderError):
    code = "broken_stream"
    error_class = "broken_stream"
    retry = Retry.LATER
    may_have_cost = True
    trips = True
    retryable = True


class ToolUseFailed(ProviderError):
    code = "tool_use_failed"
    error_class = "tool_use_failed"
    retry = Retry.WITH_FEEDBACK
    may_have_cost = True
    retryable = True


class AnswerRefused(ProviderError):
    code = "answer_refused"
    error_class = "answer_refused"
    retry = Retry.WITH_FEEDBACK
    may_have_cost = True
    fails_over = False
    retryable = True


class ContextTooLong(ProviderError):
    code = "context_too_long"
    error_class = "context_too_long"


class ModelGone(ProviderError):
    code = "model_gone"
    error_class = "model_gone"


class BadCredentials(ProviderError):
    code = "provider_auth"
    error_class = "auth"


class BadRequest(ProviderError):
    code = "provider_refused"
    error_class = "bad_request"
    fails_over = False


class UnknownFailure(ProviderError):
    pass
