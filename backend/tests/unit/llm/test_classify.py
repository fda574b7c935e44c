"""Every way in which a provider's library reports trouble, as real exceptions of real libraries."""

from datetime import UTC, datetime
from typing import Any

import groq
import httpx
import pytest

from shadowgraph.llm.classify import classify
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
    TimedOut,
    ToolUseFailed,
    UnknownFailure,
    Unreachable,
)

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
REQUEST = httpx.Request("POST", "https://provider.test/chat")


def _now() -> datetime:
    return NOW


def _status(status: int, message: str = "", code: str = "", kind: str = "", **headers: str) -> groq.APIStatusError:
    """As the Groq client raises it: a status, a response, and the body as it came."""
    body = {"error": {"message": message, "code": code or None, "type": kind or None}}
    response = httpx.Response(
        status, request=REQUEST, json=body, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    return groq.APIStatusError(message, response=response, body=body)


def _http(status: int, **headers: str) -> httpx.HTTPStatusError:
    """As httpx itself raises it."""
    response = httpx.Response(status, request=REQUEST, headers={k.replace("_", "-"): v for k, v in headers.items()})
    return httpx.HTTPStatusError(f"status {status}", request=REQUEST, response=response)


def _inside_stream(**inner: Any) -> groq.APIError:
    """An error event in the middle of an answer: no status, only the inner body."""
    return groq.APIError(str(inner.get("message")), REQUEST, body=inner)


def _caused(outer: Exception, cause: Exception) -> Exception:
    outer.__cause__ = cause
    return outer


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        pytest.param(_status(429, "slow down", "rate_limit_exceeded"), RateLimited, id="429"),
        pytest.param(_http(429), RateLimited, id="429 of httpx"),
        pytest.param(
            _status(429, "You exceeded your quota", "insufficient_quota"), QuotaUsedUp, id="429 no money left"
        ),
        pytest.param(
            _status(413, "Request too large: tokens per minute", "rate_limit_exceeded"),
            ContextTooLong,
            id="413 of groq",
        ),
        pytest.param(_status(500), Overloaded, id="500"),
        pytest.param(_status(502), Overloaded, id="502"),
        pytest.param(_http(503), Overloaded, id="503 of httpx"),
        pytest.param(_status(504), Overloaded, id="504"),
        pytest.param(_status(529, "Overloaded", kind="overloaded_error"), Overloaded, id="529"),
        pytest.param(_status(498, "Flex tier capacity exceeded", "capacity_exceeded"), NoCapacity, id="498"),
        pytest.param(_status(408), TimedOut, id="408"),
        pytest.param(_status(401, "Invalid API Key", "invalid_api_key"), BadCredentials, id="401"),
        pytest.param(_status(403, "not allowed"), BadCredentials, id="403"),
        pytest.param(_status(400, "'messages' must not be empty"), BadRequest, id="400"),
        pytest.param(_status(422, "not valid"), BadRequest, id="422"),
        pytest.param(
            _status(400, "has been decommissioned", "model_decommissioned"), ModelGone, id="400 decommissioned"
        ),
        pytest.param(_status(404, "The model `x` does not exist", "model_not_found"), ModelGone, id="404 model"),
        pytest.param(_status(404, "The model `x` does not exist"), ModelGone, id="404 model without a code"),
        pytest.param(
            _status(404, "Unknown request URL: POST /openai/v1/openai/v1"), BadRequest, id="404 wrong address"
        ),
        pytest.param(_status(400, "Failed to call a function", "tool_use_failed"), ToolUseFailed, id="400 tool use"),
        pytest.param(_status(400, "too long", "context_length_exceeded"), ContextTooLong, id="400 context by code"),
        pytest.param(
            _status(400, "Please reduce the length of the messages"), ContextTooLong, id="400 context by text"
        ),
        pytest.param(
            _inside_stream(message="overloaded", type="server_error"), Overloaded, id="error event in a stream"
        ),
        pytest.param(
            _inside_stream(message="slow down", code="rate_limit_exceeded"), RateLimited, id="limit in a stream"
        ),
        pytest.param(_inside_stream(message="upstream failed", code=502), Overloaded, id="inner status in a stream"),
        pytest.param(
            ValueError({"message": "Provider returned error", "code": 429}), RateLimited, id="200 with an error body"
        ),
        pytest.param(httpx.ConnectTimeout("t"), TimedOut, id="connect timeout"),
        pytest.param(httpx.ReadTimeout("t"), TimedOut, id="read timeout"),
        pytest.param(TimeoutError(), TimedOut, id="our own limit"),
        pytest.param(
            _caused(groq.APITimeoutError(REQUEST), httpx.ReadTimeout("t")), TimedOut, id="timeout of the client"
        ),
        pytest.param(httpx.ConnectError("refused"), Unreachable, id="refused"),
        pytest.param(
            _caused(groq.APIConnectionError(request=REQUEST), httpx.ConnectError("no such host")),
            Unreachable,
            id="refused, of the client",
        ),
        pytest.param(httpx.RemoteProtocolError("incomplete chunked read"), BrokenStream, id="stream cut"),
        pytest.param(httpx.ReadError("reset"), BrokenStream, id="connection reset"),
        pytest.param(ConnectionResetError(), BrokenStream, id="connection reset by the system"),
        pytest.param(KeyError("choices"), UnknownFailure, id="a bug of an adapter"),
        pytest.param(ValueError("No generations found in stream"), UnknownFailure, id="a plain ValueError"),
    ],
)
def test_trouble_gets_its_name(error: Exception, expected: type[ProviderError]) -> None:
    assert type(classify(error, now=_now)) is expected


@pytest.mark.parametrize(
    ("error", "seconds"),
    [
        (_http(429, retry_after="12"), 12.0),
        (_http(429, retry_after="0.5"), 0.5),
        (_http(429, retry_after_ms="1500", retry_after="2"), 1.5),
        (_http(429, retry_after="Thu, 01 Jan 2026 12:01:30 GMT"), 90.0),
        (_http(429, retry_after="Thu, 01 Jan 2026 11:00:00 GMT"), 0.0),
        (_http(429, retry_after="soon"), None),
        (_http(429), None),
        (_status(429, "Rate limit reached. Please try again in 2.1s."), 2.1),
        (_status(429, "Please try again in 1m26.4s. Visit the console"), 86.4),
        (_status(429, "Please try again in 2h3m1s"), 7381.0),
        (_status(429, "Please try again in 350ms"), 0.35),
        (_status(429, "Please try again in 2.1s", retry_after="9"), 9.0),
        (_status(429, "Please try again in a while"), None),
    ],
)
def test_the_wait_that_a_provider_asks_for_is_understood(error: Exception, seconds: float | None) -> None:
    limited = classify(error, now=_now)

    assert isinstance(limited, RateLimited)
    assert limited.retry_after == (None if seconds is None else pytest.approx(seconds))


def test_a_streamed_body_that_nobody_read_does_not_stand_in_the_way() -> None:
    response = httpx.Response(503, request=REQUEST, stream=httpx.ByteStream(b"{}"))

    error = classify(httpx.HTTPStatusError("status 503", request=REQUEST, response=response), now=_now)

    assert type(error) is Overloaded


def test_a_body_that_is_no_json_does_not_stand_in_the_way() -> None:
    response = httpx.Response(502, request=REQUEST, text="<html>Bad gateway</html>")

    error = classify(httpx.HTTPStatusError("status 502", request=REQUEST, response=response), now=_now)

    assert type(error) is Overloaded
    assert error.facts["provider_status"] == 502


def test_a_key_that_a_provider_repeats_is_not_passed_on() -> None:
    error = classify(_status(401, "Incorrect API key provided: gsk_abcdefghijklmnop1234"), now=_now)

    assert "abcdefghijklmnop" not in error.message
