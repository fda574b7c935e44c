"""The real processes over HTTP: started, watched, killed."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from tests.support.waiting import HTTP_POLL_SECONDS, wait_until

BACKEND = Path(__file__).parents[2]
READY_SECONDS = 30.0


def free_port() -> int:
    """Free just now on loopback."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@dataclass(frozen=True, slots=True)
class Process:
    pid: int
    log: Path
    name: str

    @property
    def is_alive(self) -> bool:
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        return True

    def kill(self) -> None:
        """SIGKILL; it is gone a moment later."""
        self._signal(signal.SIGKILL)

    def terminate(self) -> None:
        self._signal(signal.SIGTERM)

    def freeze(self) -> None:
        """SIGSTOP: it does nothing, and holds all that it has, until it is thawed."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    @property
    def is_frozen(self) -> bool:
        return read_state(self.pid) == "T"

    async def wait_for_end(self, *, timeout_seconds: float = 40) -> None:
        await wait_until(lambda: not self.is_alive, timeout_seconds=timeout_seconds, what=f"{self.name} to end")

    def output(self) -> str:
        """All that it has said."""
        return self.log.read_text() if self.log.exists() else ""

    def tail(self) -> str:
        return self.output()[-3000:]

    def _signal(self, signum: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signum)


def read_state(pid: int) -> str:
    """The letter that Linux gives: R and S work, T is stopped, Z has ended; empty when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


class Zygote:
    """Forks processes that have imported everything."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.zygote"],
            cwd=BACKEND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._children: list[Process] = []
        self._answer()

    def start(self, args: Sequence[str], *, env: Mapping[str, str], cwd: Path) -> Process:
        log = cwd / f"{args[0]}-{len(self._children)}.log"
        request = {"args": list(args), "env": dict(env), "cwd": str(cwd), "log": str(log)}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        process = Process(int(self._answer()), log, " ".join(args))
        self._children.append(process)
        return process

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def end_children(self) -> None:
        for child in self._children:
            child.kill()
        self._children.clear()

    def close(self) -> None:
        self.end_children()
        self._process.communicate(timeout=20)


@dataclass(frozen=True, slots=True)
class Stage:
    """A folder of its own and the environment that all its processes share."""

    zygote: Zygote
    folder: Path
    env: Mapping[str, str]

    def with_env(self, **env: str) -> "Stage":
        return replace(self, env={**self.env, **env})

    def start(self, *args: str, **env: str) -> Process:
        """`env`: on top of the stage's."""
        return self.zygote.start(args, env={**self.env, **env}, cwd=self.folder)

    async def start_server(self, *args: str, port: int, **env: str) -> tuple[Process, str]:
        """A process that listens, ready to answer; its base URL."""
        process = self.start(*args, "--port", str(port), **env)
        url = f"http://127.0.0.1:{port}"
        await wait_until_ready(process, url)
        return process, url


async def wait_until_ready(process: Process, url: str) -> None:
    async with httpx.AsyncClient(base_url=url) as client:

        async def is_ready() -> bool:
            assert process.is_alive, f"{process.name} ended:\n{process.tail()}"
            with suppress(httpx.TransportError):
                return (await client.get("/healthz")).status_code == 200
            return False

        what = f"{process.name} to answer"
        await wait_until(is_ready, timeout_seconds=READY_SECONDS, what=what, every_seconds=HTTP_POLL_SECONDS)


@contextmanager
def stage(zygote: Zygote, folder: Path, **settings: str) -> Iterator[Stage]:
    """Processes started on it are killed when the block ends."""
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": str(BACKEND),  # for interpreters that they start
        "SHADOWGRAPH_HOME": str(folder),
        "PYTHONDONTWRITEBYTECODE": "1",
        **settings,
    }
    try:
        yield Stage(zygote, folder, env)
    finally:
        zygote.end_children()
