"""Many schedules of one small scenario: a tree that is walked with a seeded choice of branches, each taken to the end.

A schedule is a path from the root: some steps with trouble and wishes, then calm until every run has ended or waits for a person. It is
not walked further where it meets a world that another schedule has already taken to its end: the rest would be the same again.
"""

import gc
import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from shadowgraph.runs.states import Status
from tests.simulation.action import Action, write_schedule
from tests.simulation.site import WORKERS, Site
from tests.simulation.world import World, build_scenario, essence_of

STEPS = 16
"""Of a schedule, before it becomes calm."""
TROUBLE = 3
"""Accidents in one schedule."""
WISHES = 3
"""What people want in one schedule, beside the two runs."""
BRANCHES = (1, 1, 1, 1, 1, 2)
"""How many ways on are tried at a point: one of these, so that a walk soon has a part of its own."""
LAST_STEPS = 3
LAST_BRANCHES = 4
"""In the last steps before the calm more ways are tried: what they have in common is walked once."""
LONGEST_CALM = 200
"""Steps after which a schedule that nothing disturbs any more must have come to rest."""

FITTING = {
    Status.QUEUED: ("pause", "cancel"),
    Status.RUNNING: ("pause", "pause", "cancel"),
    Status.AWAITING_HUMAN: ("pause", "cancel"),
    Status.PAUSED: ("resume", "resume", "resume", "cancel"),
    Status.FAILED: ("retry", "retry"),
}
"""What people do, beside answering whatever was ever asked; nobody touches what has ended well or was cancelled."""
ANSWERING = 4


@dataclass(frozen=True, slots=True)
class Budget:
    steps: int = STEPS
    trouble: int = TROUBLE
    wishes: int = WISHES

    def after(self, action: Action) -> "Budget":
        is_trouble = bool(action.mark) or action.verb in _TROUBLE
        is_wish = action.verb in _WISHES
        return Budget(self.steps - 1, self.trouble - is_trouble, self.wishes - is_wish)


_TROUBLE = ("die", "leave", "lose", "double", "outage", "sweeper")
_WISHES = ("cancel", "pause", "resume", "retry", "answer", "post")


@dataclass(frozen=True, slots=True)
class Violation:
    seed: int
    found: tuple[str, ...]
    schedule: str


@dataclass(slots=True)
class Findings:
    """What exploring one seed came to."""

    schedules: int = 0
    """Paths that were taken to their end, or to a world whose end is known."""
    to_the_end: int = 0
    """Those of them that were walked to rest themselves."""
    steps: int = 0
    transactions: int = 0
    seen: Counter[str] = field(default_factory=Counter)
    """Steps by verb, and accidents: an exploration in which nothing happens proves nothing."""
    violation: Violation | None = None


def explore(seed: int, schema: bytes, *, limit: int) -> Findings:
    """The same seed and limit take the same course. Ends at the first violation."""
    rng = Random(seed)
    site = Site(schema, build_scenario(rng))
    gc.disable()  # millions of small values that all stay: looking through them again and again costs a fifth of the time
    try:
        return _Exploration(seed, rng, site, limit).run()
    finally:
        gc.enable()
        site.close()


def quietly_explore(seed: int, *, schema: bytes, limit: int) -> Findings:
    """Here and not in `__main__`, where processes that are spawned would not find it."""
    logging.disable(logging.WARNING)  # runs lose their workers all the time here
    return explore(seed, schema, limit=limit)


class _Exploration:
    def __init__(self, seed: int, rng: Random, site: Site, limit: int) -> None:
        self._seed = seed
        self._rng = rng
        self._site = site
        self._limit = limit
        self._met: set[Any] = set()
        """Worlds from which schedules go on, with what they may still meet."""
        self._calm: set[Any] = set()
        """Worlds that come to rest when nothing disturbs them."""
        self._statements: Counter[str] = Counter()
        """Most that a step of this verb made so far."""
        self.findings = Findings()

    def run(self) -> Findings:
        while self.findings.schedules < self._limit and self.findings.violation is None:
            self._met.clear()  # the next walk goes other ways from the same beginning
            self._walk([], Budget())
        self.findings.transactions = self._site.transactions
        return self.findings

    def _walk(self, path: list[Action], budget: Budget) -> None:
        if self._is_over(path):
            return
        here = (essence_of(self._site.world), budget)
        if here in self._met:
            self.findings.schedules += 1
            return
        self._met.add(here)
        options = choices(self._site.world, budget, slots=self._site.scenario.slots) if budget.steps else []
        if not options:
            self._calm_down(path)
            return
        branches = self._rng.choice(BRANCHES) if budget.steps > LAST_STEPS else LAST_BRANCHES
        for action in self._pick(options, branches):
            with self._site.undone():
                self._take(action)
                self._walk([*path, action], budget.after(action))

    def _is_over(self, path: list[Action]) -> bool:
        world = self._site.world
        if world.violations:
            self._blame(world.violations, path)
        return self.findings.violation is not None or self.findings.schedules >= self._limit

    def _take(self, action: Action) -> None:
        self._site.act(action)
        self.findings.steps += 1
        self.findings.seen[action.verb] += 1
        self.findings.seen[f"accident {action.mark}"] += bool(action.mark)
        self._statements[action.verb] = max(self._statements[action.verb], self._site.last_statements)

    def _pick(self, options: Sequence[tuple[int, Action]], number: int) -> Iterator[Action]:
        left = list(options)
        for _ in range(min(number, len(left))):
            index = self._rng.choices(range(len(left)), [weight for weight, _ in left])[0]
            yield self._with_accident(left.pop(index)[1])

    def _with_accident(self, action: Action) -> Action:
        """A marked action has its place or its company still to be drawn."""
        if action.mark in ("!", "~"):
            return replace(action, at=self._rng.randint(1, max(self._statements[action.verb], 1)))
        if action.mark == "?" and action.verb == "step":
            return replace(action, meanwhile=self._company_of(action))
        return action

    def _company_of(self, action: Action) -> tuple[Action, ...]:
        other = WORKERS[1 - WORKERS.index(action.who)]
        wish = Action(self._rng.choice(("cancel", "pause", "answer")), run=action.run)
        takeover = (*[Action("second")] * 3, Action("poll", other))
        return self._rng.choice(((), (), (wish,), takeover, (*takeover, Action("step", other, action.run))))

    def _calm_down(self, path: list[Action]) -> None:
        """Nothing goes wrong any more, and nobody asks for anything."""
        self.findings.schedules += 1
        site, passed, path = self._site, [], list(path)
        for _ in range(LONGEST_CALM):
            here = essence_of(site.world)
            passed.append(here)
            if here in self._calm or site.world.is_at_rest():
                self.findings.to_the_end += here not in self._calm
                self._calm.update(passed)
                return
            action = next_in_calm(site.world)
            self._take(action)
            path.append(action)
            if site.world.violations:
                self._blame(site.world.violations, path)
                return
        left = ", ".join(f"{run.name} {run.status}" for run in site.world.memory.runs.values())
        self._blame((f"everything_ends: {left} after {LONGEST_CALM} calm steps",), path)

    def _blame(self, found: tuple[str, ...], path: Sequence[Action]) -> None:
        if self.findings.violation is None:
            self.findings.violation = Violation(self._seed, found, write_schedule(path))


# --- what can happen next ---------------------------------------------------------------------------------------------------


def choices(world: World, budget: Budget, *, slots: int) -> list[tuple[int, Action]]:
    """Everything that may happen now, with its weight."""
    plain = [*_work(world, slots), (3, Action("second"))]
    found = list(plain)
    if budget.wishes:
        found += _wishes(world)
    if budget.trouble:
        found += [*_trouble(world), *((1, replace(a, mark=mark)) for _, a in plain for mark in "!~?")]
    return found


def _work(world: World, slots: int) -> Iterator[tuple[int, Action]]:
    for who in WORKERS:
        for drive in world.drives[who]:
            yield 8, Action("step", who, world.name_of(drive.run.id))
        if world.drives[who]:
            yield 3, Action("beat", who)
        if world.has_due_run() and len(world.drives[who]) < slots:
            yield 4, Action("poll", who)
        yield from ((4, Action("take", who, name)) for name in held_messages(world))
    if world.has_due_message():
        yield 4, Action("relay")


def held_messages(world: World) -> list[str]:
    return sorted({world.name_of(run_id) for run_id in world.messages})


def _trouble(world: World) -> Iterator[tuple[int, Action]]:
    for who in WORKERS:
        if world.drives[who]:
            yield 3, Action("die", who)
            yield 2, Action("leave", who)
    for name in held_messages(world):
        yield 1, Action("lose", run=name)
        yield 1, Action("double", run=name)
    yield 3, Action("outage")
    yield 1, Action("sweeper")


def _wishes(world: World) -> Iterator[tuple[int, Action]]:
    yield 2, Action("post", run="r3")
    for run in world.memory.runs.values():
        yield from ((1, Action(verb, run=run.name)) for verb in FITTING.get(run.status, ()))
        if run.questions:
            yield ANSWERING, Action("answer", run=run.name)


def next_in_calm(world: World) -> Action:
    """What a deployment does that is well: what is begun goes on, what waits is taken, and time passes when nothing is left."""
    for who in WORKERS:
        for drive in world.drives[who]:
            is_up_to_date = world.memory.runs[drive.run.id].heard_at_ms == world.contact_ms
            return Action("step", who, world.name_of(drive.run.id)) if is_up_to_date else Action("beat", who)
    if world.has_due_message():
        return Action("relay")
    if names := held_messages(world):
        return Action("take", WORKERS[0], names[0])
    return Action("poll", WORKERS[0]) if world.has_claimable_run() else Action("second")
