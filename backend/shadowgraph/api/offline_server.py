"""The offline model over HTTP, as Groq and OpenAI speak it: the true clients talk to it in tests and demos. Listens on this machine only.

`GET /calls` lists the chat requests it got, so that a test can count what was really asked; `DELETE /calls` forgets them.
"""

from collections.abc import Callable
from http import HTTPStatus

import uvicorn
from fastapi import FastAPI, Request, Response
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import JSONResponse

from shadowgraph.api.offline_wire import ChatBody, CutResponse, EventResponse, Wire, error_response, whole_answer
from shadowgraph.api.server import bind, url_of
from shadowgraph.core.clock import Clock, SystemClock
from shadowgraph.llm.offline.calls import CALL_HEADER
from shadowgraph.llm.offline.failures import INJECTED
from shadowgraph.llm.offline.knobs import Knobs
from shadowgraph.llm.offline.recorder import CallRecorder, RecordedCall
from shadowgraph.llm.offline.service import (
    MODEL_NAME,
    InjectedCut,
    InjectedFailure,
    Piece,
    Sending,
    send,
    stream_reply,
)

HOST = "127.0.0.1"
MAX_BODY_BYTES = 4_000_000
"""As much as the service's own `/v1` takes; a larger request gets 413."""
_LOOPBACK_NAMES = ["127.0.0.1", "localhost", "[::1]"]
"""Any web page can send a browser here under a name of its own (DNS rebinding); other names are refused."""
_CHAT_PATHS = ("/openai/v1/chat/completions", "/v1/chat/completions")
_MODEL_PATHS = ("/openai/v1/models", "/v1/models")


def create_offline_app(knobs: Knobs, *, clock: Clock | None = None) -> FastAPI:
    service = _OfflineService(knobs, clock or SystemClock())
    app = FastAPI(title="Shadowgraph offline model", docs_url=None, redoc_url=None, openapi_url=None)
    for path in _CHAT_PATHS:
        app.add_api_route(path, service.chat, methods=["POST"])
    for path in _MODEL_PATHS:
        app.add_api_route(path, service.models, methods=["GET"])
    app.add_api_route("/healthz", _healthz, methods=["GET"])
    app.add_api_route("/calls", service.list_calls, methods=["GET"])
    app.add_api_route("/calls", service.forget_calls, methods=["DELETE"])
    app.add_exception_handler(HTTPException, _refused)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=_LOOPBACK_NAMES)
    return app


async def serve_offline(knobs: Knobs, *, port: int, on_listening: Callable[[str], None]) -> None:
    """Answers until the process is told to stop (Ctrl-C, SIGTERM). `on_listening` gets the base URL; port 0 takes a free one.

    Errors: `api.server.PortTaken`.
    """
    listener = bind(HOST, port)
    on_listening(url_of(listener))
    config = uvicorn.Config(create_offline_app(knobs), log_config=None, lifespan="off", ws="none", access_log=False)
    await uvicorn.Server(config).serve(sockets=[listener])


class _OfflineService:
    def __init__(self, knobs: Knobs, clock: Clock) -> None:
        self._knobs = knobs
        self._clock = clock
        self._recorder = CallRecorder()

    async def chat(self, request: Request) -> Response:
        raw = await request.body()
        if len(raw) > MAX_BODY_BYTES:
            return error_response(413, f"the request is larger than {MAX_BODY_BYTES} bytes", code="request_too_large")
        try:
            body = ChatBody.model_validate_json(raw)
        except ValidationError as error:
            return error_response(400, _first_problem(error), code="invalid_request")
        place = self._recorder.place_of(request.headers.get(CALL_HEADER))
        call = self._recorder.begin(place, header=request.headers.get(CALL_HEADER), model=body.model)
        sending = send(body.to_request(), knobs=self._knobs, place=place)
        wire = Wire(f"chatcmpl-offline-{call.order}", body.model, int(self._clock.now().timestamp()))
        return await (_streamed(sending, body, wire, call) if body.stream else _whole(sending, wire, call))

    async def models(self) -> Response:
        model = {"id": MODEL_NAME, "object": "model", "created": 0, "owned_by": "shadowgraph"}
        return JSONResponse({"object": "list", "data": [model]})

    async def list_calls(self) -> Response:
        return JSONResponse(self._recorder.to_json())

    async def forget_calls(self) -> Response:
        """Also starts the numbering of requests without a call header again."""
        self._recorder.forget()
        return Response(status_code=HTTPStatus.NO_CONTENT)


async def _whole(sending: Sending, wire: Wire, call: RecordedCall) -> Response:
    pieces: list[Piece] = []
    try:
        async for piece in stream_reply(sending):
            pieces.append(piece)  # noqa: PERF401 - what came before a cut is sent
    except InjectedFailure as error:
        return _failed(error, call)
    except InjectedCut:
        call.end(HTTPStatus.OK, "cut")
        return CutResponse(wire)
    call.end(HTTPStatus.OK, "answered")
    return JSONResponse(whole_answer(pieces, wire))


async def _streamed(sending: Sending, body: ChatBody, wire: Wire, call: RecordedCall) -> Response:
    """Waits for the first piece: until then the status can still tell of a failure."""
    pieces = stream_reply(sending)
    try:
        first = [await anext(pieces)]
    except InjectedFailure as error:
        return _failed(error, call)
    except InjectedCut:
        call.end(HTTPStatus.OK, "cut")
        return CutResponse(wire)
    return EventResponse(first, pieces, wire=wire, wants_usage=body.wants_usage, call=call)


def _failed(error: InjectedFailure, call: RecordedCall) -> Response:
    call.end(error.failure.status, "failed")
    return error_response(error.failure.status, str(error), code=INJECTED, retry_after=error.failure.retry_after)


async def _healthz() -> Response:
    return JSONResponse({"status": "ok"})


async def _refused(request: Request, error: Exception) -> Response:
    """Unknown paths and methods, in the body that clients of this API expect."""
    assert isinstance(error, HTTPException)
    return error_response(error.status_code, f"{request.method} {request.url.path}: {error.detail}", code="not_served")


def _first_problem(error: ValidationError) -> str:
    problem = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    return f"{place}: {problem['msg']}" if place else problem["msg"]
