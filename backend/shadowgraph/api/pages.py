"""Pages for people: where to begin, the API docs from local files, and what each error means."""

from html import escape
from importlib.resources import files
from typing import Annotated

import fastapi_offline
from fastapi import APIRouter, Header, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

from shadowgraph.api.error_docs import ERROR_DOCS, ERRORS_PATH, ErrorDoc

router = APIRouter(include_in_schema=False)

ASSETS = files(fastapi_offline) / "static"
ASSET_TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon.png": "image/png",
}
ASSET_HEADERS = {"Cache-Control": "public, max-age=86400"}

PAGE_POLICY = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"
DOCS_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; "
    "frame-ancestors 'none'"
)
"""Only files of our own: the page works without any network."""

DOCS_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Shadowgraph API</title>
<link rel="icon" href="/docs/assets/favicon.png">
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/assets/start.js"></script>
</body>
</html>
"""
START_SCRIPT = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", deepLinking: true});\n'

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>body {{ font: 16px/1.5 system-ui, sans-serif; margin: 3rem auto; max-width: 42rem; padding: 0 1rem; }}</style>
</head>
<body>
{body}
</body>
</html>
"""
START_BODY = """<h1>Shadowgraph</h1>
<p>The server runs. <a href="/docs">API docs</a> · <a href="/api/v1/runs">runs</a> · <a href="/api/v1/workflows">workflows</a> ·
<a href="/readyz">readiness</a> · <a href="/errors">error codes</a></p>
<pre>curl -X POST /api/v1/runs -H 'Content-Type: application/json' -d '{"query": "Build a snake game"}'</pre>"""


@router.get("/")
async def show_start() -> HTMLResponse:
    return _page("Shadowgraph", START_BODY)


@router.get("/docs")
async def show_docs() -> HTMLResponse:
    return HTMLResponse(DOCS_PAGE, headers={"Content-Security-Policy": DOCS_POLICY})


@router.get("/docs/assets/{name}")
async def get_docs_asset(name: str) -> Response:
    if name == "start.js":
        return Response(START_SCRIPT, media_type="text/javascript", headers=ASSET_HEADERS)
    if name not in ASSET_TYPES:
        raise HTTPException(404)
    return Response((ASSETS / name).read_bytes(), media_type=ASSET_TYPES[name], headers=ASSET_HEADERS)


@router.get(ERRORS_PATH)
async def list_errors() -> HTMLResponse:
    rows = "".join(
        f'<li><a href="{ERRORS_PATH}/{code}"><code>{code}</code></a> {escape(doc.title)}</li>'
        for code, doc in sorted(ERROR_DOCS.items())
    )
    return _page("Error codes", f"<h1>Error codes</h1><ul>{rows}</ul>")


@router.get(ERRORS_PATH + "/{code}")
async def show_error(code: str, accept: Annotated[str, Header()] = "") -> Response:
    doc = ERROR_DOCS.get(code)
    if doc is None:
        raise HTTPException(404)
    if "application/json" in accept:
        return JSONResponse(
            {"code": code, "status": doc.status, "title": doc.title, "meaning": doc.meaning, "remedy": doc.remedy}
        )
    return _page(doc.title, _error_body(code, doc))


def _error_body(code: str, doc: ErrorDoc) -> str:
    where = "a run's own error" if doc.status is None else f"status {doc.status}"
    return (
        f"<h1>{escape(doc.title)}</h1><p><code>{code}</code>, {where}</p>"
        f"<p>{escape(doc.meaning)}</p><p>{escape(doc.remedy)}</p><p><a href='{ERRORS_PATH}'>All error codes</a></p>"
    )


def _page(title: str, body: str) -> HTMLResponse:
    return HTMLResponse(PAGE.format(title=escape(title), body=body), headers={"Content-Security-Policy": PAGE_POLICY})
