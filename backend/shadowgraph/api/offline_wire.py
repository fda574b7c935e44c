"""The bodies of the OpenAI and Groq chat APIs, as the offline model's HTTP face reads and writes them."""

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from shadowgraph.llm.offline.failures import error_body, error_headers
from shadowgraph.llm.offline.recorder import RecordedCall
from shadowgraph.llm.offline.service import MODEL_NAME, End, InjectedCut, OfflineRequest, Piece, TextPiece, ToolPiece

FINGERPRINT = "shadowgraph-offline-demo"
"""Says in every answer who wrote it, whatever model was asked for."""
JsonDict = dict[str, Any]


class ChatMessage(BaseModel):
    model_config = ConfigDict(extra="allow")

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[JsonDict | str] | None = None
    tool_calls: list[JsonDict] | None = None


class ToolFunction(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: Annotated[str, Field(min_length=1, max_length=256)]
    description: str | None = None
    parameters: JsonDict | None = None


class ToolDefinition(BaseModel):
    type: Literal["function"] = "function"
    function: ToolFunction


class StreamOptions(BaseModel):
    include_usage: bool = False


class ChatBody(BaseModel):
    """What is understood; parameters of sampling and others are taken and change nothing."""

    model_config = ConfigDict(extra="ignore")

    model: str = MODEL_NAME
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    tools: list[ToolDefinition] | None = None
    tool_choice: str | JsonDict | None = None
    parallel_tool_calls: bool | None = None
    response_format: JsonDict | None = None
    stop: str | list[str] | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=1)] | None = None
    n: Annotated[int, Field(ge=1, le=1)] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None

    @model_validator(mode="after")
    def _require_known_tool(self) -> "ChatBody":
        names = [tool.function.name for tool in self.tools or ()]
        wanted = self._forced_name()
        if wanted is not None and wanted not in names:
            raise ValueError(f"tool_choice names {wanted!r}, which is not among the tools")
        if self.tool_choice in ("any", "required") and not names:
            raise ValueError("tool_choice is 'required', but there are no tools")
        return self

    @property
    def wants_usage(self) -> bool:
        return self.stream_options is not None and self.stream_options.include_usage

    def to_request(self) -> OfflineRequest:
        stop = [self.stop] if isinstance(self.stop, str) else self.stop or []
        return OfflineRequest(
            messages=[message.model_dump(exclude_none=True) for message in self.messages],
            tools=[tool.model_dump(exclude_none=True) for tool in self.tools or ()],
            tool_choice=self.tool_choice,
            response_format=self.response_format,
            stop=stop,
            max_tokens=self.max_completion_tokens or self.max_tokens,
            is_parallel=self.parallel_tool_calls is not False,
        )

    def _forced_name(self) -> str | None:
        if not isinstance(self.tool_choice, Mapping):
            return None
        function = self.tool_choice.get("function")
        return str(function.get("name")) if isinstance(function, Mapping) else None


@dataclass(frozen=True, slots=True)
class Wire:
    """What every body of one answer repeats."""

    id: str
    model: str
    created: int
    """Seconds since 1970."""

    def frame(self, kind: str) -> JsonDict:
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "system_fingerprint": FINGERPRINT,
        }


def whole_answer(pieces: Sequence[Piece], wire: Wire) -> JsonDict:
    """The body of a `chat.completion`."""
    end = next(piece for piece in pieces if isinstance(piece, End))
    text = "".join(piece.text for piece in pieces if isinstance(piece, TextPiece))
    calls = _join_calls([piece for piece in pieces if isinstance(piece, ToolPiece)])
    message = {
        "role": "assistant",
        "content": text or None if calls else text,
        **({"tool_calls": calls} if calls else {}),
    }
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": end.finish_reason}
    usage = _usage(end)
    return {
        **wire.frame("chat.completion"),
        "choices": [choice],
        "usage": usage,
        "x_groq": {"id": wire.id},
        "x_shadowgraph": _origin(end),
    }


def error_response(status: int, message: str, *, code: str, retry_after: float | None = None) -> JSONResponse:
    return JSONResponse(error_body(status, message, code=code), status_code=status, headers=error_headers(retry_after))


class EventResponse(StreamingResponse):
    """Server-sent events. A cut ends the connection in the middle, as a provider does that falls over."""

    def __init__(
        self,
        first: Iterable[Piece],
        rest: AsyncIterator[Piece],
        *,
        wire: Wire,
        wants_usage: bool,
        call: RecordedCall,
    ) -> None:
        self._call = call
        events = _events(first, rest, wire=wire, wants_usage=wants_usage)
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
        super().__init__(events, media_type="text/event-stream", headers=headers)

    async def stream_response(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        try:
            async for event in self.body_iterator:
                await send({"type": "http.response.body", "body": event, "more_body": True})
        except InjectedCut:
            self._call.end(self.status_code, "cut")
            return  # an answer that its end never reaches: the server closes the connection
        self._call.end(self.status_code, "answered")
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class CutResponse(Response):
    """A body that breaks off after its beginning."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(media_type="application/json")
        self._beginning = json.dumps(wire.frame("chat.completion"))[:-1].encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
        await send({"type": "http.response.body", "body": self._beginning, "more_body": True})


async def _events(
    first: Iterable[Piece], rest: AsyncIterator[Piece], *, wire: Wire, wants_usage: bool
) -> AsyncIterator[bytes]:
    yield _event(_chunk(wire, {"role": "assistant", "content": ""}, x_groq={"id": wire.id}))
    for piece in first:
        for chunk in _chunks_of(piece, wire, wants_usage=wants_usage):
            yield _event(chunk)
    async for piece in rest:
        for chunk in _chunks_of(piece, wire, wants_usage=wants_usage):
            yield _event(chunk)
    yield b"data: [DONE]\n\n"


def _chunks_of(piece: Piece, wire: Wire, *, wants_usage: bool) -> Iterator[JsonDict]:
    if isinstance(piece, TextPiece):
        yield _chunk(wire, {"content": piece.text})
    elif isinstance(piece, ToolPiece):
        yield _chunk(wire, {"tool_calls": [_call_part(piece)]})
    else:
        origin = {"x_groq": {"id": wire.id, "usage": _usage(piece)}, "x_shadowgraph": _origin(piece)}
        yield _chunk(wire, {}, finish_reason=piece.finish_reason, **origin)
        if wants_usage:
            yield {**wire.frame("chat.completion.chunk"), "choices": [], "usage": _usage(piece)}


def _chunk(wire: Wire, delta: JsonDict, *, finish_reason: str | None = None, **more: JsonDict) -> JsonDict:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
    return {**wire.frame("chat.completion.chunk"), "choices": [choice], **more}


def _call_part(piece: ToolPiece) -> JsonDict:
    if piece.id is None:
        return {"index": piece.index, "function": {"arguments": piece.arguments}}
    function = {"name": piece.name, "arguments": piece.arguments}
    return {"index": piece.index, "id": piece.id, "type": "function", "function": function}


def _join_calls(parts: Sequence[ToolPiece]) -> list[JsonDict]:
    calls: dict[int, JsonDict] = {}
    for part in parts:
        if part.id is not None:
            calls[part.index] = {"id": part.id, "type": "function", "function": {"name": part.name, "arguments": ""}}
        calls[part.index]["function"]["arguments"] += part.arguments
    return list(calls.values())


def _usage(end: End) -> JsonDict:
    return {
        "prompt_tokens": end.tokens.prompt,
        "completion_tokens": end.tokens.completion,
        "total_tokens": end.tokens.prompt + end.tokens.completion,
    }


def _origin(end: End) -> JsonDict:
    """What no other provider says: that rules wrote this, and that the numbers are estimates."""
    price = {} if end.price_usd is None else {"price_usd": str(end.price_usd)}
    return {"synthetic": True, "usage_estimated": True, **price}


def _event(value: JsonDict) -> bytes:
    return b"data: " + json.dumps(value, ensure_ascii=False).encode() + b"\n\n"
