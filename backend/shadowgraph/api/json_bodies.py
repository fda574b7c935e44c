"""Reads JSON bodies before the framework does: with a declared type, in UTF-8, not too deep, and with an error that says what is wrong."""

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import Request, Response
from fastapi.routing import APIRoute

from shadowgraph.core.errors import Invalid
from shadowgraph.core.json import Json

MAX_JSON_DEPTH = 64
MAX_INTEGER_CHARACTERS = 20
"""Those of 2**64 - 1 and of -2**63."""
_LONG_NUMBER = re.compile(rb"\d{19}")


class UnsupportedMediaType(Invalid):
    code = "unsupported_media_type"


class EmptyBody(Invalid):
    code = "empty_body"


class MalformedJson(Invalid):
    code = "malformed_json"


class JsonTooDeep(Invalid):
    code = "json_too_deep"


def parse_json(body: bytes) -> Json:
    """Errors: `EmptyBody`, `MalformedJson` (also for NaN, lone surrogates and bytes that are not UTF-8), `JsonTooDeep`."""
    if not body.strip():
        raise EmptyBody("the request body is empty")
    try:
        value: Json = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise MalformedJson(f"the body is not JSON: {error}") from error
    if depth_of(value) > MAX_JSON_DEPTH:
        raise JsonTooDeep(f"the body is nested more than {MAX_JSON_DEPTH} levels deep")
    if _LONG_NUMBER.search(body):
        json.loads(body, parse_int=_require_64_bits)  # the fast parser makes a float of an integer that is too large
    return value


def _require_64_bits(digits: str) -> int:
    number = int(digits[:MAX_INTEGER_CHARACTERS])
    if len(digits) > MAX_INTEGER_CHARACTERS or not -(2**63) <= number < 2**64:
        raise MalformedJson("an integer has more than 64 bits", hint="send it as a string")
    return number


def depth_of(value: Json) -> int:
    """Levels of nesting; 0 for a plain value."""
    depth, level = 0, [value]
    while level := [item for outer in level if isinstance(outer, dict | list) for item in _members(outer)]:
        depth += 1
    return depth


def _members(outer: dict[str, Json] | list[Json]) -> list[Json]:
    return [None, *(outer.values() if isinstance(outer, dict) else outer)]  # None: an empty container is a level too


def require_json_type(content_type: str) -> None:
    """A body without a type is refused as well: a form of any web page could send it.

    Errors: `UnsupportedMediaType`.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type != "application/json" and not (
        media_type.startswith("application/") and media_type.endswith("+json")
    ):
        raise UnsupportedMediaType(f"the body's type is {media_type[:100] or 'not declared'!r}")


class StrictJsonRequest(Request):
    async def json(self) -> Any:
        if not hasattr(self, "_strict_json"):
            self._strict_json = parse_json(await self.body())
        return self._strict_json


class JsonRoute(APIRoute):
    """A route whose body, if it takes one, is read strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def handle_json(request: Request) -> Response:
            strict = StrictJsonRequest(request.scope, request.receive)
            if await strict.body():
                require_json_type(strict.headers.get("content-type", ""))
            await strict.json()
            return await handle(strict)

        return handle_json
