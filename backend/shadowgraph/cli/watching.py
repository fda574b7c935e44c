"""Stays with a run until it rests, the time is up, or the user presses Ctrl-C."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from shadowgraph.cli.client import Client, Json
from shadowgraph.cli.display import Display
from shadowgraph.cli.events import RESTING_EVENTS, RunEvent, follow
from shadowgraph.cli.exits import AT_REST

SECOND_PRESS_SECONDS = 2.0
"""So long after the first Ctrl-C a second one asks to cancel the run."""

Ending = Literal["rest", "timeout", "interrupt"]


@dataclass(frozen=True, slots=True)
class Watched:
    ending: Ending
    run: Json | None = None
    """Only of a run at rest."""


class Interrupts:
    """Counts Ctrl-C. The first two are handed out; the third ends the process as usual."""

    def __init__(self) -> None:
        self._presses: asyncio.Queue[None] = asyncio.Queue()
        self._remaining = 2

    async def next(self) -> None:
        await self._presses.get()

    async def next_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.next()
        except TimeoutError:
            return False
        return True

    @contextmanager
    def caught(self) -> Iterator["Interrupts"]:
        loop = asyncio.get_running_loop()
        before = signal.getsignal(signal.SIGINT)
        loop.add_signal_handler(signal.SIGINT, self._press)
        try:
            yield self
        finally:
            loop.remove_signal_handler(signal.SIGINT)
            signal.signal(signal.SIGINT, before)

    def _press(self) -> None:
        self._presses.put_nowait(None)
        self._remaining -= 1
        if self._remaining == 0:
            asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)


async def watch(
    client: Client, run_id: str, display: Display, *, timeout_seconds: float | None, interrupts: Interrupts
) -> Watched:
    """Leaving early never touches the run.

    Errors: `CommandFailed` for an unknown run, or when the server stays away.
    """
    resting = asyncio.create_task(_until_rest(client, run_id, display))
    pressed = asyncio.create_task(interrupts.next())
    try:
        await asyncio.wait({resting, pressed}, timeout=timeout_seconds, return_when=asyncio.FIRST_COMPLETED)
        if resting.done():
            return Watched("rest", resting.result())
        return Watched("interrupt" if pressed.done() else "timeout")
    finally:
        await _stop(resting, pressed)


async def _until_rest(client: Client, run_id: str, display: Display) -> Json:
    async for event in follow(client, run_id):
        display.show(event)
        if event.type in RESTING_EVENTS:
            run = await client.get_run(run_id)
            if run["status"] in AT_REST and run["status"] == _told_by(event):
                return run
    return await client.get_run(run_id)  # only the stream of an ended run ends


def _told_by(event: RunEvent) -> str:
    """An earlier rest is not this one: the run may have gone on, and come to its end, before it was asked."""
    return str(event.facts.get("status") or event.type.removeprefix("run.").upper())


async def _stop(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
