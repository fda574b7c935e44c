"""The fork server with children that import nothing of ours: how they begin, end and are ended."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from shadowgraph.worker.forkserver import Forked, ForkServer, ServerGone
from tests.support.processes import BACKEND, read_state
from tests.support.waiting import wait_until

MAIN = """
import os, signal, socket, sys, time
from shadowgraph.worker.forkserver import serve_forks

def become(order, line):
    line.send(str(os.getpid()).encode())
    if "child" in order and os.fork() == 0:
        time.sleep(60)
    if "wait" in order:
        line.recv(1)
    if "raise" in order:
        raise ValueError("planted")
    print(order.get("say", ""))
    return order["code"]

serve_forks(socket.socket(fileno=int(sys.argv[1])), preload=lambda: None, become=become)
"""


@pytest.fixture
async def server() -> AsyncIterator[ForkServer]:
    env = {**os.environ, "PYTHONPATH": str(BACKEND)}
    started = await ForkServer.executed(lambda fd: [sys.executable, "-c", MAIN, str(fd)], env=env)
    yield started
    await started.close()


async def start(server: ForkServer, **order: Any) -> tuple[Forked, socket.socket, int]:
    """The child, our end of its line, and the pipe with what it says. The child has begun."""
    ours, theirs = socket.socketpair()
    output, written = os.pipe()
    with theirs:
        forked = await server.start(order, line=theirs, output=written)
    os.close(written)
    ours.setblocking(False)
    begun = await asyncio.get_running_loop().sock_recv(ours, 100)
    assert int(begun) == forked.pid
    return forked, ours, output


async def test_a_child_gets_its_order_and_its_end_is_told(server: ForkServer) -> None:
    forked, line, output = await start(server, code=7, say="hello")

    code = await forked.wait()

    assert code == 7
    with os.fdopen(output) as said, line:
        assert said.read() == "hello\n"


async def test_a_signal_ends_a_child_and_is_told(server: ForkServer) -> None:
    forked, line, output = await start(server, code=0, wait=True)

    forked.signal(signal.SIGTERM)

    assert await forked.wait() == -signal.SIGTERM
    line.close()
    os.close(output)


async def test_an_error_of_a_child_is_an_exit_code_and_a_traceback(server: ForkServer) -> None:
    forked, line, output = await start(server, **{"code": 0, "raise": True})

    assert await forked.wait() == 1
    with os.fdopen(output) as said, line:
        assert "ValueError: planted" in said.read()


async def test_what_a_child_has_started_ends_with_it(server: ForkServer) -> None:
    forked, line, output = await start(server, code=0, child=True)

    assert await forked.wait() == 0

    with os.fdopen(output, "rb") as said, line:
        await asyncio.to_thread(said.read)  # to its end, which comes when nobody has it open any more


async def test_a_child_that_nobody_waits_for_any_more_is_ended(server: ForkServer) -> None:
    ours, theirs = socket.socketpair()
    output, written = os.pipe()
    with ours, theirs:
        starting = asyncio.create_task(server.start({"code": 0, "wait": True}, line=theirs, output=written))
        await asyncio.sleep(0)  # the server is asked
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        os.close(written)

        with os.fdopen(output, "rb") as said:
            await asyncio.to_thread(said.read)  # to its end, which comes when the child has gone

    forked, line, another_output = await start(server, code=3)
    assert await forked.wait() == 3
    line.close()
    os.close(another_output)


async def test_children_end_with_the_server_that_forked_them(server: ForkServer) -> None:
    forked, line, output = await start(server, code=0, wait=True)

    await server.close()

    await wait_until(lambda: read_state(forked.pid) in ("", "Z"), what="the child to end")
    with pytest.raises(ServerGone):
        await server.start({"code": 0}, line=line, output=output)
    line.close()
    os.close(output)


async def test_a_child_that_went_down_with_its_server_has_no_exit_code(server: ForkServer) -> None:
    forked, line, output = await start(server, code=0, wait=True)
    parent = await asyncio.to_thread(_parent_of, forked.pid)

    os.kill(parent, signal.SIGKILL)

    assert await forked.wait() is None
    assert server.is_gone
    await wait_until(lambda: read_state(forked.pid) in ("", "Z"), what="the child to end")
    line.close()
    os.close(output)


def _parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
