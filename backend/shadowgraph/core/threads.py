"""Threads that a node starts by hand know which run they belong to.

Python gives a new thread an empty context (before 3.14, and after it unless asked), so a model that is called there would find no run and be
counted nowhere. The few variables that name the run are handed on, as tracing libraries do it. The place in the graph is not: what such
threads do has no order that would be the same again after a crash.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any

_Values = Mapping[ContextVar[Any], Any]
_handed_on: set[ContextVar[Any]] = set()


def hand_on(*variables: ContextVar[Any]) -> None:
    """From now on, in the whole process; their default must be None. Doing it again changes nothing."""
    if not _handed_on:
        _wrap_starting()
        _wrap_submitting()
    _handed_on.update(variables)


def _wrap_starting() -> None:
    start = threading.Thread.start

    def start_with_values(thread: threading.Thread) -> None:
        if any((values := _values()).values()):
            thread.run = partial(_run_with, values, thread.run)  # type: ignore[method-assign]  # subclasses bring a run of their own
        start(thread)

    threading.Thread.start = start_with_values  # type: ignore[method-assign,assignment]


def _wrap_submitting() -> None:
    """Threads of a pool outlive the work that they were started for: each piece of work brings its own values."""
    submit = ThreadPoolExecutor.submit

    def submit_with_values(
        pool: ThreadPoolExecutor, work: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Future[Any]:
        return submit(pool, partial(_run_with, _values(), work), *args, **kwargs)

    ThreadPoolExecutor.submit = submit_with_values  # type: ignore[method-assign,assignment]


def _values() -> _Values:
    return {variable: variable.get() for variable in tuple(_handed_on)}


def _run_with(values: _Values, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    def begin() -> Any:
        for variable, value in values.items():
            variable.set(value)
        return work(*args, **kwargs)

    return copy_context().run(begin)
