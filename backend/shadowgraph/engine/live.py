"""Text of answers as it arrives: at once to whoever watches, and at most twice a second into the events for replay."""

from shadowgraph.core.calls import CallId, DeltaSink, Place
from shadowgraph.core.clock import Clock
from shadowgraph.engine.recorder import RunRecorder
from shadowgraph.queue.message import LiveText, Wake
from shadowgraph.queue.port import Wakeups

DURABLE_EVERY_SECONDS = 0.5


class LiveOutput:
    """One per claim: hands each call a sink for its text."""

    def __init__(self, recorder: RunRecorder, wakeups: Wakeups, *, clock: Clock) -> None:
        self._recorder = recorder
        self._wakeups = wakeups
        self._clock = clock

    def sink_for(self, call: CallId, author: DeltaSink | None) -> DeltaSink | None:
        """Text without a place in the graph has nobody to go to but its author."""
        if call.place is None:
            return author
        return _CallSink(self._recorder, self._wakeups, call.place, call.key, author, clock=self._clock)


class _CallSink:
    """Readers put pieces together by call and offset, so a stream that starts again goes on under another name."""

    def __init__(
        self,
        recorder: RunRecorder,
        wakeups: Wakeups,
        place: Place,
        call_key: str,
        author: DeltaSink | None,
        *,
        clock: Clock,
    ) -> None:
        self._recorder = recorder
        self._wakeups = wakeups
        self._place = place
        self._call_key = call_key
        self._author = author
        self._clock = clock
        self._restarts = 0
        self._sent = 0
        self._stored = 0
        self._waiting: list[str] = []
        self._last_stored_at = float("-inf")

    async def __call__(self, text: str) -> None:
        if text:
            await self._send(text)
        if self._author:
            await self._author(text)

    async def restart(self) -> None:
        self._restarts += 1
        self._sent = self._stored = 0
        self._waiting.clear()
        if self._author:
            await self._author.restart()

    async def _send(self, text: str) -> None:
        frame = self._frame(self._sent, text)
        self._sent += len(text)
        self._waiting.append(text)
        await self._wakeups.publish(Wake(run_id=self._recorder.claim.run_id, live=frame))
        if self._clock.monotonic() - self._last_stored_at >= DURABLE_EVERY_SECONDS:
            await self._store()

    async def _store(self) -> None:
        text = "".join(self._waiting)
        self._waiting.clear()
        self._last_stored_at = self._clock.monotonic()
        frame = self._frame(self._stored, text)
        self._stored += len(text)
        await self._recorder.write_delta(self._place, frame.model_dump())

    def _frame(self, offset: int, text: str) -> LiveText:
        return LiveText(
            node=self._place.node,
            superstep=self._place.superstep,
            attempt=self._recorder.attempt_of(self._place),
            call=self._call_key if not self._restarts else f"{self._call_key}~{self._restarts}",
            offset=offset,
            text=text,
        )
