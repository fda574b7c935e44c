"""Checks of a run's input against the schema of its workflow."""

from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from shadowgraph.core.errors import Invalid
from shadowgraph.core.json import Json, JsonObject

MAX_REPORTED_ERRORS = 10


class InvalidInput(Invalid):
    """The input does not fit the workflow. `errors` names each place: [{pointer, detail}]."""

    code = "invalid_input"


def check_input(workflow: str, schema: JsonObject, value: Json) -> None:
    """Errors: `InvalidInput`, also for text that no database can store and for keys that the graph would silently drop."""
    errors = [*_text_errors(value, "/input"), *_schema_errors(schema, value)]
    if errors:
        raise InvalidInput(
            f"the input does not fit workflow {workflow!r}: {errors[0]['pointer']} {errors[0]['detail']}",
            errors=errors[:MAX_REPORTED_ERRORS],
        )


def check_storable(value: Json, pointer: str) -> None:
    """Errors: `InvalidInput` for text that no database can store."""
    errors = [*_text_errors(value, pointer)]
    if errors:
        raise InvalidInput(f"{errors[0]['pointer']} {errors[0]['detail']}", errors=errors[:MAX_REPORTED_ERRORS])


def _schema_errors(schema: JsonObject, value: Json) -> Iterator[dict[str, str]]:
    for error in Draft202012Validator(dict(schema)).iter_errors(value):
        yield {"pointer": _pointer(error), "detail": error.message[:300]}
    yield from _unknown_keys(schema, value)
    yield from _undecodable(schema, value)


def _unknown_keys(schema: JsonObject, value: Json) -> Iterator[dict[str, str]]:
    known = schema.get("properties")
    if not isinstance(known, Mapping) or not isinstance(value, Mapping) or "additionalProperties" in schema:
        return
    for key in value.keys() - known.keys():
        yield {"pointer": f"/input/{key}", "detail": f"is not known; known are {', '.join(sorted(known))}"}


def with_bytes(schema: JsonObject, value: Any) -> Any:
    """The input with the bytes that its texts in base64 stand for; it has passed `check_input`."""
    binary = _binary_keys(schema, value)
    return {**value, **{key: b64decode(value[key]) for key in binary}} if binary else value


def _undecodable(schema: JsonObject, value: Any) -> Iterator[dict[str, str]]:
    for key in _binary_keys(schema, value):
        try:
            b64decode(value[key], validate=True)
        except ValueError:
            yield {"pointer": f"/input/{key}", "detail": "is not base64"}


def _binary_keys(schema: JsonObject, value: Any) -> list[str]:
    """Those of the input whose text stands for bytes."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not isinstance(value, Mapping):
        return []
    return [key for key, item in value.items() if isinstance(item, str) and _is_binary(properties.get(key))]


def _is_binary(described: Any) -> bool:
    """`bytes`, or `bytes | None`; what may be text too is text."""
    if not isinstance(described, Mapping):
        return False
    choices = [item for item in described.get("anyOf", [described]) if item.get("type") != "null"]
    return [item.get("format") for item in choices] == ["binary"]


def _text_errors(value: Any, pointer: str) -> Iterator[dict[str, str]]:
    if isinstance(value, str) and not is_storable(value):
        yield {"pointer": pointer, "detail": "has a NUL character or half of a surrogate pair"}
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _text_errors(key, pointer)
            yield from _text_errors(item, f"{pointer}/{key}")
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _text_errors(item, f"{pointer}/{index}")


def is_storable(text: str) -> bool:
    """PostgreSQL stores neither NUL nor lone surrogates in text."""
    return "\x00" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _pointer(error: ValidationError) -> str:
    return "/input" + "".join(f"/{part}" for part in error.absolute_path)
