"""A server that speaks the API's wire shapes from a script, on a real port: for the commands that speak HTTP."""

import asyncio
import hashlib
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.support.waiting import wait_until

RUN_ID = "run_019a0000-0000-7000-8000-000000000000"
QUESTION_ID = "int_019a0000-0000-7000-8000-000000000000"
CREATED_AT = "2026-01-01T12:00:00Z"
PROVIDER_KEY = "gsk_the_key_that_works"
ENDED = ("COMPLETED", "FAILED", "CANCELLED")


def make_run(run_id: str = RUN_ID, **changes: Any) -> dict[str, Any]:
    """A run on the wire, COMPLETED unless told otherwise."""
    run: dict[str, Any] = {
        "id": run_id,
        "status": "COMPLETED",
        "reason": None,
        "workflow": "pipeline",
        "version": "v1",
        "preview": "Build a snake game",
        "thread_id": run_id,
        "parent_run_id": None,
        "parent_checkpoint_id": None,
        "subject": None,
        "metadata": {},
        "priority": 0,
        "max_steps": None,
        "control": None,
        "deadline_at": None,
        "created_at": CREATED_AT,
        "started_at": CREATED_AT,
        "finished_at": "2026-01-01T12:00:04.500000Z",
        "error": None,
        "usage": {"prompt_tokens": 1200, "completion_tokens": 300, "cost_usd": 0, "cost_state": "synthetic"},
        "links": {"self": f"/api/v1/runs/{run_id}"},
        "input": {"query": "Build a snake game"},
        "query": "Build a snake game",
        "result": {"answer": "A snake game in one file."},
        "interactions": [],
    }
    return {**run, **changes}


def make_question(**changes: Any) -> dict[str, Any]:
    """An open one on the wire."""
    question = {
        "id": QUESTION_ID,
        "run_id": RUN_ID,
        "node": "approve",
        "status": "open",
        "question": {"question": "Publish it?"},
        "schema": {"type": "boolean"},
        "has_default": False,
        "default": None,
        "deadline_at": "2026-01-08T12:00:00Z",
        "answer": None,
        "who": None,
        "created_at": CREATED_AT,
        "answered_at": None,
        "links": {"self": f"/api/v1/interactions/{QUESTION_ID}"},
    }
    return {**question, **changes}


def make_event(seq: int | None, kind: str, /, **data: Any) -> dict[str, Any]:
    second = 0 if seq is None else seq
    return {"run_id": RUN_ID, "seq": seq, "type": kind, "at": f"2026-01-01T12:00:{second:02}Z", "data": data}


@dataclass(slots=True)
class Seen:
    """One request that the server got."""

    method: str
    path: str
    query: list[tuple[str, str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(slots=True)
class FakeApi:
    """The script: what there is, and how the event stream behaves."""

    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    artifacts: dict[str, bytes] = field(default_factory=dict)
    listed_artifacts: list[dict[str, Any]] | None = None
    """What the list claims, when it differs from what there is."""
    page_size: int = 100
    cut_stream_after: list[int] = field(default_factory=list)
    """The next streams break off after so many events, without an end."""
    ends_on_cancel: bool = True
    scripted: dict[tuple[str, str], Any] = field(default_factory=dict)
    """What any other route answers, by method and path: a body, or a whole response."""
    answer_all_with: Response | None = None
    seen: list[Seen] = field(default_factory=list)
    url: str = ""

    def last(self, method: str, path: str) -> Seen:
        return next(seen for seen in reversed(self.seen) if (seen.method, seen.path) == (method, path))

    def end_run(self, **changes: Any) -> None:
        self.runs[RUN_ID] = make_run(**changes)
        self.events.append(make_event(len(self.events) + 1, "run.finished", run=self.runs[RUN_ID], status="COMPLETED"))


def build_app(api: FakeApi) -> Starlette:
    async def note(request: Request) -> Response | None:
        headers = dict(request.headers)
        api.seen.append(
            Seen(request.method, request.url.path, request.query_params.multi_items(), headers, await request.body())
        )
        return api.answer_all_with

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "name": "shadowgraph", "version": "0"})

    async def post_run(request: Request) -> Response:
        if refused := await note(request):
            return refused
        body = await request.json()
        if body.get("workflow") == "unknown":
            errors = [{"pointer": "/workflow", "detail": "is not known"}]
            return problem(
                422, "unknown_workflow", "there is no workflow 'unknown'", hint="known: pipeline", errors=errors
            )
        run = api.runs.get(RUN_ID) or make_run(status="QUEUED", result=None, finished_at=None)
        api.runs[RUN_ID] = run
        started = {**run, "status": "QUEUED", "result": None}
        return JSONResponse(started, status_code=202, headers={"Location": f"/api/v1/runs/{RUN_ID}"})

    async def list_runs(request: Request) -> Response:
        if refused := await note(request):
            return refused
        return page(request, list(api.runs.values()))

    async def get_run(request: Request) -> Response:
        if refused := await note(request):
            return refused
        run = api.runs.get(request.path_params["run_id"])
        return JSONResponse(run) if run else not_found(request)

    async def cancel(request: Request) -> Response:
        if refused := await note(request):
            return refused
        run = api.runs.get(request.path_params["run_id"])
        if run is None:
            return not_found(request)
        if run["status"] in ENDED:
            return problem(409, "wrong_state", f"the run is {run['status']} already")
        if api.ends_on_cancel:
            api.end_run(status="CANCELLED", result=None)
        else:
            api.runs[RUN_ID] = {**run, "control": "cancel"}
        return JSONResponse(api.runs[RUN_ID], status_code=202)

    async def steps(request: Request) -> Response:
        return JSONResponse({"items": api.steps, "next_cursor": None})

    async def list_artifacts(request: Request) -> Response:
        if refused := await note(request):
            return refused
        listed = [describe_artifact(path, body) for path, body in api.artifacts.items()]
        return page(request, listed if api.listed_artifacts is None else api.listed_artifacts)

    async def get_artifact(request: Request) -> Response:
        await note(request)
        body = api.artifacts.get(request.path_params["path"])
        return not_found(request) if body is None else Response(body)

    async def export(request: Request) -> Response:
        form = request.path_params["form"]
        return Response(b'{"format": "x"}' if form == "json" else b"# Snake\r\n", media_type="text/plain")

    async def stream(request: Request) -> Response:
        await note(request)
        if request.path_params["run_id"] not in api.runs:
            return not_found(request)
        after = int(request.headers.get("last-event-id", "0"))
        run = api.runs[RUN_ID]
        if run["status"] in ENDED and after >= len(api.events):
            return Response(status_code=204)
        limit = api.cut_stream_after.pop(0) if api.cut_stream_after else None
        return StreamingResponse(frames(api, after=after, limit=limit), media_type="text/event-stream")

    async def models(request: Request) -> Response:
        """As a provider answers it, to one key."""
        if request.headers.get("authorization") != f"Bearer {PROVIDER_KEY}":
            return JSONResponse({"error": {"message": "invalid key"}}, status_code=401)
        return JSONResponse({"data": [{"id": "openai/gpt-oss-120b"}]})

    async def scripted(request: Request) -> Response:
        if refused := await note(request):
            return refused
        answer = api.scripted.get((request.method, request.url.path.removeprefix("/api/v1")))
        if answer is None:
            return not_found(request)
        return answer if isinstance(answer, Response) else JSONResponse(answer)

    def page(request: Request, items: list[Any]) -> Response:
        start = int(request.query_params.get("cursor", "0"))
        end = start + api.page_size
        return JSONResponse({"items": items[start:end], "next_cursor": str(end) if end < len(items) else None})

    routes = [
        Route("/healthz", health),
        Route("/openai/v1/models", models),
        *(
            Route(prefix + path, endpoint, methods=[method])
            for prefix in ("", "/api/v1")
            for method, path, endpoint in [
                ("POST", "/runs", post_run),
                ("GET", "/runs", list_runs),
                ("GET", "/runs/{run_id}", get_run),
                ("POST", "/runs/{run_id}/cancel", cancel),
                ("GET", "/runs/{run_id}/steps", steps),
                ("GET", "/runs/{run_id}/events", stream),
                ("GET", "/runs/{run_id}/artifacts", list_artifacts),
                ("GET", "/runs/{run_id}/artifacts/{path:path}", get_artifact),
                ("GET", "/runs/{run_id}/export.{form}", export),
            ]
        ),
        Route("/{path:path}", scripted, methods=["GET", "POST", "PUT", "PATCH", "DELETE"]),
    ]
    return Starlette(routes=routes)


async def frames(api: FakeApi, *, after: int, limit: int | None) -> AsyncIterator[str]:
    """Stored events after a number, then new ones, until the run has ended. A live frame carries no id."""
    sent = 0
    while True:
        while after < len(api.events):
            if limit is not None and sent == limit:
                return
            event = api.events[after]
            after, sent = after + 1, sent + 1
            number = "" if event["seq"] is None else f"id: {after}\n"
            yield f"event: {event['type']}\n{number}data: {json.dumps(event)}\n\n"
            yield ": ping\n\n"
        if api.runs[RUN_ID]["status"] in ENDED:
            return
        await _wait_for_event(api, after)


async def _wait_for_event(api: FakeApi, after: int) -> None:
    await wait_until(lambda: after < len(api.events), timeout_seconds=30, what="another event")


def describe_artifact(path: str, body: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(body).hexdigest()
    return {"path": path, "media_type": "text/plain", "size": len(body), "sha256": digest, "node": "coder"}


def problem(status: int, code: str, detail: str, **members: Any) -> Response:
    body = {"type": f"/errors/{code}", "title": code, "status": status, "detail": detail, "code": code, **members}
    return JSONResponse(
        {**body, "request_id": "req_1", "retryable": False}, status_code=status, media_type="application/problem+json"
    )


def not_found(request: Request) -> Response:
    return problem(404, "run_not_found", f"there is nothing at {request.url.path}")


class FakeServer:
    """Listens while the block is open. Each test puts a script of its own into it."""

    def __init__(self) -> None:
        self._app: Any = None
        self.url = ""

    def play(self, api: FakeApi) -> None:
        api.url = self.url
        self._app = build_app(api)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app(scope, receive, send)

    @contextmanager
    def listening(self) -> Iterator["FakeServer"]:
        config = uvicorn.Config(self, port=0, log_config=None, lifespan="off", ws="none", timeout_graceful_shutdown=0)
        server = uvicorn.Server(config)
        listener = config.bind_socket()
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=asyncio.run, args=(server.serve(sockets=[listener]),))
        thread.start()
        try:
            yield self
        finally:
            server.should_exit = server.force_exit = True
            thread.join()
            listener.close()
