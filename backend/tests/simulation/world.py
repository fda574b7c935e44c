"""What a simulated deployment is made of between two steps, as values: taking a step back means taking the older value."""

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Literal

from shadowgraph.runs.run import Run
from shadowgraph.runs.states import ENDED, Status
from shadowgraph.runs.sweeper import Grace, Sweeper
from tests.simulation.rules import KnownRun, Memory

LEASE_MS = 2000
SCRIPTS = ("c", "c", "c-", "cc", "-c", "C-", "q", "qc", "cq", "d", "x-", "p-", "--")
"""What the nodes of a run do: c calls a model, C calls it with another question each time, q asks a person, d asks one and has a default
answer, x fails at the first try, p wants to come back later at the first try, - just leaves a checkpoint."""


@dataclass(frozen=True, slots=True)
class RunPlan:
    name: str
    script: str
    thread_id: str | None
    timeout_seconds: float | None


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is there when a schedule begins: two runs that were accepted. The third comes when somebody sends it."""

    runs: tuple[RunPlan, RunPlan]
    late: RunPlan
    slots: int
    """Of each of the two workers."""


def build_scenario(rng: Random) -> Scenario:
    thread = rng.choice([None, "talk"])

    def plan(name: str) -> RunPlan:
        return RunPlan(name, rng.choice(SCRIPTS), thread, rng.choice([None, None, None, 4.0]))

    return Scenario((plan("r1"), plan("r2")), plan("r3"), slots=rng.choice([1, 2]))


Stage = Literal["begins", "asked", "answered"]


@dataclass(frozen=True, slots=True)
class Drive:
    """What a worker remembers of a run that it has claimed; gone when it dies."""

    run: Run
    event_seq: int
    node: int
    checkpoint_id: str | None
    """The last one, which the next one follows."""
    stage: Stage = "begins"
    attempt: int = 0
    told: str | None = None
    """What a heartbeat said that somebody wants."""


@dataclass(frozen=True, slots=True)
class World:
    now_ms: int
    contact_ms: int
    """Time that passed while the database was there."""
    sweeper: Sweeper
    sweeper_since_ms: int
    drives: Mapping[str, tuple[Drive, ...]]
    """By worker."""
    messages: tuple[str, ...] = ()
    """Run ids that the broker holds."""
    memory: Memory = field(default_factory=Memory)
    violations: tuple[str, ...] = ()

    def id_of(self, name: str) -> str | None:
        return next((run_id for run_id, run in self.memory.runs.items() if run.name == name), None)

    def name_of(self, run_id: str) -> str:
        return self.memory.runs[run_id].name

    def find_drive(self, who: str, run_id: str | None) -> Drive | None:
        return next((drive for drive in self.drives[who] if drive.run.id == run_id), None)

    def with_drives(self, who: str, drives: Iterator[Drive]) -> "World":
        return replace(self, drives={**self.drives, who: tuple(drives)})

    def violated(self, what: str) -> "World":
        return replace(self, violations=(*self.violations, what))

    @property
    def patience_ms(self) -> int:
        """How long an owner must have been silent before the sweeper may judge it; two heartbeats when the sweeper is young."""
        return LEASE_MS if self.now_ms - self.sweeper_since_ms >= LEASE_MS else LEASE_MS // 3

    def has_due_run(self) -> bool:
        """One that is QUEUED and not parked; it may still have to wait for its turn."""
        return any(
            run.status is Status.QUEUED and run.row["available_at"] <= self.now_ms for run in self.memory.runs.values()
        )

    def has_claimable_run(self) -> bool:
        memory = self.memory
        return any(
            run.status is Status.QUEUED
            and run.row["available_at"] <= self.now_ms
            and all(other.status in ENDED for other in memory.older(run))
            for run in memory.runs.values()
        )

    def has_due_message(self) -> bool:
        return any(due <= self.now_ms for _, _, due in self.memory.messages)

    def is_at_rest(self) -> bool:
        return all(self.memory.rests(run) for run in self.memory.runs.values())


def twin_of(sweeper: Sweeper) -> Sweeper:
    """The same memory, apart from now on."""
    twin = copy(sweeper)
    twin._grace = copy(sweeper._grace)
    return twin


# --- when are two worlds the same? ------------------------------------------------------------------------------------------


def essence_of(world: World) -> tuple[Any, ...]:
    """Equal for worlds with the same future: ids, moments and counters matter only by their differences."""
    now = world.now_ms
    return (
        tuple(_essence_of_run(run, world) for run in world.memory.runs.values()),
        tuple(tuple(sorted(_essence_of_drive(drive, world) for drive in drives)) for drives in world.drives.values()),
        tuple(sorted(map(world.name_of, world.messages))),
        tuple(sorted((world.name_of(run_id), max(due - now, 0)) for _, run_id, due in world.memory.messages)),
        _essence_of_grace(world.sweeper._grace, now),
    )


def _essence_of_run(run: KnownRun, world: World) -> tuple[Any, ...]:
    row, now = run.row, world.now_ms
    if run.status in ENDED and run.status is not Status.FAILED:
        return (run.name, run.status)
    return (
        run.name, run.status, row["control"], row["crash_streak"], row["claims"], row["takeovers"], row["generation"],
        _left(row["lease_expires_at"], now), _left(row["available_at"], now), _left(row["deadline_at"], now),
        run.streak, run.is_told_to, run.has_started, run.calls, len(run.checkpoints),
        tuple(status for _, status in run.questions),
        world.contact_ms - run.heard_at_ms if run.status is Status.RUNNING else 0,
    )  # fmt: skip


def _essence_of_drive(drive: Drive, world: World) -> tuple[Any, ...]:
    run = world.memory.runs[drive.run.id]
    if run.row["lease_token"] != drive.run.lease_token:
        return (run.name, False, drive.stage)
    is_last = bool(run.checkpoints) and drive.checkpoint_id == run.checkpoints[-1]
    behind = run.row["event_seq"] - drive.event_seq
    return (run.name, True, drive.stage, drive.node, drive.attempt, str(drive.told), is_last, behind)


def _essence_of_grace(grace: Grace, now_ms: int) -> tuple[Any, ...]:
    now = now_ms / 1000
    lease = LEASE_MS / 1000
    moments = (grace._began, grace._in_touch_since, grace._last_contact)
    return tuple(min(round(now - moment, 3), 2 * lease) for moment in moments)


def _left(moment_ms: int | None, now_ms: int) -> int | None:
    return None if moment_ms is None else max(moment_ms - now_ms, -1)
