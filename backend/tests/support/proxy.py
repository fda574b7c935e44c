"""A TCP proxy between the code under test and a server, which can be cut, frozen, shut, and led to another server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit


class TcpProxy:
    """Listens on a port of loopback that stays the same over `shut` and `open`."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._words_without_answer = b""
        self.port = 0
        self.connections = 0
        """How many were made up to now: proof that somebody went through here."""
        self.answers = 0
        """How many pieces of answers were passed on."""
        self.answers_lost = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def shut(self) -> None:
        """Refuses new connections and cuts the existing ones."""
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.cut()

    async def cut(self) -> None:
        """Both sides of every connection see a reset."""
        for writer in self._writers:
            writer.transport.abort()
        for serving in tuple(self._serving):
            serving.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def freeze(self) -> None:
        """Connections stay open, new ones are taken, and nothing comes through."""
        self._flowing.clear()

    def thaw(self) -> None:
        """What was held back goes on."""
        self._flowing.set()

    def lose_answer_to(self, words: bytes) -> None:
        """The next request that holds these words reaches the server, and when the answer comes the connection is cut instead."""
        self._words_without_answer = words

    def lead_to(self, host: str, port: int) -> None:
        """Where connections go that are made from now on."""
        self._target = (host, port)

    def url(self, original: str) -> str:
        """The server's URL, through this proxy."""
        parts = urlsplit(original)
        user = parts.netloc.rpartition("@")[0]
        address = f"127.0.0.1:{self.port}"
        return urlunsplit(parts._replace(netloc=f"{user}@{address}" if user else address))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving = asyncio.current_task()
        assert serving is not None
        self.connections += 1
        self._serving.add(serving)
        self._writers.add(writer)
        try:
            await self._connect_through(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # a cut; the server's own callback logs anything else
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._serving.discard(serving)

    async def _connect_through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        target_reader, target_writer = await asyncio.open_connection(*self._target)
        self._writers.add(target_writer)
        link = _Link()
        try:
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump_requests(reader, target_writer, link))
                pumps.create_task(self._pump_answers(target_reader, writer, link))
        except* OSError:
            pass
        finally:
            target_writer.transport.abort()
            self._writers.discard(target_writer)

    async def _pump_requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: "_Link") -> None:
        while data := await reader.read(65536):
            await self._flowing.wait()
            if self._words_without_answer and self._words_without_answer in data:
                self._words_without_answer, link.loses_answer = b"", True
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError  # ends the other direction, too

    async def _pump_answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, link: "_Link") -> None:
        while data := await reader.read(65536):
            await self._flowing.wait()
            if link.loses_answer:
                self.answers_lost += 1
                break
            writer.write(data)
            self.answers += 1
            await writer.drain()
        raise ConnectionResetError


@dataclass(slots=True)
class _Link:
    """One client's connection through the proxy."""

    loses_answer: bool = False


@asynccontextmanager
async def proxy_to(url: str, *, default_port: int) -> AsyncIterator[TcpProxy]:
    parts = urlsplit(url)
    proxy = TcpProxy(parts.hostname or "127.0.0.1", parts.port or default_port)
    await proxy.open()
    try:
        yield proxy
    finally:
        proxy.thaw()
        await proxy.shut()
