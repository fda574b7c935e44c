"""A provider on a port of its own that speaks OpenAI's chat API and fails as it is told, by the model that is asked."""

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

USAGE = {"prompt_tokens": 9, "completion_tokens": 4, "total_tokens": 13}


class Provider:
    """Models that are not told to fail answer at once."""

    def __init__(self) -> None:
        self.url = ""
        self.refusing: dict[str, tuple[int, Mapping[str, str]]] = {}
        """By model: status and headers."""
        self._held: dict[str, threading.Event] = {}
        self.asked: list[tuple[float, str]] = []
        """When (seconds since 1970), and which model."""

    def times_asked(self, model: str) -> int:
        return sum(asked == model for _, asked in self.asked)

    @contextlib.contextmanager
    def holding(self, model: str) -> Iterator[None]:
        """Its answers wait for the end of the block."""
        released = self._held[model] = threading.Event()
        try:
            yield
        finally:
            del self._held[model]
            released.set()

    def answer_to(self, model: str) -> tuple[int, Mapping[str, str]]:
        """When it is time."""
        self.asked.append((time.time(), model))
        if held := self._held.get(model):
            held.wait()
        return self.refusing.get(model, (200, {}))

    @contextlib.contextmanager
    def serving(self) -> Iterator["Provider"]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        server.daemon_threads = True
        self.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield self
        finally:
            server.shutdown()


def _handler(provider: Provider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            model = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["model"]
            status, headers = provider.answer_to(model)
            body = _answer() if status == 200 else json.dumps({"error": {"message": "out of order"}})
            self.send_response(status)
            self.send_header("Content-Type", "text/event-stream" if status == 200 else "application/json")
            self.send_header("Content-Length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):  # who asked may be gone
                self.wfile.write(body.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def _answer() -> str:
    last = {**_chunk({}, finish_reason="stop"), "usage": USAGE, "x_groq": {"id": "x", "usage": USAGE}}
    events = (_chunk({"content": "All is well."}), last)
    return "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"


def _chunk(delta: Mapping[str, Any], *, finish_reason: str | None = None) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"role": "assistant", **delta}, "finish_reason": finish_reason}
    return {"id": "c", "object": "chat.completion.chunk", "created": 0, "model": "m", "choices": [choice]}
