"""An event loop in which no time passes: it never waits for the world outside, and a timer is due as soon as nothing else can go on."""

import asyncio
import selectors
from collections.abc import Callable, Mapping
from typing import Any


class Stalled(Exception):
    """Nothing can go on and no timer is set: the program under simulation waits for something that never comes."""


class VirtualTimeLoop(asyncio.SelectorEventLoop):
    """Single-threaded and without any real waiting, so the same program with the same random numbers takes the same course."""

    def __init__(self) -> None:
        self._seconds = 0.0
        super().__init__(_NoFiles(self._pass_time))

    def time(self) -> float:
        return self._seconds

    def _pass_time(self, seconds: float) -> None:
        self._seconds += seconds


class _NoFiles(selectors.BaseSelector):
    """Where the loop would wait for the world outside, virtual time passes."""

    def __init__(self, pass_time: Callable[[float], None]) -> None:
        self._pass_time = pass_time
        self._keys: dict[int, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        """The loop's own wake-up pipe; nobody writes to it, for there is one thread."""
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        self._keys[number] = selectors.SelectorKey(fileobj, number, events, data)
        return self._keys[number]

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj if isinstance(fileobj, int) else fileobj.fileno())

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise Stalled("nothing can go on")
        if timeout > 0:
            self._pass_time(timeout)
        return []

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._keys
