"""Puts the HTTP API together."""

import re
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware.cors import CORSMiddleware

from shadowgraph.api import pages
from shadowgraph.api.body_limit import BodyLimitMiddleware
from shadowgraph.api.document import TITLE, build_document
from shadowgraph.api.edge import REQUEST_ID_HEADER, EdgeMiddleware
from shadowgraph.api.errors import add_error_handlers
from shadowgraph.api.hosts import HostMiddleware, HostRules, split_names
from shadowgraph.api.routes import (
    budgets,
    collecting,
    costs,
    deletion,
    health,
    interactions,
    model_routes,
    prices,
    releases,
    run_details,
    run_files,
    run_history,
    run_verbs,
    runs,
    snapshots,
    threads,
    versions,
    workflows,
)
from shadowgraph.api.schemas.common import API_PREFIX
from shadowgraph.api.services import ApiServices
from shadowgraph.versioning.archive import MAX_ARCHIVE_BYTES

RESOURCES = (
    runs.router,
    run_verbs.router,
    run_details.router,
    run_history.router,
    run_files.router,
    interactions.router,
    threads.router,
    deletion.router,
    collecting.router,
    workflows.router,
    model_routes.router,
    costs.router,
    budgets.router,
    prices.router,
    versions.uploads,
    versions.router,
    releases.router,
    snapshots.router,
)
"""Stand below `/api/v1`, and once more at the root, where users' documents have them."""
AT_ROOT = (health.router, pages.router)

LARGER_BODIES = {re.compile(rf"({API_PREFIX})?/workflows/[^/]+/versions\Z"): MAX_ARCHIVE_BYTES}
"""Versions come as archives."""

EXPOSED_HEADERS = ("ETag", "Idempotency-Replayed", "Location", "Retry-After", REQUEST_ID_HEADER)
"""What a page of an allowed origin may read."""


def create_app(services: ApiServices) -> FastAPI:
    app = build_routes()
    app.state.services = services
    app.state.allowed_methods = allowed_methods
    add_error_handlers(app)
    _add_middleware(app, services)
    return app


def build_routes() -> FastAPI:
    """All routes without what they need to answer: enough to describe them."""
    app = FastAPI(
        title=TITLE,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    for router in RESOURCES:
        app.include_router(router, prefix=API_PREFIX)
        app.include_router(router, include_in_schema=False)
    for router in AT_ROOT:
        app.include_router(router)
    app.openapi = lambda: _document_of(app)  # type: ignore[method-assign]  # the framework's documented way
    return app


def _document_of(app: FastAPI) -> dict[str, Any]:
    """Built when somebody asks for the first time: it takes longer than the start of the whole API."""
    if app.openapi_schema is None:
        app.openapi_schema = build_document(app)
    return app.openapi_schema


def allowed_methods(path: str) -> list[str]:
    """Of all routes at this path; the framework itself names those of the first one only."""
    short = path.removeprefix(API_PREFIX)
    routes = [route for router in (*RESOURCES, *AT_ROOT) for route in router.routes if isinstance(route, APIRoute)]
    return sorted({method for route in routes if route.path_regex.match(short) for method in route.methods or ()})


def _operation_id(route: APIRoute) -> str:
    return route.name


def _add_middleware(app: FastAPI, services: ApiServices) -> None:
    """The one that is added last sees a request first."""
    app.add_middleware(BodyLimitMiddleware, max_bytes=services.settings.max_input_bytes, larger=LARGER_BODIES)
    origins = split_names(services.settings.allowed_origins)
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=EXPOSED_HEADERS,
        )
    app.add_middleware(HostMiddleware, rules=HostRules(services.settings))
    app.add_middleware(EdgeMiddleware)
