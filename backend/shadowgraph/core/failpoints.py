"""Named places where a test may make this process die, freeze, fail or be watched.

`hit(name)` does nothing unless a test switched that name on: in the process with `switch_on`, or for a child process with
`SHADOWGRAPH_FAILPOINTS="engine.writer.committed=kill@3;runs.claim.committed=stop"` (an action, and on which hit it fires; 1 unless given).
A name may carry a detail after a colon (`engine.step.started:coder`); a switch without detail fires for every detail.
"""

import os
import signal
from collections.abc import Callable

FAILPOINTS_VARIABLE = "SHADOWGRAPH_FAILPOINTS"


class FailpointError(Exception):
    """What the action `raise` raises."""


def _kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stop() -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def _raise() -> None:
    raise FailpointError


ACTIONS: dict[str, Callable[[], None]] = {"kill": _kill, "stop": _stop, "raise": _raise}

_switched: dict[str, Callable[[], None]] = {}


def hit(name: str, detail: str = "") -> None:
    """Costs one truth test when nothing is switched on."""
    if not _switched:
        return
    for key in (f"{name}:{detail}", name):
        if action := _switched.get(key):
            action()


def switch_on(name: str, action: Callable[[], None], *, on_hit: int = 1) -> None:
    remaining = on_hit

    def fire_once() -> None:
        nonlocal remaining
        remaining -= 1
        if remaining == 0:
            action()

    _switched[name] = fire_once


def switch_all_off() -> None:
    _switched.clear()


def switch_on_from_environment() -> None:
    for item in filter(None, os.environ.get(FAILPOINTS_VARIABLE, "").split(";")):
        name, _, action = item.partition("=")
        kind, _, on_hit = action.partition("@")
        switch_on(name.strip(), ACTIONS[kind], on_hit=int(on_hit or 1))


switch_on_from_environment()
