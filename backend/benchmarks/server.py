"""Shadowgraph as it is served, with one project of a benchmark, on a database of its own: one process (`up`), or an API and workers."""

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx
import psycopg

from benchmarks.figures import cpu_seconds
from tests.support.broker import delete_topology
from tests.support.database import postgresql_database
from tests.support.processes import free_port

Kind = Literal["sqlite", "postgresql", "distributed"]

PROJECTS = Path(__file__).parent / "projects"
START_SECONDS = 60
POSTGRESQL = os.environ.get("SHADOWGRAPH_TEST_DATABASE_URL", "postgresql://postgres@127.0.0.1:5432/postgres")
BROKER = os.environ.get("SHADOWGRAPH_TEST_BROKER_URL", "amqp://guest:guest@127.0.0.1:5672/")


@dataclass(frozen=True, slots=True)
class Server:
    http: httpx.Client
    database_url: str
    pids: Mapping[str, int]
    """By the command that was started: `up`, or `api` and `worker 1`, …"""
    has_broker: bool = False

    @property
    def pid(self) -> int:
        """Of the process that answers HTTP."""
        return next(iter(self.pids.values()))

    def cpu_seconds(self) -> dict[str, float]:
        """So far, by process. `postgresql`: the backends that serve this database now."""
        used = {name: cpu_seconds(pid) for name, pid in self.pids.items()}
        if self.database_url.startswith("postgresql"):
            used["postgresql"] = postgresql_cpu_seconds(self.database_url)
        if self.has_broker:
            used["broker"] = broker_cpu_seconds()
        return used

    def run(self, workflow: str, state: Mapping[str, Any], *, timeout_seconds: float = 300) -> dict[str, Any]:
        """Until it has ended. Errors: `RuntimeError` unless it COMPLETED."""
        posted = self.http.post("/runs", json={"workflow": workflow, "input": dict(state)})
        run_id = posted.raise_for_status().json()["id"]
        ends_at = monotonic() + timeout_seconds
        while monotonic() < ends_at:
            run: dict[str, Any] = self.http.get(f"/runs/{run_id}").raise_for_status().json()
            if run["status"] == "COMPLETED":
                return run
            if run["status"] in ("FAILED", "CANCELLED"):
                raise RuntimeError(f"{run_id} is {run['status']}: {run['error']}")
            sleep(0.1)
        raise RuntimeError(f"{run_id} did not end within {timeout_seconds} s")


def postgresql_cpu_seconds(url: str) -> float:
    """Of the backends of this database, by the title that each gives itself."""
    mark = f" {urlsplit(url).path.lstrip('/')} "
    found = 0.0
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if command.read_text().startswith("postgres:") and mark in command.read_text():
                found += cpu_seconds(int(command.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def broker_cpu_seconds() -> float:
    """Of the machine's RabbitMQ, whoever uses it."""
    names = Path("/proc").glob("[0-9]*/comm")
    return sum(cpu_seconds(int(name.parent.name)) for name in names if _text_of(name) == "beam.smp\n")


def _text_of(file: Path) -> str:
    """Empty when its process has ended."""
    try:
        return file.read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@dataclass(frozen=True, slots=True)
class Written:
    """By everybody on the machine's PostgreSQL so far."""

    transactions: int
    """Those that only read are not counted."""
    wal_bytes: int

    @classmethod
    def so_far(cls, url: str) -> "Written":
        with psycopg.connect(url, autocommit=True) as connection:
            row = connection.execute(
                "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint, pg_current_wal_lsn() - '0/0'"
            ).fetchone()
        assert row
        return cls(int(row[0]), int(row[1]))


@contextmanager
def database(kind: Kind, folder: Path) -> Iterator[str]:
    """The address of an empty database, whose commits reach the disk."""
    if kind == "sqlite":
        yield f"sqlite:///{folder}/shadowgraph.db"
        return
    with postgresql_database(POSTGRESQL) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f'ALTER DATABASE "{urlsplit(url).path.lstrip("/")}" RESET synchronous_commit')
        yield url


@contextmanager
def up(
    kind: Kind, project: str, *, workers: int = 1, stored: Callable[[str], None] | None = None, **environment: str
) -> Iterator[Server]:
    """`workers` processes when distributed, else the one that serves everything. `stored`: fills the migrated database before that."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(database(kind, folder))
        settings = {"DATABASE_URL": url, "SHADOWGRAPH_HOME": str(folder), "LOG_LEVEL": "ERROR"} | environment
        if kind == "distributed":
            prefix = f"bench-{secrets.token_hex(4)}"
            stack.callback(delete_topology, BROKER, prefix)
            settings |= {"BROKER_URL": BROKER, "QUEUE_PREFIX": prefix}
        if kind == "distributed" or stored:
            run_to_end(("migrate",), settings)
        if stored:
            stored(url)
        port = free_port()
        serving = ("--project", str(PROJECTS / project))
        commands: dict[str, Sequence[str]] = {"up": ("up", "--port", str(port), "--isolation", "none", *serving)}
        if kind == "distributed":
            commands = {"api": ("api", "--port", str(port))}
            commands |= {f"worker {n + 1}": ("worker", *serving) for n in range(workers)}
        pids = {name: stack.enter_context(process(arguments, settings)) for name, arguments in commands.items()}
        http = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30))
        wait_until_ready(http)
        yield Server(http, url, pids, has_broker=kind == "distributed")


def command(arguments: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "shadowgraph.main", *arguments]


def run_to_end(arguments: Sequence[str], settings: Mapping[str, str]) -> None:
    subprocess.run(command(arguments), env={**os.environ, **settings}, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def process(arguments: Sequence[str], settings: Mapping[str, str]) -> Iterator[int]:
    started = subprocess.Popen(
        command(arguments), env={**os.environ, **settings}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield started.pid
    finally:
        started.terminate()
        started.wait(timeout=30)


def wait_until_ready(http: httpx.Client) -> None:
    ends_at = monotonic() + START_SECONDS
    while monotonic() < ends_at:
        try:
            if http.get("/readyz").is_success:
                return
        except httpx.TransportError:
            pass
        sleep(0.02)
    raise RuntimeError("the server did not get ready")
