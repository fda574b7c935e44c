"""No request body above a limit reaches the program, whether its length was declared or not."""

import re
from collections.abc import Mapping

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shadowgraph.api.errors import problem_of
from shadowgraph.api.problems import problem_response
from shadowgraph.core.errors import Invalid

MAX_DRAINED_BYTES = 8 * 1024 * 1024
"""So much of a refused body is still read and thrown away: a client that is busy sending would not see the answer."""


class BodyTooLarge(Invalid):
    code = "body_too_large"


class _Overflow(Exception):
    """The body has grown too large while it was read. No error of ours: those are answered further inside."""


class BodyLimitMiddleware:
    """`larger`: paths whose bodies may be larger, and how large."""

    def __init__(self, app: ASGIApp, max_bytes: int, larger: Mapping[re.Pattern[str], int]) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._larger = larger

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        max_bytes = self._limit_of(scope["path"])
        counted = CountedBody(receive, max_bytes=max_bytes)
        if _declared_length(scope) > max_bytes:
            await self._refuse(scope, counted, send, max_bytes)
            return
        try:
            await self._app(scope, counted.receive, send)
        except _Overflow:
            await self._refuse(scope, counted, send, max_bytes)

    def _limit_of(self, path: str) -> int:
        return next((size for form, size in self._larger.items() if form.match(path)), self._max_bytes)

    async def _refuse(self, scope: Scope, counted: "CountedBody", send: Send, max_bytes: int) -> None:
        if not _expects_permission(scope):
            await counted.drain()
        error = BodyTooLarge(f"the request body has more than {max_bytes} bytes", limit_bytes=max_bytes)
        response = problem_response(problem_of(error), scope)
        response.headers["Connection"] = "close"
        await response(scope, counted.receive, send)


class CountedBody:
    """A request body that stops being read when it grows too large."""

    def __init__(self, receive: Receive, *, max_bytes: int) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._seen = 0
        self._has_more = True

    async def receive(self) -> Message:
        """Errors: `_Overflow`."""
        message = await self._next()
        if self._seen > self._max_bytes:
            raise _Overflow
        return message

    async def drain(self) -> None:
        while self._has_more and self._seen < MAX_DRAINED_BYTES:
            await self._next()

    async def _next(self) -> Message:
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        self._has_more = message["type"] == "http.request" and message.get("more_body", False)
        return message


def _declared_length(scope: Scope) -> int:
    text = Headers(scope=scope).get("content-length", "0")
    return int(text) if text.isdecimal() else 0


def _expects_permission(scope: Scope) -> bool:
    """The client sends its body only after a `100 Continue`."""
    return Headers(scope=scope).get("expect", "").lower() == "100-continue"
