"""The process that forks worker processes: a copy of this one, or a new interpreter with `python -m shadowgraph.wiring.forkserver FD`."""

import gc
import socket
import sys
from importlib import import_module
from typing import NoReturn

from shadowgraph.wiring.interpreters import Interpreter
from shadowgraph.worker.forkserver import ForkServer, Order, is_single_threaded, serve_forks

CHILD = "shadowgraph.wiring.child"
"""Imported in the server only: it brings the graph library."""


async def start_server(interpreter: Interpreter) -> ForkServer:
    """A copy of this process is there at once, but only a process with one thread can be copied."""
    if interpreter.is_ours and is_single_threaded():
        return await ForkServer.forked(main)
    command = (str(interpreter.path), "-P", "-m", __name__)
    return await ForkServer.executed(lambda fd: [*command, str(fd)], env=interpreter.environment)


def main(control: socket.socket) -> NoReturn:
    serve_forks(control, preload=_preload, become=_become)


def _preload() -> None:
    import_module(CHILD)
    gc.freeze()  # what all children share stays shared: the collector does not touch it


def _become(order: Order, line: socket.socket) -> int:
    code: int = import_module(CHILD).run(order, line)
    return code


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
