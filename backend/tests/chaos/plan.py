"""Which fault comes when, in a storm: the seed decides, and nothing else."""

import random
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "kill worker",
    "freeze worker",
    "cut worker off",
    "stall heartbeat of worker",
    "terminate worker",
    "kill API",
    "restart database",
    "kill database",
    "kill broker",
    "stop broker",
    "cut database connections",
    "cut broker connections",
    "lose the answer to a COMMIT",
]

WEIGHTS: dict[Kind, int] = {
    "kill worker": 8,
    "freeze worker": 5,
    "cut worker off": 3,
    "stall heartbeat of worker": 8,
    "terminate worker": 3,
    "kill API": 1,
    "restart database": 1,
    "kill database": 1,
    "kill broker": 1,
    "stop broker": 1,
    "cut database connections": 1,
    "cut broker connections": 1,
    "lose the answer to a COMMIT": 2,
}
PAUSE_SECONDS = (0.7, 2.2)
DURATIONS: dict[Kind, tuple[float, float]] = {
    "freeze worker": (0.5, 6.0),
    "cut worker off": (2.0, 6.0),
    "stall heartbeat of worker": (3.0, 4.5),
    "restart database": (0.0, 4.0),
}
"""Seconds, where a fault lasts."""


@dataclass(frozen=True, slots=True)
class Fault:
    at: float
    """Seconds after the beginning."""
    kind: Kind
    worker: int
    """Which one, where a worker is hit."""
    seconds: float

    @property
    def victim(self) -> str:
        """What cannot be hit again until this fault is over."""
        of_all = next((name for name in ("API", "database", "broker") if name in self.kind), None)
        return of_all or f"worker {self.worker}"


def plan_faults(seed: int, *, seconds: float, workers: int) -> list[Fault]:
    chance = random.Random(seed)
    kinds, weights = list(WEIGHTS), list(WEIGHTS.values())
    faults: list[Fault] = []
    at = chance.uniform(*PAUSE_SECONDS)
    while at < seconds:
        (kind,) = chance.choices(kinds, weights)
        lasts = chance.uniform(*DURATIONS.get(kind, (0.0, 0.0)))
        faults.append(Fault(at, kind, chance.randrange(workers), lasts))
        at += chance.uniform(*PAUSE_SECONDS)
    return faults
