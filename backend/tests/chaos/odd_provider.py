"""A provider in Groq's shape that answers every request with one text, whatever is in it."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

PIECE_CHARACTERS = 65_536


@asynccontextmanager
async def odd_provider(text: str) -> AsyncIterator[str]:
    """Its base URL."""

    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            await _answer(reader, writer, text)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # a client that went away, or the end of the test
        finally:
            writer.transport.abort()
            serving.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    for task in tuple(serving):
        task.cancel()
    await asyncio.gather(*serving, return_exceptions=True)


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, text: str) -> None:
    await _read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
    for event in _events(text):
        writer.write(f"data: {event}\n\n".encode())
    writer.close()
    await writer.wait_closed()


async def _read_request(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next((line.partition(":")[2] for line in head.splitlines() if line.startswith("content-length:")), "0")
    await reader.readexactly(int(length))


def _events(text: str) -> list[str]:
    """Escaped, as JSON may be: so also half a surrogate pair can travel."""
    pieces = [text[start : start + PIECE_CHARACTERS] for start in range(0, len(text), PIECE_CHARACTERS)]
    chunks = [_chunk({"content": piece}) for piece in pieces]
    return [*map(json.dumps, [*chunks, _chunk({}, finish_reason="stop")]), "[DONE]"]


def _chunk(delta: dict[str, Any], *, finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": finish_reason}
    return {"id": "odd", "object": "chat.completion.chunk", "created": 0, "model": "odd", "choices": [choice]}
