"""The OpenAPI document: FastAPI's, with the shape of errors in it."""

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from shadowgraph.api.schemas.problems import Problem

TITLE = "Shadowgraph"
DESCRIPTION = """Runs LangGraph graphs as durable, metered jobs.

`POST /runs` stores a run and answers at once; follow it with `GET /runs/{run_id}/events`. All paths below `/api/v1` also stand at the root.
Every error is `application/problem+json` (RFC 9457) with a stable `code`; `GET /errors/{code}` explains it. Fields and enum values may be
added at any time: readers must accept what they do not know.
"""
TAGS = [
    {"name": "runs", "description": "Start, find, follow, steer and end runs."},
    {"name": "interactions", "description": "Questions and approvals that wait for a person."},
    {"name": "threads", "description": "Conversations: runs that continue each other."},
    {"name": "files", "description": "What a run produced."},
    {"name": "workflows", "description": "The graphs that can be run."},
    {"name": "costs", "description": "What calls cost, budgets that stop them, and prices."},
    {"name": "routes", "description": "Which models answer, and how they are."},
    {"name": "health", "description": "Whether the server can do its work."},
    {"name": "upkeep", "description": "What keeps the database small."},
]


def build_document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=TITLE, version=version("shadowgraph"), description=DESCRIPTION, tags=TAGS, routes=app.routes
    )
    shape = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas |= shape.pop("$defs", {}) | {"Problem": shape}
    document["components"]["schemas"] = dict(sorted(schemas.items()))
    return document
