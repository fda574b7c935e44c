"""Starts real processes of ours in milliseconds: a process that has imported everything, and forks once for each command.

It opens no database and no socket before it forks, so a child is what `python -m shadowgraph.main …` would be, without two seconds of
imports. Run as `python -m tests.support.zygote`; it takes one JSON line per process on stdin and answers with the child's pid.
"""

import ctypes
import json
import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.support.fence import drop_fence

IMPORTED_FIRST = (
    "shadowgraph.wiring.embedded",
    "shadowgraph.wiring.worker",
    "shadowgraph.wiring.api",
    "shadowgraph.engine.checkpoints.setup",
    "shadowgraph.api.offline_server",
    "shadowgraph.llm.providers.groq",
)


PR_SET_PDEATHSIG = 1
"""Of Linux' prctl."""
CLOCK_SHIFT_VARIABLE = "SHADOWGRAPH_TEST_CLOCK_SHIFT"
"""Seconds by which the child's clock is wrong."""
FENCE_OFF_VARIABLE = "SHADOWGRAPH_TEST_FENCE_OFF"
"""Set: the child writes whatever it wants, owner or not."""


def main() -> None:
    for name in IMPORTED_FIRST:
        __import__(name)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the children here: they are reaped at once
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(json.loads(line))
        sys.stdout.write(f"{child}\n")
        sys.stdout.flush()


def _become(request: dict[str, Any]) -> None:
    """Never returns."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _die_with_the_parent()
    os.setsid()
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    _redirect(Path(request["log"]))
    if shift := os.environ.pop(CLOCK_SHIFT_VARIABLE, ""):
        _shift_clock(float(shift))
    if os.environ.pop(FENCE_OFF_VARIABLE, ""):
        drop_fence()
    sys.argv = ["shadowgraph", *request["args"]]
    code = 1
    try:
        code = _run()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _run() -> int:
    from shadowgraph.core import failpoints
    from shadowgraph.main import main as run

    failpoints.switch_all_off()
    failpoints.switch_on_from_environment()
    try:
        run()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
    return 0


def _die_with_the_parent() -> None:
    """Tests that are killed leave nothing behind: their zygote ends with them, and its children with it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _shift_clock(seconds: float) -> None:
    """For all who ask Python what time it is, through our clock or past it."""
    from shadowgraph.core.clock import SystemClock

    true_time = time.time
    time.time = lambda: true_time() + seconds
    SystemClock.now = lambda self: datetime.fromtimestamp(time.time(), UTC)  # type: ignore[method-assign]


def _redirect(log: Path) -> None:
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    silence = os.open(os.devnull, os.O_RDONLY)
    os.dup2(silence, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)


if __name__ == "__main__":
    main()
