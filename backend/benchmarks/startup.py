"""How long a process takes to start on a database that is there already, what importing costs, and what an idle process takes of memory.

    python -m benchmarks.startup [--rounds 3]

The baselines are an interpreter that does nothing, and one that imports what LangGraph needs, in the same rounds. Goals: at most 3 s to
`/readyz`, at most 0.6 s for `--help`.
"""

import os
import subprocess
import sys
import tempfile
from argparse import ArgumentParser
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Any

import httpx
import psycopg

from benchmarks.figures import report, resident_bytes, spread
from benchmarks.server import PROJECTS, Kind, command, database, process, run_to_end, wait_until_ready
from benchmarks.workload import WORKFLOW
from tests.support.processes import free_port

SETTLED_SECONDS = 2.0
"""After it is ready a process still opens connections."""
SERVING = ("--project", str(PROJECTS / WORKFLOW))
INTERPRETER = (sys.executable, "-c")


def main() -> None:
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    rounds = [_round() for _ in range(options.rounds)]
    report("startup", vars(options) | {name: spread([found[name] for found in rounds]) for name in rounds[0]})


def _round() -> dict[str, float]:
    ended = {
        "interpreter_s": (*INTERPRETER, "pass"),
        "import langgraph_s": (*INTERPRETER, "import langgraph.graph, langgraph.checkpoint.postgres.aio"),
        "import worker_s": (*INTERPRETER, "import shadowgraph.wiring.worker"),
        "import api_s": (*INTERPRETER, "import shadowgraph.wiring.api"),
        "help_s": command(["--help"]),
    }
    return (
        {name: _seconds_of(arguments) for name, arguments in ended.items()}
        | _started("sqlite")
        | _started("distributed")
    )


def _seconds_of(arguments: Sequence[str]) -> float:
    began = perf_counter()
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL)
    return perf_counter() - began


def _started(kind: Kind) -> dict[str, float]:
    """By process: seconds until it is ready, and resident MB when it is idle."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(database(kind, folder))
        settings = {"DATABASE_URL": url, "SHADOWGRAPH_HOME": str(folder), "LOG_LEVEL": "ERROR"}
        run_to_end(("migrate",), settings)
        port = str(free_port())

        def start(name: str, arguments: Sequence[str], wait: Callable[[], Any]) -> dict[str, float]:
            began = perf_counter()
            pid = stack.enter_context(process(arguments, settings))
            wait()
            took = perf_counter() - began
            sleep(SETTLED_SECONDS)
            return {f"{name} ready_s": took, f"{name} resident_mb": resident_bytes(pid) / 1e6}

        http = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30))
        if kind == "sqlite":
            return start("up", ("up", "--port", port, "--isolation", "none", *SERVING), lambda: wait_until_ready(http))
        api = start("api", ("api", "--port", port), lambda: wait_until_ready(http))
        return api | start("worker", ("worker", *SERVING), lambda: _wait_for_worker(url))


def _wait_for_worker(url: str) -> None:
    """Until it has registered itself: from then on it claims."""
    ends_at = monotonic() + 60
    with psycopg.connect(url, autocommit=True) as connection:
        while not connection.execute("SELECT 1 FROM workers").fetchone():
            if monotonic() > ends_at:
                raise RuntimeError("the worker did not register itself")
            sleep(0.02)


if __name__ == "__main__":
    os.environ.pop("BROKER_URL", None)
    main()
