"""A provider on a real port that fails as a test says, in the words of Groq and OpenAI or of Anthropic, by the path that is asked."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}


@dataclass(frozen=True)
class Refuses:
    """An error instead of an answer."""

    status: int
    message: str = "no"
    code: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AnswersWithError:
    """Status 200, and an error where the answer should be: what a server says that passes on another one's trouble."""

    code: int | str
    message: str = "Provider returned error"
    is_event: bool = False
    """In the stream, after it began; else as the whole body."""


@dataclass(frozen=True)
class Breaks:
    """The connection is cut after the first words."""


@dataclass(frozen=True)
class EndsEarly:
    """The stream ends, politely, before the answer does."""


@dataclass(frozen=True)
class SaysNothing:
    """The connection stays open."""


@dataclass(frozen=True)
class TakesUpTo:
    """A request of more bytes is too long for the model; a shorter one is answered."""

    size_bytes: int
    refusal: Refuses = Refuses(400, "maximum context length is reached", "context_length_exceeded")


Failure = TakesUpTo | Refuses | AnswersWithError | Breaks | EndsEarly | SaysNothing
WORDS = ("All is ", "well.")


class FailingProvider:
    """`failing` by model; others answer `WORDS`."""

    def __init__(self) -> None:
        self.url = ""
        self.failing: dict[str, Failure] = {}
        self.asked: list[str] = []
        self.bodies: list[Mapping[str, Any]] = []
        self.headers: dict[str, str] = {}
        """Of every answer."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path, body = await _read_request(reader)
        self.asked.append(body["model"])
        self.bodies.append(body)
        wire = _Anthropic() if path.endswith("/messages") else _OpenAi()
        await self._answer(writer, wire, self._failure_of(body))

    def _failure_of(self, body: Mapping[str, Any]) -> Failure | None:
        failure = self.failing.get(body["model"])
        if isinstance(failure, TakesUpTo):
            return failure.refusal if len(json.dumps(body)) > failure.size_bytes else None
        return failure

    async def _answer(self, writer: asyncio.StreamWriter, wire: "_Wire", failure: Failure | None) -> None:
        if isinstance(failure, SaysNothing):
            await asyncio.Event().wait()
        if isinstance(failure, Refuses):
            _send(writer, failure.status, json.dumps(wire.error(failure)), failure.headers)
        elif isinstance(failure, AnswersWithError) and not failure.is_event:
            body = {"error": {"message": failure.message, "code": failure.code}}
            _send(writer, 200, json.dumps(body), self.headers)
        else:
            _send_events(writer, _events_of(wire, failure), self.headers)
            await writer.drain()
            if not isinstance(failure, Breaks):
                writer.write(b"0\r\n\r\n")


class _OpenAi:
    begun = 1

    def error(self, failure: Refuses) -> Mapping[str, Any]:
        return {"error": {"message": failure.message, "code": failure.code, "type": None}}

    def error_event(self, failure: AnswersWithError) -> str:
        return _event({"error": {"message": failure.message, "code": failure.code}})

    def answer(self) -> list[str]:
        words = [_event(_chunk({"content": word})) for word in WORDS]
        usage = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}
        last = {**_chunk({}, finish_reason="stop"), "usage": usage, "x_groq": {"id": "x", "usage": usage}}
        return [*words, _event(last), "data: [DONE]\n\n"]


class _Anthropic:
    begun = 3

    def error(self, failure: Refuses) -> Mapping[str, Any]:
        kind = failure.code or ANTHROPIC_TYPES.get(failure.status, "api_error")
        return {"type": "error", "error": {"type": kind, "message": failure.message}}

    def error_event(self, failure: AnswersWithError) -> str:
        return _event({"type": "error", "error": {"type": failure.code, "message": failure.message}}, "error")

    def answer(self) -> list[str]:
        message: dict[str, Any] = {"id": "m", "type": "message", "role": "assistant", "content": [], "model": "m"}
        message |= {"stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 9, "output_tokens": 1}}
        events: list[dict[str, Any]] = [
            {"type": "message_start", "message": message},
            {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
            *(
                {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
                for word in WORDS
            ),
            {"type": "content_block_stop", "index": 0},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                "usage": {"input_tokens": 9, "output_tokens": 4},
            },
            {"type": "message_stop"},
        ]
        return [_event(event, event["type"]) for event in events]


_Wire = _OpenAi | _Anthropic


def _events_of(wire: _Wire, failure: Failure | None) -> list[str]:
    events = wire.answer()
    if failure is None:
        return events
    last = [wire.error_event(failure)] if isinstance(failure, AnswersWithError) else []
    return [*events[: wire.begun], *last]


@asynccontextmanager
async def failing_provider() -> AsyncIterator[FailingProvider]:
    provider = FailingProvider()
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            await provider.serve(reader, writer)
            writer.close()
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            writer.transport.abort()  # a client that went away, or the end of the test
        finally:
            serving.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield provider
        for task in tuple(serving):
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, Mapping[str, Any]]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    lines = head.lower().splitlines()
    length = next((line.partition(":")[2] for line in lines if line.startswith("content-length:")), "0")
    return head.split(" ")[1], json.loads(await reader.readexactly(int(length)))


def _send(writer: asyncio.StreamWriter, status: int, body: str, headers: Mapping[str, str]) -> None:
    writer.write(_head(status, {"Content-Type": "application/json", "Content-Length": str(len(body)), **headers}))
    writer.write(body.encode())


def _send_events(writer: asyncio.StreamWriter, events: list[str], headers: Mapping[str, str]) -> None:
    writer.write(_head(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked", **headers}))
    for event in events:
        writer.write(f"{len(event.encode()):x}\r\n{event}\r\n".encode())


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = [f"HTTP/1.1 {status} X", "Connection: close", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _event(body: Mapping[str, Any], kind: str = "") -> str:
    return (f"event: {kind}\n" if kind else "") + f"data: {json.dumps(body)}\n\n"


def _chunk(delta: Mapping[str, Any], *, finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": finish_reason}
    return {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
