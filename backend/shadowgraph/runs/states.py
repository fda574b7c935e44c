"""The states of a run and every legal transition between them. A trigger in the database refuses the others."""

from enum import StrEnum


class Status(StrEnum):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    AWAITING_HUMAN = "AWAITING_HUMAN"
    PAUSED = "PAUSED"
    BUDGET_EXCEEDED = "BUDGET_EXCEEDED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


ENDED = frozenset({Status.COMPLETED, Status.FAILED, Status.CANCELLED})
"""No worker will touch the run again; a FAILED one may be retried in place."""

WAITS_FOR_A_PERSON = frozenset({Status.AWAITING_HUMAN, Status.PAUSED, Status.BUDGET_EXCEEDED})
"""Nothing goes on by itself: whoever waits for the run gets an answer."""

_Q, _R, _H, _P, _B = Status.QUEUED, Status.RUNNING, Status.AWAITING_HUMAN, Status.PAUSED, Status.BUDGET_EXCEEDED
_C, _F, _X = Status.COMPLETED, Status.FAILED, Status.CANCELLED

TRANSITIONS: frozenset[tuple[Status, Status]] = frozenset(
    {
        (_Q, _R), (_Q, _P), (_Q, _F), (_Q, _X),
        (_R, _Q), (_R, _H), (_R, _P), (_R, _B), (_R, _C), (_R, _F), (_R, _X),
        (_H, _Q), (_H, _P), (_H, _F), (_H, _X),
        (_P, _Q), (_P, _H), (_P, _F), (_P, _X),
        (_B, _Q), (_B, _P), (_B, _F), (_B, _X),
        (_F, _Q),
    }
)  # fmt: skip


def is_legal(before: Status, after: Status) -> bool:
    return (before, after) in TRANSITIONS
