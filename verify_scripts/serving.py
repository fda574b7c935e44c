"""What the verify scripts share: servers of their own, runs that are followed to their end, and how a check is told."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx

ENDED = ("COMPLETED", "FAILED", "CANCELLED", "BUDGET_EXCEEDED")
SHADOWGRAPH = (sys.executable, "-m", "shadowgraph.main")
BACKEND = Path(__file__).parents[1] / "backend"
"""The code beside these scripts is what they verify, whichever is installed."""
SECONDS = 60


class Server:
    """`shadowgraph up` on a folder of its own. `settings` by their names; `options` of `up`."""

    def __init__(self, folder: Path, *options: str, **settings: str) -> None:
        self.url = f"http://127.0.0.1:{_free_port()}"
        own = {"SHADOWGRAPH_HOME": str(folder), "SHADOWGRAPH_URL": self.url}
        machine = {"PATH": os.environ["PATH"], "HOME": str(folder), "PYTHONPATH": str(BACKEND)}
        self._env = {**machine, **own, **settings}
        self._folder = folder
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[httpx.Client]:
        self.start()
        try:
            with httpx.Client(base_url=self.url, timeout=30, headers={"Accept": "application/json"}) as client:
                wait(lambda: answers(client), "the server to answer")
                yield client
        finally:
            self.stop()

    def start(self) -> None:
        command = [*SHADOWGRAPH, "up", "--port", self.url.rpartition(":")[2], *self._options]
        with (self._folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, cwd=self._folder, env=self._env, stdout=log, stderr=log)

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(timeout=SECONDS)

    def kill(self) -> None:
        """kill -9."""
        if self._process:
            self._process.kill()
            self._process.wait(timeout=SECONDS)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*SHADOWGRAPH, *arguments], cwd=self._folder, env=self._env, capture_output=True, text=True, check=False
        )


def start(client: httpx.Client, **request: object) -> dict[str, Any]:
    return dict(client.post("/runs", json=request).raise_for_status().json())


def finish(client: httpx.Client, run: dict[str, Any]) -> dict[str, Any]:
    """The run at rest."""
    return dict(wait(lambda: _at_rest(client, run["id"]), f"run {run['id']} to come to rest"))


def _at_rest(client: httpx.Client, run_id: str) -> dict[str, Any] | None:
    run = get(client, f"/runs/{run_id}")
    return run if run["status"] in ENDED else None


def usage(run: dict[str, Any]) -> tuple[Decimal, str]:
    return Decimal(str(run["usage"]["cost_usd"])), run["usage"]["cost_state"]


def own_budget(client: httpx.Client, run: dict[str, Any]) -> dict[str, Any]:
    (budget,) = get(client, "/budgets", subject="run", name=run["id"])["items"]
    return dict(budget)


def get(client: httpx.Client, path: str, **params: str) -> dict[str, Any]:
    return dict(client.get(path, params=params).raise_for_status().json())


def check(what: str, holds: bool, figures: object = "") -> None:
    """`figures`: what was seen."""
    seen = f"  ({figures if isinstance(figures, str) else json.dumps(figures, default=str)})" if figures != "" else ""
    sys.stdout.write(f"{'ok    ' if holds else 'FAILED'}  {what}{seen}\n")
    sys.stdout.flush()
    if not holds:
        raise SystemExit(1)


def wait(condition: Callable[[], Any], what: str, *, seconds: float = SECONDS) -> Any:
    until = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > until:
            check(f"waited {seconds:.0f} s for {what}", False)
        time.sleep(0.05)
    return found


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").is_success
    except httpx.TransportError:
        return False


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
