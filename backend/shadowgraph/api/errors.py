"""Turns what went wrong into a problem. Nothing else in the program knows HTTP statuses."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from shadowgraph.api.error_docs import ERROR_DOCS
from shadowgraph.api.problems import Problem, problem_response
from shadowgraph.core.errors import Kind, ShadowgraphError
from shadowgraph.db.engine import is_outage

log = logging.getLogger(__name__)

STATUS_OF_KIND: Mapping[Kind, int] = {
    "not_found": 404,
    "conflict": 409,
    "invalid": 422,
    "forbidden": 403,
    "over_budget": 402,
    "unavailable": 503,
    "internal": 500,
}
"""For a code that has no entry in `error_docs.py`."""

CODE_OF_STATUS = {404: "not_found", 405: "method_not_allowed"}
"""What the framework itself refuses."""

MAX_REPORTED_ERRORS = 20
MAX_DETAIL_CHARACTERS = 300

INTERNAL_PROBLEM = Problem(500, "internal", "the server met a defect of its own", hint=ERROR_DOCS["internal"].remedy)
OUTAGE_PROBLEM = Problem(
    503,
    "database_unavailable",
    "the database does not answer",
    hint=ERROR_DOCS["database_unavailable"].remedy,
    retryable=True,
)


def add_error_handlers(app: FastAPI) -> None:
    """What no handler knows is caught by `EdgeMiddleware`."""
    app.add_exception_handler(ShadowgraphError, _handle_own)
    app.add_exception_handler(HTTPException, _handle_http)
    app.add_exception_handler(RequestValidationError, _handle_validation)
    app.add_exception_handler(SQLAlchemyError, _handle_database)


async def _handle_own(request: Request, error: Exception) -> Response:
    assert isinstance(error, ShadowgraphError)
    problem = problem_of(error)
    if problem.status == 500:
        _log_defect(request, error)
    return problem_response(problem, request.scope)


def problem_of(error: ShadowgraphError) -> Problem:
    doc = ERROR_DOCS.get(error.code)
    facts = dict(error.facts)
    errors, retry_after = facts.pop("errors", ()), facts.pop("retry_after", None)
    return Problem(
        status=(doc.status if doc else None) or STATUS_OF_KIND[error.kind],
        code=error.code,
        detail=error.message,
        hint=error.hint or (doc.remedy if doc else None),
        retryable=error.retryable,
        errors=errors if isinstance(errors, list | tuple) else (),
        retry_after_seconds=retry_after if isinstance(retry_after, int) else None,
        facts=facts,
    )


async def _handle_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    code = CODE_OF_STATUS.get(error.status_code, "internal" if error.status_code >= 500 else "invalid_request")
    problem = Problem(
        status=error.status_code,
        code=code,
        detail=_http_detail(request, error),
        hint=_http_hint(request, code),
        headers=_http_headers(request, error),
    )
    return problem_response(problem, request.scope)


def _http_detail(request: Request, error: HTTPException) -> str:
    path = request.scope["path"]
    if error.status_code == 404:
        return f"there is nothing at {path}"
    if error.status_code == 405:
        return f"{request.method} is not possible on {path}"
    return str(error.detail)


def _http_hint(request: Request, code: str) -> str:
    path = request.scope["path"]
    return "leave out the slash at the end" if code == "not_found" and path.endswith("/") else ERROR_DOCS[code].remedy


def _http_headers(request: Request, error: HTTPException) -> Mapping[str, str]:
    if error.status_code == 405:
        return {"Allow": ", ".join(request.app.state.allowed_methods(request.scope["path"]))}
    return error.headers or {}


async def _handle_database(request: Request, error: Exception) -> Response:
    if not is_outage(error):
        _log_defect(request, error)
        return problem_response(INTERNAL_PROBLEM, request.scope)
    log.warning("the database does not answer: %s", error, extra={"request_id": request.state.request_id})
    return problem_response(OUTAGE_PROBLEM, request.scope)


def _log_defect(request: Request, error: Exception) -> None:
    extra = {"request_id": request.state.request_id, "path": request.scope["path"]}
    log.error("a request failed", exc_info=error, extra=extra)


async def _handle_validation(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    own = next((item for item in found if item["type"] in ERROR_DOCS), None)
    code = str(own["type"]) if own else "invalid_request"
    places = [{"pointer": pointer_of(item), "detail": _detail_of(item)} for item in ([own] if own else found)]
    problem = Problem(
        status=422,
        code=code,
        detail=_summary_of(places),
        hint=(own or {}).get("ctx", {}).get("hint") or ERROR_DOCS[code].remedy,
        errors=places[:MAX_REPORTED_ERRORS],
    )
    return problem_response(problem, request.scope)


def _summary_of(places: Sequence[Mapping[str, str]]) -> str:
    first, more = places[0], len(places) - 1
    text = f"{first['pointer']} {first['detail']}".strip()
    return f"{text} (and {more} more)" if more else text


def pointer_of(item: Mapping[str, Any]) -> str:
    """Where in the request: a JSON pointer into the body, `?name` of a query parameter, or a header's name."""
    part, *rest = (str(step) for step in item["loc"])
    if name := item.get("ctx", {}).get("name"):  # a check of the whole object says itself which member it means
        rest = [*rest, str(name)]
    if part == "query":
        return f"?{rest[0]}" if rest else "?"
    if part == "header":
        return rest[0].title() if rest else ""
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in rest)


def _detail_of(item: Mapping[str, Any]) -> str:
    return str(item["msg"]).removeprefix("Value error, ")[:MAX_DETAIL_CHARACTERS]
