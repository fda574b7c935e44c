"""The three servers that tests speak to.

Each is looked for in this order: the one named in the environment, one that answers on localhost at the standard port, a private one
from installed binaries. Where none is found the tests that need it are skipped (`requirements.py`).
"""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import aio_pika
import psycopg
import redis
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from filelock import FileLock

from tests.support.private_servers import (
    BinaryMissing,
    PrivateServer,
    end_process,
    start_pgbouncer,
    start_postgresql,
    start_rabbitmq,
    start_redis,
)
from tests.support.requirements import skip_or_fail

SERVERS_FOLDER_VARIABLE = "SHADOWGRAPH_TEST_SERVERS_FOLDER"
"""Set by the first process of a test session; its xdist workers inherit it and share the servers started there."""

ANSWER_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Service:
    name: str
    variable: str
    """Names a server in the environment."""
    standard_url: str
    answers: Callable[[str], bool]
    start: Callable[[Path], PrivateServer]


def _postgresql_answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=ANSWER_SECONDS).close()
    except psycopg.Error:
        return False
    return True


def _rabbitmq_answers(url: str) -> bool:
    async def connect() -> bool:
        try:
            connection = await aio_pika.connect(url, timeout=ANSWER_SECONDS)
        except CONNECTION_EXCEPTIONS:
            return False
        await connection.close()
        return True

    with ThreadPoolExecutor(1) as thread:  # a loop may be running in this one
        return thread.submit(asyncio.run, connect()).result()


def _redis_answers(url: str) -> bool:
    client = redis.Redis.from_url(url, socket_timeout=ANSWER_SECONDS, socket_connect_timeout=ANSWER_SECONDS)
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
    finally:
        client.close()


POSTGRESQL = Service(
    name="PostgreSQL",
    variable="SHADOWGRAPH_TEST_DATABASE_URL",
    standard_url="postgresql://postgres@127.0.0.1:5432/postgres",
    answers=_postgresql_answers,
    start=start_postgresql,
)
RABBITMQ = Service(
    name="RabbitMQ",
    variable="SHADOWGRAPH_TEST_BROKER_URL",
    standard_url="amqp://guest:guest@127.0.0.1:5672/",
    answers=_rabbitmq_answers,
    start=start_rabbitmq,
)
REDIS = Service(
    name="Redis",
    variable="SHADOWGRAPH_TEST_REDIS_URL",
    standard_url="redis://127.0.0.1:6379/0",
    answers=_redis_answers,
    start=start_redis,
)
SERVICES = (POSTGRESQL, RABBITMQ, REDIS)

POOLER_VARIABLE = "SHADOWGRAPH_TEST_POOLER"
"""`pgbouncer`: every test that uses PostgreSQL reaches it through a private PgBouncer in transaction mode."""


def require_service(service: Service) -> str:
    """Its URL; skips or fails the test when there is none."""
    if named := os.environ.get(service.variable):
        if service.answers(named):
            return named
        skip_or_fail(f"the {service.name} named in {service.variable} does not answer")
    if service.answers(service.standard_url):
        return service.standard_url
    try:
        return _shared_private_server(service.name, service.start)
    except BinaryMissing as missing:
        skip_or_fail(
            f"no {service.name}: none on localhost and {missing}; install it, or name one in {service.variable}"
        )


def is_pooled() -> bool:
    """Whether the tests reach PostgreSQL through a pooler."""
    return bool(os.environ.get(POOLER_VARIABLE))


def require_pooler() -> str:
    """URL of a PgBouncer in transaction mode before the PostgreSQL of the tests; skips or fails the test when there is none."""
    server = require_service(POSTGRESQL)
    try:
        return _shared_private_server("PgBouncer", partial(start_pgbouncer, target_url=server))
    except BinaryMissing as missing:
        skip_or_fail(f"no pooler: {missing}; install it (Debian: pgbouncer)")


def named_hosts() -> list[str]:
    """Hosts of the servers named in the environment: the network guard lets tests reach them."""
    urls = [os.environ.get(service.variable, "") for service in SERVICES]
    return [host for url in urls if (host := urlsplit(url).hostname)]


def begin_servers_folder() -> Path | None:
    """The folder of this session's private servers; None when another process of the session made it."""
    if SERVERS_FOLDER_VARIABLE in os.environ:
        return None
    folder = Path(tempfile.mkdtemp(prefix="shadowgraph-test-"))
    folder.chmod(0o755)  # the user postgres must get through
    os.environ[SERVERS_FOLDER_VARIABLE] = str(folder)
    return folder


def end_servers_folder(folder: Path) -> None:
    """Stops what was started there, by process id, and removes it."""
    for pid_file in sorted(folder.glob("*.pids")):
        for pid, stop_signal in map(str.split, pid_file.read_text().splitlines()):
            end_process(int(pid), signal.Signals(int(stop_signal)))
    shutil.rmtree(folder)
    del os.environ[SERVERS_FOLDER_VARIABLE]


def _shared_private_server(name: str, start: Callable[[Path], PrivateServer]) -> str:
    folder = Path(os.environ[SERVERS_FOLDER_VARIABLE])
    url_file = folder / f"{name}.url"
    with FileLock(folder / f"{name}.lock"):
        if not url_file.exists():
            data = folder / name
            data.mkdir(exist_ok=True)
            server = start(data)
            lines = [f"{pid} {int(server.stop_signal)}\n" for pid in server.pids]
            (folder / f"{name}.pids").write_text("".join(lines))
            url_file.write_text(server.url)
    return url_file.read_text()
