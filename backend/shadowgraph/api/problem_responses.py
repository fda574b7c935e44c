"""Says in the schema which errors a route can answer with."""

from collections import defaultdict
from typing import Any

from shadowgraph.api.error_docs import ERROR_DOCS, type_of
from shadowgraph.api.problems import PROBLEM_JSON

PROBLEM_REF = {"$ref": "#/components/schemas/Problem"}

EVERYWHERE = ("host_not_allowed", "invalid_request", "internal", "database_unavailable")
"""Codes that any route may answer with."""

BODY = ("body_too_large", "unsupported_media_type", "empty_body", "malformed_json", "json_too_deep")
"""Codes of routes that take a JSON body."""

ADMISSION = ("queue_full", "too_many_runs", "queue_too_old")
"""Codes of routes that start a run."""


def problems(*codes: str) -> dict[int | str, dict[str, Any]]:
    """For a route's `responses`: these codes and those that every route has, by status."""
    by_status: dict[int, list[str]] = defaultdict(list)
    for code in dict.fromkeys((*codes, *EVERYWHERE)):
        status = ERROR_DOCS[code].status
        assert status is not None, f"{code} is an error of runs"
        by_status[status].append(code)
    return {status: _response(status, found) for status, found in sorted(by_status.items())}


def _response(status: int, codes: list[str]) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": "; ".join(f"`{code}`: {ERROR_DOCS[code].title}" for code in codes),
        "content": {
            PROBLEM_JSON: {"schema": PROBLEM_REF, "examples": {code: {"value": _example(code)} for code in codes}}
        },
    }
    if status in (429, 503):
        response["headers"] = {
            "Retry-After": {"description": "Seconds.", "schema": {"type": "integer"}, "required": True}
        }
    return response


def _example(code: str) -> dict[str, Any]:
    doc = ERROR_DOCS[code]
    return {
        "type": type_of(code),
        "title": doc.title,
        "status": doc.status,
        "detail": doc.meaning,
        "instance": "/api/v1/runs",
        "code": code,
        "hint": doc.remedy,
        "request_id": "req_019a0000-0000-7000-8000-000000000001",
        "retryable": doc.status in (429, 503),
    }
