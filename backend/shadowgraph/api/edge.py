"""The outermost layer: gives each request an id, each response its safety headers, and answers for what nobody caught."""

import logging
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shadowgraph.api.errors import INTERNAL_PROBLEM
from shadowgraph.api.problems import problem_response
from shadowgraph.core.ids import new_request_id

log = logging.getLogger(__name__)

REQUEST_ID_HEADER = "X-Request-Id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}\Z")
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}\Z")

SAFETY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Set where the response does not say otherwise."""


class EdgeMiddleware:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        has_started = False

        async def send_with_headers(message: Message) -> None:
            nonlocal has_started
            if message["type"] == "http.response.start":
                has_started = True
                _add_headers(message, request_id)
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except ClientDisconnect:
            return
        except Exception:
            log.exception("a request failed", extra={"request_id": request_id, "path": scope["path"]})
            if has_started:
                raise  # the server cuts the connection: the client must not take half a body for a whole one
            await problem_response(INTERNAL_PROBLEM, scope)(scope, receive, send_with_headers)


def _add_headers(message: Message, request_id: str) -> None:
    headers = MutableHeaders(scope=message)
    headers[REQUEST_ID_HEADER] = request_id
    for name, value in SAFETY_HEADERS.items():
        headers.setdefault(name, value)


def _request_id(scope: Scope) -> str:
    """The caller's, when it is a plain token."""
    given = Headers(scope=scope).get(REQUEST_ID_HEADER, "")
    return given if _REQUEST_ID.match(given) else new_request_id()


def traceparent_of(headers: Headers) -> str | None:
    """The caller's trace (W3C); a malformed one counts as absent."""
    given = headers.get("traceparent", "")
    return given if _TRACEPARENT.match(given) else None
