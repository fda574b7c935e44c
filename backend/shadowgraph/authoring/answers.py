"""One model call, seen while its answer is written: pieces of text first, the whole answer last."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from enum import Enum
from queue import SimpleQueue
from typing import Any

from shadowgraph.core.calls import Completion, DeltaSink
from shadowgraph.core.errors import Unavailable

Call = Callable[[DeltaSink], Awaitable[Completion]]


class AnswerRestarted(Unavailable):
    """The stream broke after text had gone out, and the answer that came instead begins differently.

    The new answer is recorded: when the step is repeated, which may be at once, the same call returns it.
    """

    code = "answer_restarted"


@dataclass(frozen=True, slots=True)
class Ended:
    completion: Completion
    shown: str
    """The text that the reader has already."""

    @property
    def rest(self) -> str:
        """Errors: `AnswerRestarted`."""
        if not self.completion.text.startswith(self.shown):
            raise AnswerRestarted(
                "the answer broke off and was made again, and the text that was shown is not part of the new one",
                retry_after=0,
            )
        return self.completion.text[len(self.shown) :]


async def stream_answer(call: Call) -> AsyncGenerator[str | Ended, None]:
    """Pieces, then `Ended`. A reader that leaves early cancels the call."""
    loop = asyncio.get_running_loop()
    items: asyncio.Queue[_Item] = asyncio.Queue()
    # The ports may live in another loop than this node's thread.
    sink = _Sink(lambda item: loop.call_soon_threadsafe(items.put_nowait, item))
    task = asyncio.ensure_future(call(sink))
    task.add_done_callback(lambda _: items.put_nowait(_Mark.END))
    reader = _Reader()
    try:
        while (item := await items.get()) is not _Mark.END:
            if piece := reader.take(item):
                yield piece
        yield Ended(await task, reader.shown)
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait([task])


def iterate_answer(run_blocking: Callable[[Awaitable[Any]], Any], call: Call) -> Iterator[str | Ended]:
    """The same for sync code. A reader that leaves early waits for the call's end: it is paid, so its answer gets recorded."""
    items: SimpleQueue[_Item] = SimpleQueue()
    reader = _Reader()
    with ThreadPoolExecutor(1, thread_name_prefix="shadowgraph-stream") as thread:
        work = thread.submit(copy_context().run, run_blocking, call(_Sink(items.put)))
        work.add_done_callback(lambda _: items.put(_Mark.END))
        while (item := items.get()) is not _Mark.END:
            if piece := reader.take(item):
                yield piece
        yield Ended(work.result(), reader.shown)


class _Mark(Enum):
    RESTART = "restart"
    END = "end"


_Item = str | _Mark


class _Sink:
    """`core.calls.DeltaSink` that hands everything to whoever reads the answer."""

    def __init__(self, put: Callable[[_Item], object]) -> None:
        self._put = put

    async def __call__(self, text: str) -> None:
        self._put(text)

    async def restart(self) -> None:
        self._put(_Mark.RESTART)


class _Reader:
    """Text that was shown cannot be taken back: after a restart nothing more is shown until the whole answer is there."""

    def __init__(self) -> None:
        self.shown = ""
        self._is_void = False

    def take(self, item: _Item) -> str:
        """What to show now; `""` for nothing."""
        if isinstance(item, _Mark):
            self._is_void = True
        if isinstance(item, _Mark) or self._is_void:
            return ""
        self.shown += item
        return item
