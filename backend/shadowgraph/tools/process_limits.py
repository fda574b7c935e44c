"""Limits on a whole tree of processes: a control group where this user may make one, else a watch over /proc."""

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

logger = logging.getLogger(__name__)

CONTROL_GROUPS = Path("/sys/fs/cgroup")
WATCH_INTERVAL_SECONDS = 0.05
REMOVE_ATTEMPTS = 50
REMOVE_WAIT_SECONDS = 0.02
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class TreeUse:
    processes: int
    memory_bytes: int


def join_groups(groups: Sequence[Path]) -> tuple[str, ...]:
    """Words before a command that put it and all its children into the groups before its first instruction.

    A group that refuses is passed over: the watch holds the same limits, only later.
    """
    if not groups:
        return ()
    script = 'while [ "$1" != -- ]; do echo 0 > "$1/cgroup.procs" 2>/dev/null; shift; done; shift; exec "$@"'
    return ("/bin/sh", "-c", script, "sh", *map(str, groups), "--")


@asynccontextmanager
async def control_groups(*, memory_bytes: int, processes: int) -> AsyncIterator[tuple[Path, ...]]:
    """Empty where this user may not make groups; the watch then stands alone."""
    groups = _make_groups(memory_bytes=memory_bytes, processes=processes)
    try:
        yield groups
    finally:
        for group in groups:
            await _remove(group)


def _make_groups(*, memory_bytes: int, processes: int) -> tuple[Path, ...]:
    name = f"shadowgraph-{uuid4().hex[:12]}"
    if (CONTROL_GROUPS / "cgroup.controllers").exists():
        limits = {"memory.max": memory_bytes, "memory.swap.max": 0, "pids.max": processes}
        wanted = {CONTROL_GROUPS / name: limits}
    else:
        wanted = {
            CONTROL_GROUPS / "memory" / name: {"memory.limit_in_bytes": memory_bytes},
            CONTROL_GROUPS / "pids" / name: {"pids.max": processes},
        }
    return tuple(group for group, limits in wanted.items() if _made(group, limits))


def _made(group: Path, limits: dict[str, int]) -> bool:
    try:
        group.mkdir()
    except OSError:
        return False
    for file, value in limits.items():
        with suppress(OSError):  # a controller that is not delegated to us has no file here
            (group / file).write_text(str(value))
    return True


async def _remove(group: Path) -> None:
    """A group can go only after its last process; the kernel takes a moment for those that were killed."""
    for _ in range(REMOVE_ATTEMPTS):
        if _removed(group):
            return
        await asyncio.sleep(REMOVE_WAIT_SECONDS)
    logger.warning("control group %s of a sandbox could not be removed", group)


def _removed(group: Path) -> bool:
    try:
        _kill_members(group)
        group.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _kill_members(group: Path) -> None:
    for pid in (group / "cgroup.procs").read_text().split():
        with suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGKILL)


async def watch_tree(pid: int, *, report: Callable[[TreeUse], None]) -> None:
    """Reports the use of the whole tree until cancelled."""
    while True:
        report(tree_use(pid))
        await asyncio.sleep(WATCH_INTERVAL_SECONDS)


def tree_use(pid: int) -> TreeUse:
    """Of the process and all its children that live now."""
    pending, processes, pages = [pid], 0, 0
    while pending:
        process = Path("/proc") / str(pending.pop())
        with suppress(OSError):
            pages += int((process / "statm").read_text().split()[1])
            processes += 1
            for children in process.glob("task/*/children"):
                pending += map(int, children.read_text().split())
    return TreeUse(processes=processes, memory_bytes=pages * _PAGE_BYTES)
