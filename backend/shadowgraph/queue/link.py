"""The line between a worker process and the process that started it: jobs and control down, live text and signs of life up.

Both ends are a socket that carries one JSON object per line. Like every transport of ours it may lose something: rows are the truth.
"""

import asyncio
import logging
import os
import socket
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from pydantic import BaseModel, ConfigDict, ValidationError

from shadowgraph.queue.inprocess import InProcessWakeups
from shadowgraph.queue.message import JobMessage, Wake

log = logging.getLogger(__name__)

MAX_WAITING_FRAMES = 1_000
MAX_WAITING_BYTES = 1 << 20
MAX_LINE_BYTES = 1 << 20
PARENT_GONE = 1
"""Exit code of a worker process whose parent is gone; nobody sees it."""


class Frame(BaseModel):
    """One line. Unknown fields are ignored: the other end may be of another version."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    job: JobMessage | None = None
    pool: str | None = None
    """Of the job; None: any worker may take it."""
    wake: Wake | None = None
    ready: str | None = None
    """The child works; what it runs."""
    refused: str | None = None
    """Why the child cannot work, in its own words."""
    beat: bool = False
    turns: int = 0
    """With a beat: another number than before means that the child's event loop goes round. 0: it has none yet."""

    def to_line(self) -> bytes:
        return self.model_dump_json(exclude_defaults=True).encode() + b"\n"


def read_frame(line: bytes) -> Frame | None:
    """None for what is no frame."""
    try:
        return Frame.model_validate_json(line)
    except ValidationError as error:
        log.error("a line from the other process is not ours: %s", error.errors()[0]["msg"])
        return None


class ParentLine:
    """The parent's end. `tell` may be called at any time: what the child does not read in time is dropped."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, end: socket.socket) -> "ParentLine":
        return cls(*await asyncio.open_connection(sock=end, limit=MAX_LINE_BYTES))

    def tell(self, frame: Frame) -> None:
        transport = self._writer.transport
        if not transport.is_closing() and transport.get_write_buffer_size() < MAX_WAITING_BYTES:
            self._writer.write(frame.to_line())

    async def frames(self) -> AsyncIterator[Frame]:
        """Until the child is gone."""
        while line := await _read_line(self._reader):
            if frame := read_frame(line):
                yield frame

    def close(self) -> None:
        self._writer.close()


class ChildLine:
    """The child's end. Threads read and write, so that signs of life go out, and the parent's end is seen, while a node blocks the event loop.

    When the parent is gone the process ends at once: its runs are free for whoever comes next, and it must not go on beside that one.
    """

    def __init__(self, end: socket.socket, *, pulse_seconds: float) -> None:
        self._end = end
        self._pulse_seconds = pulse_seconds
        self._turns = 0
        self._waiting: deque[Frame] = deque(maxlen=MAX_WAITING_FRAMES)
        self._wake = threading.Event()
        self._writing = threading.Lock()
        threading.Thread(target=self._write, name="line to the parent", daemon=True).start()

    def tell(self, frame: Frame) -> None:
        """Never waits; the oldest go first when the parent does not read."""
        self._waiting.append(frame)
        self._wake.set()

    def tell_now(self, frame: Frame) -> None:
        """Returns when it is written: for a process that ends next."""
        with self._writing:
            self._end.sendall(frame.to_line())

    def listen(self, on_frame: Callable[[Frame], None]) -> None:
        """Calls it with whatever the parent sends, on the event loop that runs here."""
        loop = asyncio.get_running_loop()
        self._turn(loop)
        threading.Thread(target=self._read, args=(loop, on_frame), name="line from the parent", daemon=True).start()

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Again and again; not while a node holds the loop."""
        self._turns += 1
        loop.call_later(self._pulse_seconds, self._turn, loop)

    def _read(self, loop: asyncio.AbstractEventLoop, on_frame: Callable[[Frame], None]) -> None:
        with suppress(OSError), self._end.makefile("rb") as lines:
            for line in lines:
                if frame := read_frame(line):
                    with suppress(RuntimeError):  # the loop is closed: this process ends
                        loop.call_soon_threadsafe(on_frame, frame)
        os._exit(PARENT_GONE)

    def _write(self) -> None:
        while True:
            self._wake.wait(self._pulse_seconds)
            self._wake.clear()
            frames = [self._waiting.popleft() for _ in range(len(self._waiting))]
            lines = b"".join(frame.to_line() for frame in frames or [Frame(beat=True, turns=self._turns)])
            try:
                with self._writing:
                    self._end.sendall(lines)
            except OSError:
                os._exit(PARENT_GONE)


class LineWakeups(InProcessWakeups):
    """Implements `Wakeups` in a child: what it publishes goes to the parent, what the parent sends is delivered here."""

    def __init__(self, line: ChildLine) -> None:
        super().__init__()
        self._line = line

    async def publish(self, wake: Wake) -> None:
        self._line.tell(Frame(wake=wake))


async def _read_line(reader: asyncio.StreamReader) -> bytes:
    """Empty at the end."""
    try:
        return await reader.readline()
    except (ConnectionError, ValueError):  # ValueError: a line longer than any of ours
        return b""
