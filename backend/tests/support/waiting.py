"""Waiting for what other tasks and processes do, without sleeping for a guessed time."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

POLL_SECONDS = 0.005
HTTP_POLL_SECONDS = 0.05
"""Between requests to a server: looking at it all the time would take the time that it works in."""

T = TypeVar("T")


@overload
async def wait_until(
    condition: Callable[[], Awaitable[T | None]],
    *,
    timeout_seconds: float = ...,
    what: str = ...,
    every_seconds: float = ...,
) -> T: ...


@overload
async def wait_until(
    condition: Callable[[], T | None], *, timeout_seconds: float = ..., what: str = ..., every_seconds: float = ...
) -> T: ...


async def wait_until(
    condition: Callable[[], Any],
    *,
    timeout_seconds: float = 10.0,
    what: str = "the condition",
    every_seconds: float = POLL_SECONDS,
) -> Any:
    """The first truthy value of `condition`, which may be a coroutine function.

    Errors: `AssertionError` with `what` and the last value when the time is up.
    """
    deadline = time.monotonic() + timeout_seconds
    while True:
        value = condition()
        if inspect.isawaitable(value):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_seconds} s for {what}; last value: {value!r}")
        await asyncio.sleep(every_seconds)
