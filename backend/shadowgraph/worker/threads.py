"""Threads for sync nodes, and for everything else that the event loop hands to its executor."""

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")


class NodeThreads(ThreadPoolExecutor):
    """A thread for each piece of work, at once and without a limit; none of them keeps the process alive.

    The event loop's own executor has few threads. Sync nodes that wait for a call fill it, and the call then waits for a thread of it, to
    look up a host name: nobody ever goes on. And its threads are joined at the end, so that a node that sleeps would outlast any drain.
    Nor do they know the place in the graph of what `run_in_executor` gave them; these do.
    """

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        future: Future[T] = Future()
        work = partial(copy_context().run, fn, *args, **kwargs)
        threading.Thread(target=_run, args=(future, work), name="node", daemon=True).start()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Nobody waits: what still runs belongs to runs that were handed back."""


def _run(future: Future[T], work: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = work()
    except BaseException as error:  # noqa: BLE001  it belongs to whoever waits for the result
        future.set_exception(error)
    else:
        future.set_result(result)
