"""Makes text from models, tools and people safe to store and to show. Pure.

PostgreSQL refuses NUL and lone surrogates in text and NaN in JSON, SQLite takes them: whatever enters is cleaned once, at the door.
"""

import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TypeVar, cast

from shadowgraph.core.errors import Invalid
from shadowgraph.core.json import Json

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
"""Control characters but tab, line feed and carriage return: they mean nothing in text and can steer a terminal."""
_SURROGATE = re.compile(r"[\ud800-\udfff]")
REPLACEMENT = "\ufffd"
_INTEGER_LIMIT = 1 << 63
"""JSON integers beyond 64 bits cannot be stored; they become text."""
MAX_DEPTH = 100
"""Values that are nested deeper are refused: every later reader of JSON has a limit of its own."""

AnyJson = TypeVar("AnyJson", bound=Json)


class NotJson(Invalid):
    """A value that cannot be written down as JSON."""

    code = "not_json"


def sanitise_text(text: str, *, max_characters: int | None = None) -> str:
    """Without control characters; surrogate pairs become the character that they mean, lone ones U+FFFD; cut at `max_characters`."""
    if not text.isascii() and _SURROGATE.search(text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return _CONTROL.sub("", text)[:max_characters]


def shorten_text(text: str, *, max_characters: int) -> str:
    """Keeps the beginning and the end: a program's output says what it does first and what went wrong last."""
    if len(text) <= max_characters:
        return text
    head = max_characters // 2
    tail = max_characters - head
    return f"{text[:head]}\n… [cut: {len(text) - max_characters} characters] …\n{text[-tail:]}"


def sanitise(value: AnyJson) -> AnyJson:
    """The same value with every text in it clean, keys too; NaN and infinities become None. Tuples become lists.

    Errors: `NotJson`.
    """
    return cast(AnyJson, _sanitise(value, depth=0))


def _sanitise(value: object, *, depth: int) -> Json:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return sanitise_text(value)
    if isinstance(value, int):
        return value if -_INTEGER_LIMIT <= value < _INTEGER_LIMIT else str(value)
    if isinstance(value, float):
        return value if isfinite(value) else None
    if depth == MAX_DEPTH:
        raise NotJson(f"nested deeper than {MAX_DEPTH} levels")
    if isinstance(value, Mapping):
        return {_key(key): _sanitise(item, depth=depth + 1) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        return [_sanitise(item, depth=depth + 1) for item in value]
    raise NotJson(f"a value of type {type(value).__name__} is not JSON")


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise NotJson(f"a key of a JSON object is text, not {type(key).__name__}")
    return sanitise_text(key)
