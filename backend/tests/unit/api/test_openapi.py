import json
from typing import Any

import pytest

from shadowgraph.api.openapi import COMMITTED, render

DOCUMENT: dict[str, Any] = json.loads(render())
OPERATIONS: list[dict[str, Any]] = [
    operation for methods in DOCUMENT["paths"].values() for operation in methods.values()
]
NAMES = [operation["operationId"] for operation in OPERATIONS]


def test_the_committed_document_is_what_the_code_says() -> None:
    assert COMMITTED.read_text(encoding="utf-8") == render(), "run: python -m shadowgraph.api.openapi --write"


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_an_operation_is_described(operation: dict[str, Any]) -> None:
    assert operation["operationId"].isidentifier()
    assert operation["tags"]
    assert operation["summary"]
    assert operation["description"]


@pytest.mark.parametrize("operation", OPERATIONS, ids=NAMES)
def test_the_errors_of_an_operation_are_problems(operation: dict[str, Any]) -> None:
    errors = {status: answer for status, answer in operation["responses"].items() if int(status) >= 400}

    assert {"421", "422", "500", "503"} <= errors.keys()
    for answer in errors.values():
        assert list(answer["content"]) == ["application/problem+json"]
        assert answer["content"]["application/problem+json"]["schema"] == {"$ref": "#/components/schemas/Problem"}
        assert answer["content"]["application/problem+json"]["examples"]
    for status in errors.keys() & {"429", "503"}:
        assert "Retry-After" in errors[status]["headers"]


def test_names_of_operations_are_unique() -> None:
    assert len(NAMES) == len(set(NAMES))


def test_the_root_twins_are_not_described_twice() -> None:
    assert all(path.startswith("/api/v1/") or path in ("/healthz", "/readyz") for path in DOCUMENT["paths"])


def test_every_reference_leads_somewhere() -> None:
    references = set(_references(DOCUMENT))

    assert references
    for reference in references:
        _, kind, *path = reference.split("/")
        found = DOCUMENT[kind]
        for part in path:
            found = found[part]


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [found for item in value.values() for found in _references(item)]
    if isinstance(value, list):
        return [found for item in value for found in _references(item)]
    return []
