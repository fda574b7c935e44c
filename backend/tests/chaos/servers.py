"""Servers that the tests own, so that they may be stopped, killed, frozen and started again, at the same address and with their data."""

import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tests.support.database import migrate_database
from tests.support.private_servers import PrivateServer, end_process, is_alive, start_postgresql, start_rabbitmq
from tests.support.processes import read_state
from tests.support.waiting import wait_until

TEMPLATE = "template_of_tests"


def children_of(pid: int) -> list[int]:
    with suppress(FileNotFoundError, ProcessLookupError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def signal_all(pids: list[int], signum: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signum)


class OwnPostgres:
    """A PostgreSQL whose commits survive kill -9 of its processes."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self._folder = folder
        self._settings = settings
        self._server: PrivateServer = start_postgresql(folder, settings=settings)
        self.port = self._server.port

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def is_up(self) -> bool:
        return is_alive(self._server.pids[0])

    def start(self) -> None:
        self._server = start_postgresql(self._folder, port=self.port, settings=self._settings)

    def stop(self) -> None:
        """Fast: every connection is ended, what is committed is safe."""
        end_process(self._server.pids[0], signal.SIGINT)

    async def kill(self) -> None:
        """kill -9 of all its processes."""
        postmaster = self._server.pids[0]
        pids = [postmaster, *children_of(postmaster)]
        signal_all(pids, signal.SIGKILL)
        await wait_until(lambda: not any(map(is_running, pids)), what="PostgreSQL's processes to be gone")

    def started_at(self) -> datetime:
        with psycopg.connect(self.url) as connection:
            row = connection.execute("SELECT pg_postmaster_start_time()").fetchone()
        assert row is not None
        at: datetime = row[0]
        return at

    @asynccontextmanager
    async def read_only(self) -> AsyncIterator[None]:
        """Every session's next transaction may only read."""
        self._set_read_only("on")
        try:
            yield
        finally:
            self._set_read_only("off")

    def _set_read_only(self, value: Literal["on", "off"]) -> None:
        with psycopg.connect(self.url, autocommit=True, options="-c default_transaction_read_only=off") as connection:
            connection.execute(
                sql.SQL("ALTER SYSTEM SET default_transaction_read_only = {}").format(sql.Literal(value))
            )
            connection.execute("SELECT pg_reload_conf()")

    def ensure_up(self) -> None:
        if not self.is_up:
            self.start()

    @contextmanager
    def database(self) -> Iterator[str]:
        """Migrated and empty. It is left behind: it goes with the server."""
        name = f"test_{secrets.token_hex(6)}"
        with psycopg.connect(self.url, autocommit=True) as connection:
            self._prepare_template(connection)
            statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(TEMPLATE)))
        yield self.url_of(name)

    def url_of(self, name: str) -> str:
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))

    def _prepare_template(self, connection: psycopg.Connection) -> None:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [TEMPLATE]).fetchone()
        if known is None:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
            migrate_database(self.url_of(TEMPLATE))


CONSUMER_TIMEOUT_MS = 4_000

IMPATIENT = {"consumer_timeout": str(CONSUMER_TIMEOUT_MS), "channel_tick_interval": "1000"}
"""Whoever keeps a message unacknowledged for longer than that loses its channel; looked after each second."""


class OwnRabbit:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: PrivateServer = start_rabbitmq(folder, settings=IMPATIENT)
        self.port = self._server.port

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def _node(self) -> int:
        return self._server.pids[0]

    @property
    def is_up(self) -> bool:
        return is_alive(self._node)

    @property
    def accepts(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1):
            return True
        return False

    def start(self, **settings: str) -> None:
        self._server = start_rabbitmq(self._folder, port=self.port, settings={**IMPATIENT, **settings})

    def stop(self) -> None:
        """Orderly."""
        self._server.stop()

    async def kill(self) -> None:
        os.kill(self._node, signal.SIGKILL)
        await wait_until(lambda: not is_running(self._node), what="the broker to be gone")
        self._server.stop()  # what belongs to it

    @asynccontextmanager
    async def frozen(self) -> AsyncIterator[None]:
        """Its connections stay open, and nothing is answered."""
        os.kill(self._node, signal.SIGSTOP)
        await wait_until(lambda: read_state(self._node) == "T", what="the broker to stand still")
        try:
            yield
        finally:
            os.kill(self._node, signal.SIGCONT)

    def ensure_up(self) -> None:
        if not self.is_up:
            self.start()


def is_running(pid: int) -> bool:
    """A zombie that nobody has reaped yet does nothing any more."""
    return is_alive(pid) and read_state(pid) not in ("", "Z")
