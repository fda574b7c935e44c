"""Remembers which requests came, for tests that count what was really asked."""

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from shadowgraph.core.json import Json
from shadowgraph.llm.offline.calls import CallCounter, CallPlace

MAX_REMEMBERED = 100_000
"""Older requests are forgotten."""

Outcome = Literal["under_way", "answered", "failed", "cut"]


@dataclass(slots=True)
class RecordedCall:
    order: int
    """1, 2, … in the order of arrival."""
    call: str | None
    """The call header as it came."""
    run_id: str
    node: str
    attempt: int
    model: str
    status: int | None = None
    """HTTP status; None while it is under way."""
    outcome: Outcome = "under_way"
    """`under_way` stays when the client went away before the end."""

    def end(self, status: int, outcome: Outcome) -> None:
        self.status, self.outcome = int(status), outcome


@dataclass(slots=True)
class CallRecorder:
    _calls: deque[RecordedCall] = field(default_factory=lambda: deque(maxlen=MAX_REMEMBERED))
    _counter: CallCounter = field(default_factory=CallCounter)
    _begun: int = 0

    def place_of(self, header: str | None) -> CallPlace:
        return self._counter.place_of(header)

    def begin(self, place: CallPlace, *, header: str | None, model: str) -> RecordedCall:
        self._begun += 1
        call = RecordedCall(self._begun, header, place.run_id, place.node, place.attempt, model)
        self._calls.append(call)
        return call

    def forget(self) -> None:
        self._calls.clear()
        self._counter = CallCounter()
        self._begun = 0

    def to_json(self) -> list[Json]:
        return [
            {
                "order": call.order,
                "call": call.call,
                "run_id": call.run_id,
                "node": call.node,
                "attempt": call.attempt,
                "model": call.model,
                "status": call.status,
                "outcome": call.outcome,
            }
            for call in self._calls
        ]
