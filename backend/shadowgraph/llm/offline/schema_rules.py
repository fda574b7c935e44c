"""JSON schema, as far as filling one needs it: references, unions, and values bent until they satisfy the bounds."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from shadowgraph.core.json import Json
from shadowgraph.llm.offline.patterns import text_for_pattern

Schema = Mapping[str, Any]

MAX_LENGTH = 2_000_000
"""Longer texts are never asked for on purpose."""
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "duration": "PT1H",
    "email": "someone@example.org",
    "hostname": "example.org",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.org/",
    "url": "https://example.org/",
    "uuid": "01890000-0000-7000-8000-000000000000",
    "regex": ".*",
}
_FORMAT_CHECKS = {
    "date": re.compile(r"\d{4}-\d{2}-\d{2}\Z"),
    "date-time": re.compile(r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}"),
    "email": re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+\Z"),
    "uri": re.compile(r"[a-z][a-z0-9+.-]*:\S+\Z", re.IGNORECASE),
    "url": re.compile(r"https?://\S+\Z", re.IGNORECASE),
}


def resolve(schema: Any, root: Schema) -> Schema:
    """The schema behind references, with the parts of `allOf` merged. `true` and whatever is no schema become `{}`: anything goes."""
    seen = 0
    while isinstance(schema, Mapping) and isinstance(schema.get("$ref"), str) and seen < 32:
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        target = _follow(schema["$ref"], root)
        schema = {**target, **beside} if isinstance(target, Mapping) else beside
        seen += 1
    if not isinstance(schema, Mapping):
        return {}
    return (
        _merge([{**schema, "allOf": None}, *(resolve(part, root) for part in schema["allOf"])])
        if schema.get("allOf")
        else schema
    )


def type_of(schema: Schema) -> str | None:
    """The one type to fill, guessed from the other keywords when none is written; None: anything goes."""
    written = schema.get("type")
    if isinstance(written, str):
        return written
    if isinstance(written, Sequence):
        return next((str(name) for name in written if name != "null"), "null")
    for keywords, name in _TELLING_KEYWORDS:
        if any(keyword in schema for keyword in keywords):
            return name
    return None


def allows_null(schema: Schema) -> bool:
    written = schema.get("type")
    options = schema.get("anyOf") or schema.get("oneOf") or ()
    return (
        written == "null"
        or (isinstance(written, list) and "null" in written)
        or any(isinstance(option, Mapping) and option.get("type") == "null" for option in options)
    )


def fit_text(text: str, schema: Schema) -> str:
    """The text, changed until format, pattern and length are right (a pattern is met as far as it can be built)."""
    wanted = schema.get("format")
    if isinstance(wanted, str) and wanted in _FORMATS and not _has_format(text, wanted):
        text = _FORMATS[wanted]
    pattern = schema.get("pattern")
    if isinstance(pattern, str) and not _matches(pattern, text):
        text = text_for_pattern(pattern) or text
    shortest, longest = _bound(schema, "minLength", 0), _bound(schema, "maxLength", MAX_LENGTH)
    if len(text) < shortest:
        text += ("." if text else "x") * (shortest - len(text))
    return text[:longest]


def fit_number(number: float, schema: Schema, *, is_integer: bool) -> int | float:
    step = schema.get("multipleOf") or (1 if is_integer else 0)
    lowest, highest = _lowest(schema, step), _highest(schema, step)
    value = min(max(number, lowest), highest) if lowest <= highest else lowest
    if step:
        value = round(value / step) * step
        value += step if value < lowest else -step if value > highest else 0
    return int(value) if is_integer else float(value)


def fit_count(count: int, schema: Schema) -> int:
    """How many items an array gets that has `count` to offer."""
    return max(_bound(schema, "minItems", 0), min(count, _bound(schema, "maxItems", count)))


def make_unique(items: Sequence[Json]) -> list[Json]:
    """Repeated texts get a number, other repetitions go."""
    result: list[Json] = []
    for item in items:
        candidate: Json = item
        number = 2
        while candidate in result and isinstance(item, str):
            candidate, number = f"{item} {number}", number + 1
        if candidate not in result:
            result.append(candidate)
    return result


_TELLING_KEYWORDS = (
    (("properties", "additionalProperties", "required"), "object"),
    (("items", "prefixItems", "minItems", "maxItems"), "array"),
    (("pattern", "minLength", "maxLength", "format"), "string"),
    (("minimum", "maximum", "multipleOf", "exclusiveMinimum", "exclusiveMaximum"), "number"),
)


def _follow(reference: str, root: Schema) -> Any:
    """A pointer inside the document; other documents are out of reach."""
    node: Any = root
    for part in reference.removeprefix("#").strip("/").split("/") if reference.strip("#/") else []:
        name = part.replace("~1", "/").replace("~0", "~")
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


def _merge(parts: Sequence[Schema]) -> Schema:
    merged: dict[str, Any] = {}
    for part in parts:
        for name, value in part.items():
            if name in {"properties", "$defs"} and isinstance(value, Mapping):
                merged[name] = {**merged.get(name, {}), **value}
            elif name == "required" and isinstance(value, list):
                merged[name] = [*merged.get(name, []), *value]
            elif value is not None:
                merged[name] = value
    return merged


def _has_format(text: str, name: str) -> bool:
    check = _FORMAT_CHECKS.get(name)
    return bool(check and check.match(text))


def _matches(pattern: str, text: str) -> bool:
    try:
        return bool(re.search(pattern, text[:1_000]))
    except re.error:
        return True  # a pattern of another dialect: nothing can be said


def _bound(schema: Schema, name: str, otherwise: int) -> int:
    value = schema.get(name)
    return max(0, min(value, MAX_LENGTH)) if isinstance(value, int) and not isinstance(value, bool) else otherwise


def _lowest(schema: Schema, step: float) -> float:
    exclusive = _number(schema, "exclusiveMinimum")
    inclusive = _number(schema, "minimum")
    above = None if exclusive is None else exclusive + (step or _gap(exclusive))
    return max((bound for bound in (above, inclusive) if bound is not None), default=float("-inf"))


def _highest(schema: Schema, step: float) -> float:
    exclusive = _number(schema, "exclusiveMaximum")
    inclusive = _number(schema, "maximum")
    below = None if exclusive is None else exclusive - (step or _gap(exclusive))
    return min((bound for bound in (below, inclusive) if bound is not None), default=float("inf"))


def _gap(bound: float) -> float:
    return max(abs(bound) * 1e-6, 1e-6)


def _number(schema: Schema, name: str) -> float | None:
    value = schema.get(name)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
