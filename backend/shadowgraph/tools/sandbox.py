"""Runs untrusted code under bubblewrap: no network, nothing of this machine's files or environment, everything bounded.

Where that does not work the code is not run at all. `Sandbox.status()` says why, and what mends it.
"""

import asyncio
import os
import shutil
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from shadowgraph.core.clock import Clock, SystemClock
from shadowgraph.core.errors import Unavailable
from shadowgraph.tools.bubblewrap import PYTHON_DIR, Interpreter, command_line
from shadowgraph.tools.process_limits import TreeUse, control_groups, join_groups, watch_tree

Ending = Literal["exit", "wall_time", "output", "memory", "processes"]
"""How a program ended: by itself (also by a signal of its own), or by one of our limits."""

MEBIBYTE = 1 << 20
MIN_PARALLEL = 2
"""Programs at once: one per processor, at least this many. The others wait."""
PROBE_TIMEOUT_SECONDS = 10.0
_READ_BYTES = 65_536
_SYSTEM_PYTHON = Path("/usr/bin/python3")
_PROBE = "import json, unittest; print('works')"


@dataclass(frozen=True, slots=True)
class Limits:
    wall_seconds: float = 10.0
    cpu_seconds: int = 8
    memory_bytes: int = 512 * MEBIBYTE
    """Address space of one process, and resident memory of all together."""
    processes: int = 32
    file_bytes: int = 16 * MEBIBYTE
    open_files: int = 64
    scratch_bytes: int = 64 * MEBIBYTE
    """Of each of /tmp and /job; both live in memory."""
    output_bytes: int = 65_536
    """Of stdout and stderr together; a program that writes more is ended."""


DEFAULT_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class SandboxResult:
    exit_code: int
    """Negative: ended by that signal."""
    ending: Ending
    stdout: bytes
    stderr: bytes
    wall_seconds: float


@dataclass(frozen=True, slots=True)
class SandboxStatus:
    available: bool
    reason: str = ""
    """Why not; empty when it works."""
    fix: str = ""
    """What a person can do about it."""
    interpreter: Interpreter | None = None


class SandboxUnavailable(Unavailable):
    code = "sandbox_unavailable"
    retryable = False


class Sandbox:
    """Looks once whether it works, by really starting one. A refusal is looked at again the next time: it may have been mended."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._works: SandboxStatus | None = None
        self._seats = asyncio.Semaphore(max(MIN_PARALLEL, os.cpu_count() or 1))

    async def status(self) -> SandboxStatus:
        if self._works:
            return self._works
        found = await self._probe()
        self._works = found if found.available else None
        return found

    async def run_python(
        self, arguments: Sequence[str], *, stdin: bytes = b"", limits: Limits = DEFAULT_LIMITS
    ) -> SandboxResult:
        """`arguments` are those of the interpreter: `["-c", "print(1)"]`.

        Errors: `SandboxUnavailable`; never runs anything outside a sandbox.
        """
        status = await self.status()
        if status.interpreter is None:
            raise SandboxUnavailable(f"code cannot be run: {status.reason}", hint=status.fix)
        async with self._seats:
            return await self._run(status.interpreter, arguments, stdin=stdin, limits=limits)

    async def _probe(self) -> SandboxStatus:
        if sys.platform != "linux":
            return _refused("the sandbox needs Linux", fix="run the worker on Linux or in a container")
        if shutil.which("bwrap") is None:
            return _refused("bubblewrap is not installed", fix="install the package bubblewrap")
        if shutil.which("prlimit") is None:
            return _refused("prlimit is not installed", fix="install the package util-linux")
        try:
            return await self._start_one()
        except OSError as error:
            return _refused(f"bubblewrap cannot be started: {error}", fix="install the package bubblewrap")

    async def _start_one(self) -> SandboxStatus:
        complaint = "no Python interpreter works in it"
        for interpreter in _interpreters():
            result = await self._run(
                interpreter, ["-c", _PROBE], stdin=b"", limits=Limits(wall_seconds=PROBE_TIMEOUT_SECONDS)
            )
            if result.exit_code == 0 and result.stdout.strip() == b"works":
                return SandboxStatus(available=True, interpreter=interpreter)
            complaint = result.stderr.decode(errors="replace").strip()[-200:] or result.ending
        return _refused(f"bubblewrap does not start here: {complaint}", fix=_fix(complaint))

    async def _run(
        self, interpreter: Interpreter, arguments: Sequence[str], *, stdin: bytes, limits: Limits
    ) -> SandboxResult:
        started = self._clock.monotonic()
        async with control_groups(memory_bytes=limits.memory_bytes, processes=limits.processes + 4) as groups:
            process = await asyncio.create_subprocess_exec(
                *join_groups(groups),
                *("nice", "-n", "10"),
                *command_line(
                    shutil.which("bwrap") or "bwrap", interpreter=interpreter, scratch_bytes=limits.scratch_bytes
                ),
                *_process_limits(limits),
                *interpreter.command,
                *arguments,
                stdin=PIPE,
                stdout=PIPE,
                stderr=PIPE,
                env={"PATH": os.defpath},
                start_new_session=True,
            )
            watched = _Watched(process, limits)
            ending = await watched.until_the_end(stdin)
        return SandboxResult(
            exit_code=process.returncode if process.returncode is not None else -signal.SIGKILL,
            ending=ending,
            stdout=bytes(watched.stdout),
            stderr=bytes(watched.stderr),
            wall_seconds=self._clock.monotonic() - started,
        )


async def sandbox_status() -> SandboxStatus:
    """For `doctor`: looks now."""
    return await Sandbox().status()


class _Watched:
    """One started program: feeds it, collects what it says, and ends it at a limit."""

    def __init__(self, process: Process, limits: Limits) -> None:
        self._process = process
        self._limits = limits
        self._ending: Ending = "exit"
        self.stdout = bytearray()
        self.stderr = bytearray()

    async def until_the_end(self, stdin: bytes) -> Ending:
        watch = asyncio.create_task(watch_tree(self._process.pid, report=self._check_use))
        talk = asyncio.gather(
            self._feed(stdin),
            self._collect(self._process.stdout, self.stdout),
            self._collect(self._process.stderr, self.stderr),
        )
        try:
            async with asyncio.timeout(self._limits.wall_seconds):
                await asyncio.shield(talk)
                await self._process.wait()
        except TimeoutError:
            self._end("wall_time")
        finally:
            watch.cancel()
            self._kill()
            await talk
            await self._process.wait()
        return self._ending

    async def _feed(self, stdin: bytes) -> None:
        writer = self._process.stdin
        assert writer is not None
        with suppress(BrokenPipeError, ConnectionResetError):  # a program need not read what it is given
            writer.write(stdin)
            await writer.drain()
        writer.close()

    async def _collect(self, reader: asyncio.StreamReader | None, kept: bytearray) -> None:
        """Reads to the end even past the limit, so that the pipe is closed when this returns."""
        assert reader is not None
        while chunk := await reader.read(_READ_BYTES):
            room = self._limits.output_bytes - len(self.stdout) - len(self.stderr)
            kept += chunk[: max(0, room)]
            if len(chunk) > room:
                self._end("output")

    def _check_use(self, use: TreeUse) -> None:
        if use.memory_bytes > self._limits.memory_bytes:
            self._end("memory")
        elif use.processes > self._limits.processes + 4:
            self._end("processes")

    def _end(self, ending: Ending) -> None:
        if self._ending == "exit":
            self._ending = ending
        self._kill()

    def _kill(self) -> None:
        """Ends the process group of bubblewrap; with it ends the process namespace, and so everything inside."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _process_limits(limits: Limits) -> Sequence[str]:
    """Set inside: in the sandbox's own user namespace the number of processes counts only those of this sandbox."""
    return (
        "prlimit",
        "--core=0",
        f"--cpu={limits.cpu_seconds}:{limits.cpu_seconds + 1}",
        f"--as={limits.memory_bytes}",
        f"--fsize={limits.file_bytes}",
        f"--nofile={limits.open_files}",
        f"--nproc={limits.processes}",
        "--",
    )


def _interpreters() -> Sequence[Interpreter]:
    """The one that runs us, so that generated code meets the language it was written for; then the system's."""
    prefix = Path(sys.base_prefix)
    own = Path(PYTHON_DIR) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    system = Interpreter(str(_SYSTEM_PYTHON))
    if prefix == Path("/usr"):
        return (system,)
    return (Interpreter(str(own), host_prefix=prefix), system)


def _refused(reason: str, *, fix: str) -> SandboxStatus:
    return SandboxStatus(available=False, reason=reason, fix=fix)


def _fix(complaint: str) -> str:
    if "disable-userns" in complaint:
        return "install bubblewrap 0.8 or newer"
    if "ermission denied" in complaint or "not permitted" in complaint or "No permissions" in complaint:
        return "allow user namespaces (sysctl kernel.unprivileged_userns_clone=1, or an AppArmor profile for bwrap), or run outside a container"
    return "install the packages bubblewrap and python3"
