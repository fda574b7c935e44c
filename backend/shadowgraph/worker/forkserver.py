"""Starts worker processes by forking one that has imported everything: a new one is there in milliseconds, and they share what was imported.

The server is a process of one thread without a database or event loop. It and its children die with the process that started it.
"""

import asyncio
import ctypes
import json
import logging
import os
import selectors
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1
"""Of Linux' prctl."""
MAX_REQUEST_BYTES = 131_072
FDS_PER_CHILD = 2
MAX_FDS = 1024
"""How far is looked for open files where the system has no list of them."""
ORPHANED = 1
FAILED_CHILD = 1

Order = Mapping[str, Any]
"""What a child is to do, as JSON."""

Become = Callable[[Order, socket.socket], int]
"""Called in the child with its order and its end of the line; the exit code."""


class ServerGone(Exception):
    """The server has ended, and whatever it had forked with it."""


# --- the server -----------------------------------------------------------------------------------------------------------------


def serve_forks(control: socket.socket, *, preload: Callable[[], None], become: Become) -> NoReturn:
    """Forks what it is asked for until the other end of `control` is closed. Never returns."""
    die_with(os.getppid())
    preload()
    server = _Server(control, become)
    server.serve()
    os._exit(0)


def die_with(parent: int) -> None:
    """This process is killed when that one, its parent, ends; where the system cannot do that, the closed line tells it later."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(ORPHANED)


class _Server:
    def __init__(self, control: socket.socket, become: Become) -> None:
        self._control = control
        self._become = become
        self._living: set[int] = set()
        self._woken, self._wake = socket.socketpair()
        for end in (self._woken, self._wake):
            end.setblocking(False)

    def serve(self) -> None:
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._woken, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                if self._woken in ready:
                    self._reap()
                if self._control in ready and not self._obey():
                    break
        for pid in self._living:
            _signal(pid, signal.SIGKILL)

    def _obey(self) -> bool:
        """False when nobody asks any more."""
        try:
            data, fds, _, _ = socket.recv_fds(self._control, MAX_REQUEST_BYTES, FDS_PER_CHILD)
        except ConnectionResetError:
            return False
        if not data:
            return False
        request = json.loads(data)
        if "start" in request:
            self._start(request, fds)
        elif request["pid"] in self._living:
            _signal(request["pid"], request["signal"])
        return True

    def _start(self, request: Mapping[str, Any], fds: Sequence[int]) -> None:
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._be_child(server, request["order"], *fds)
        for fd in fds:
            os.close(fd)
        self._living.add(pid)
        self._say(started=request["start"], pid=pid)

    def _be_child(self, server: int, order: Order, line: int, output: int) -> NoReturn:
        code = FAILED_CHILD
        try:
            die_with(server)
            forget_signals()
            os.setsid()
            _redirect(output)
            keep_only(line)
            code = self._become(order, socket.socket(fileno=line))
        except BaseException:  # noqa: BLE001  the outermost frame of a process
            sys.excepthook(*sys.exc_info())
        finally:
            with suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            while self._woken.recv(4096):
                pass
        for pid in list(self._living):
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                _signal(pid, signal.SIGKILL)  # what it has started ends with it
                _, status = os.waitpid(pid, 0)
                self._living.discard(pid)
                self._say(ended=pid, code=os.waitstatus_to_exitcode(status))

    def _say(self, **facts: int) -> None:
        with suppress(OSError):  # the other end is gone; the next look at it says so
            self._control.send(json.dumps(facts).encode())


def _signal(pid: int, number: int) -> None:
    """SIGKILL is for all that the child has started, too; any other is for the child to act on."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)
    if number == signal.SIGKILL:
        with suppress(ProcessLookupError):  # it has not begun its session yet
            os.killpg(pid, number)


def forget_signals() -> None:
    """What the process that was forked had arranged is not for its child."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def _redirect(output: int) -> None:
    silence = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((silence, 0), (output, 1), (output, 2)):
        os.dup2(source, target)


def keep_only(fd: int) -> None:
    """Of everything beyond stdin, stdout and stderr; and what this process starts does not get it."""
    os.set_inheritable(fd, False)
    for number in _open_fds():
        if number > 2 and number != fd:
            with suppress(OSError):
                os.close(number)


def _open_fds() -> list[int]:
    listing = Path("/proc/self/fd")
    return [int(entry.name) for entry in listing.iterdir()] if listing.exists() else list(range(MAX_FDS))


# --- the process that asks ------------------------------------------------------------------------------------------------------


class ForkServer:
    """The other end: asks for children, and learns how each of them ended."""

    def __init__(self, control: socket.socket, wait_for_end: Callable[[], Awaitable[object]]) -> None:
        self._control = control
        self._control.setblocking(False)
        self._wait_for_end = wait_for_end
        self._asked = 0
        self._starting: dict[int, asyncio.Future[Forked]] = {}
        self._living: dict[int, asyncio.Future[int | None]] = {}
        self.is_gone = False
        self._reading = asyncio.create_task(self._read(), name="fork server")

    @classmethod
    async def forked(cls, main: Callable[[socket.socket], NoReturn]) -> "ForkServer":
        """This process itself, as it is now. Only before it has a second thread.

        Forked from a callback, so that the copy is in no task of the event loop; it never returns to that loop.
        """
        ours, theirs = _control_pair()
        forked: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def fork() -> None:
            pid = os.fork()
            if pid == 0:
                _leave(theirs, main)
            forked.set_result(pid)

        asyncio.get_running_loop().call_soon(fork)
        pid = await forked
        theirs.close()
        return cls(ours, lambda: asyncio.to_thread(os.waitpid, pid, 0))

    @classmethod
    async def executed(
        cls, command: Callable[[int], Sequence[str]], *, env: Mapping[str, str] | None = None
    ) -> "ForkServer":
        """A new interpreter; `command` gets the number of its control socket."""
        ours, theirs = _control_pair()
        fd = theirs.fileno()
        process = await asyncio.create_subprocess_exec(
            *command(fd), stdin=asyncio.subprocess.DEVNULL, env=env, pass_fds=(fd,), start_new_session=True
        )
        theirs.close()
        return cls(ours, process.wait)

    async def start(self, order: Order, *, line: socket.socket, output: int) -> "Forked":
        """Errors: `ServerGone`."""
        self._asked += 1
        number = self._asked
        started: asyncio.Future[Forked] = asyncio.get_running_loop().create_future()
        self._starting[number] = started
        request = json.dumps({"start": number, "order": order}).encode()
        try:
            if self.is_gone:
                raise ServerGone
            socket.send_fds(self._control, [request], [line.fileno(), output])
            return await started
        except OSError as error:
            raise ServerGone from error
        finally:
            self._starting.pop(number, None)

    def signal(self, pid: int, number: int) -> None:
        """Nothing happens when it has ended: its number may be somebody else's by now."""
        if pid in self._living:
            with suppress(OSError):
                self._control.send(json.dumps({"pid": pid, "signal": number}).encode())

    async def close(self) -> None:
        """What still lives is killed."""
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)
        self._control.close()
        await self._wait_for_end()

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while data := await loop.sock_recv(self._control, MAX_REQUEST_BYTES):
                self._note(json.loads(data))
        except OSError as error:
            log.debug("the fork server's line broke: %s", error)
        finally:
            self._give_up()

    def _note(self, said: Mapping[str, int]) -> None:
        if "started" in said:
            self._note_start(said["started"], said["pid"])
        else:
            self._living.pop(said["ended"]).set_result(said["code"])

    def _note_start(self, number: int, pid: int) -> None:
        ended = self._living[pid] = asyncio.get_running_loop().create_future()
        started = self._starting.get(number)
        if started is None or started.done():  # whoever asked for it was cancelled meanwhile
            self.signal(pid, signal.SIGKILL)
        else:
            started.set_result(Forked(self, pid, ended))

    def _give_up(self) -> None:
        self.is_gone = True
        for started in self._starting.values():
            if not started.done():
                started.set_exception(ServerGone())
        for ended in self._living.values():
            if not ended.done():
                ended.set_result(None)
        self._living.clear()


class Forked:
    """One child."""

    def __init__(self, server: ForkServer, pid: int, ended: "asyncio.Future[int | None]") -> None:
        self._server = server
        self.pid = pid
        self._ended = ended

    def signal(self, number: int) -> None:
        self._server.signal(self.pid, number)

    async def wait(self) -> int | None:
        """The exit code, negative for a signal; None: it went down with its server."""
        return await asyncio.shield(self._ended)


def is_single_threaded() -> bool:
    """Python's own count: what a library has started beside it is not in it."""
    tasks = Path("/proc/self/task")
    return (len(list(tasks.iterdir())) if tasks.exists() else threading.active_count()) == 1


def _control_pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def _leave(control: socket.socket, main: Callable[[socket.socket], NoReturn]) -> NoReturn:
    """In the copy: none of what the original has open or under way is ours."""
    try:
        forget_signals()
        os.setsid()
        keep_only(control.fileno())
        main(control)
    finally:
        os._exit(FAILED_CHILD)
