"""Errors on the wire: RFC 9457 problem details, always."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson
from fastapi import Response
from starlette.types import Scope

from shadowgraph.api.error_docs import title_of, type_of

PROBLEM_JSON = "application/problem+json"

DEFAULT_RETRY_AFTER_SECONDS = {429: 1, 503: 5}
"""These statuses always say when to come back."""


@dataclass(frozen=True, slots=True)
class Problem:
    status: int
    code: str
    detail: str
    hint: str | None = None
    retryable: bool = False
    errors: Sequence[Mapping[str, str]] = ()
    """[{pointer, detail}]"""
    retry_after_seconds: int | None = None
    facts: Mapping[str, object] = field(default_factory=dict)
    """Extension members."""
    headers: Mapping[str, str] = field(default_factory=dict)


def problem_response(problem: Problem, scope: Scope) -> Response:
    retry_after = problem.retry_after_seconds or DEFAULT_RETRY_AFTER_SECONDS.get(problem.status)
    headers = dict(problem.headers) | ({} if retry_after is None else {"Retry-After": str(retry_after)})
    body = orjson.dumps(_members(problem, scope), default=str)
    return Response(body, status_code=problem.status, headers=headers, media_type=PROBLEM_JSON)


def _members(problem: Problem, scope: Scope) -> dict[str, object]:
    members = {
        **problem.facts,
        "type": type_of(problem.code),
        "title": title_of(problem.code),
        "status": problem.status,
        "detail": problem.detail,
        "instance": scope["path"],
        "code": problem.code,
        "request_id": scope.get("state", {}).get("request_id"),
        "retryable": problem.retryable,
    }
    if problem.hint:
        members["hint"] = problem.hint
    if problem.errors:
        members["errors"] = list(problem.errors)
    return members
