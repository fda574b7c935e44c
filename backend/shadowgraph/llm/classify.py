"""Makes sense of what a provider's library raised: by type and by body, without importing any provider's library.

All of them carry httpx errors as causes, and a status, a response or a body on their own.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

from shadowgraph.core.redaction import redact
from shadowgraph.llm.errors import (
    BadCredentials,
    BadRequest,
    BrokenStream,
    ContextTooLong,
    ModelGone,
    NoCapacity,
    Overloaded,
    ProviderError,
    QuotaUsedUp,
    RateLimited,
    Retry,
    TimedOut,
    ToolUseFailed,
    UnknownFailure,
    Unreachable,
)
from shadowgraph.llm.port import ErrorInAnswer

MAX_MESSAGE_CHARACTERS = 500
_CONTEXT_TOO_LONG = re.compile(
    r"context (length|window)|maximum context|reduce the length|too many tokens|prompt is too long", re.I
)
_TRY_AGAIN_IN = re.compile(
    r"try again in (?:(?P<h>\d+)h)?(?:(?P<m>\d+)m(?!s))?(?:(?P<s>[\d.]+)s)?(?:(?P<ms>[\d.]+)ms)?", re.I
)

_BY_CODE: Mapping[str, type[ProviderError]] = {
    "tool_use_failed": ToolUseFailed,
    "model_decommissioned": ModelGone,
    "model_not_found": ModelGone,
    "context_length_exceeded": ContextTooLong,
    "request_too_large": ContextTooLong,
    "invalid_api_key": BadCredentials,
    "authentication_error": BadCredentials,
    "permission_error": BadCredentials,
    "insufficient_quota": QuotaUsedUp,
    "billing_error": QuotaUsedUp,
    "capacity_exceeded": NoCapacity,
    "rate_limit_exceeded": RateLimited,
    "rate_limit_error": RateLimited,
    "timeout_error": TimedOut,
    "server_error": Overloaded,
    "internal_server_error": Overloaded,
    "api_error": Overloaded,
    "overloaded_error": Overloaded,
    "service_unavailable": Overloaded,
}
"""The `code`, else the `type`, that providers put into an error's body."""
_BY_STATUS: Mapping[int, type[ProviderError]] = {
    401: BadCredentials,
    402: QuotaUsedUp,
    403: BadCredentials,
    408: TimedOut,
    413: ContextTooLong,
    429: RateLimited,
    498: NoCapacity,  # Groq: no flex capacity
}
_BY_TYPE: Mapping[str, type[ProviderError]] = {
    "builtins.TimeoutError": TimedOut,
    "builtins.ConnectionError": BrokenStream,
    "json.JSONDecodeError": BrokenStream,
    "httpx.TimeoutException": TimedOut,
    "httpx.ConnectError": Unreachable,
    "httpx.ProxyError": Unreachable,
    "httpx.UnsupportedProtocol": BadRequest,
    "httpx.TransportError": BrokenStream,
    "httpx.StreamError": BrokenStream,
}
"""By package and name of the most special class that is listed: httpx's own, or those of its successor, which some libraries use."""


@dataclass(frozen=True, slots=True)
class _Facts:
    status: int | None
    """Of the answer, or the one that an error inside an answer with status 200 names."""
    code: str
    message: str
    headers: Mapping[str, str]
    is_inside_answer: bool
    """The server said 200 and then told of an error: it passes on what somebody behind it said."""


def classify(error: Exception, *, now: Callable[[], datetime]) -> ProviderError:
    """`now` is only asked for a Retry-After that is a date. Not only limits come with one: servers that are overloaded say it, too."""
    facts = _facts(error)
    kind = _kind(error, facts)
    message = redact(facts.message)[:MAX_MESSAGE_CHARACTERS]
    found = kind(message, provider_status=facts.status)
    if kind.retry is Retry.LATER and (seconds := _retry_after(facts, now=now)) is not None:
        found.facts["retry_after"] = seconds
    found.fails_over = found.fails_over or facts.is_inside_answer
    return found


def _kind(error: Exception, facts: _Facts) -> type[ProviderError]:
    # Groq answers 413 with the code of a rate limit when one request alone exceeds the tokens of a minute: waiting never helps.
    if facts.status == 413 or (facts.status in (None, 400) and _CONTEXT_TOO_LONG.search(facts.message)):
        return ContextTooLong
    if kind := _BY_CODE.get(facts.code):
        return kind
    if facts.status == 404:
        return ModelGone if "model" in facts.message.lower() else BadRequest
    if facts.status is not None and facts.status >= 400:
        return _BY_STATUS.get(facts.status, Overloaded if facts.status >= 500 else BadRequest)
    names = (_name(base) for cause in _causes(error) for base in type(cause).__mro__)
    return next((_BY_TYPE[name] for name in names if name in _BY_TYPE), UnknownFailure)


def _name(base: type) -> str:
    return f"{base.__module__.partition('.')[0].removesuffix('2')}.{base.__name__}"


def _facts(error: BaseException) -> _Facts:
    error = next((cause for cause in _causes(error) if isinstance(cause, ErrorInAnswer)), error)
    response = getattr(error, "response", None)
    body = _inner_body(error, response)
    code = body.get("code") or body.get("type") or ""
    status = getattr(error, "status_code", None) or (response.status_code if response is not None else None)
    is_inside_answer = bool(body) and status in (None, 200)
    if is_inside_answer:
        status = int(code) if str(code).isdigit() else None
    message = body.get("message") or str(error) or type(error).__name__
    return _Facts(
        status=status if isinstance(status, int) else None,
        code=str(code),
        message=str(message),
        headers=response.headers if response is not None else {},
        is_inside_answer=is_inside_answer,
    )


def _inner_body(error: BaseException, response: Any) -> Mapping[str, Any]:
    """`{"error": {…}}` and the inner object alone both occur; LangChain raises `ValueError({…})` for an error with status 200."""
    for body in (getattr(error, "body", None), error.args[0] if error.args else None, _json_of(response)):
        if isinstance(body, Mapping):
            inner = body.get("error", body)
            return inner if isinstance(inner, Mapping) else {"message": inner}
    return {}


def _json_of(response: Any) -> Any:
    if response is None or not response.is_closed:
        return None
    try:
        return response.json()
    except (ValueError, RuntimeError):  # no JSON, or a streamed body that nobody read
        return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _retry_after(facts: _Facts, *, now: Callable[[], datetime]) -> float | None:
    """The headers are authoritative; else what the message says."""
    if (milliseconds := _number(facts.headers.get("retry-after-ms"))) is not None:
        return milliseconds / 1000
    header = facts.headers.get("retry-after")
    if (seconds := _number(header)) is not None:
        return seconds
    if header and (date := _date(header)):
        return max(0.0, (date - now()).total_seconds())
    return _seconds_in_message(facts.message)


def _number(text: str | None) -> float | None:
    return float(text) if text and re.fullmatch(r"\d+(\.\d+)?", text.strip()) else None


def _date(text: str) -> datetime | None:
    try:
        date = parsedate_to_datetime(text)
    except ValueError:
        return None
    return date if date.tzinfo else None


def _seconds_in_message(message: str) -> float | None:
    match = _TRY_AGAIN_IN.search(message)
    if match is None or not any(match.groups()):
        return None
    hours, minutes, seconds, milliseconds = (float(part) if part else 0.0 for part in match.group("h", "m", "s", "ms"))
    return hours * 3600 + minutes * 60 + seconds + milliseconds / 1000
