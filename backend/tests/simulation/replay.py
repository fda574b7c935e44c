"""A schedule that violated a rule, walked again: made as short as possible, and told transaction by transaction."""

from collections.abc import Iterator, Sequence
from random import Random

from tests.simulation.action import Action, read_schedule, write_schedule
from tests.simulation.explorer import Violation
from tests.simulation.site import Site
from tests.simulation.witness import Change, Transaction
from tests.simulation.world import World, build_scenario

_SHOWN = ("status", "lease_token", "control", "crash_streak", "reason")


def walk(seed: int, schema: bytes, schedule: Sequence[Action]) -> tuple[tuple[str, ...], list[str]]:
    """What it violates, and what each step did. Ends at the first violation."""
    site = Site(schema, build_scenario(Random(seed)))
    lines = [f"{plan.name}: {plan.script}" for plan in (*site.scenario.runs, site.scenario.late)]
    site.told = lambda transaction, world: lines.extend(_lines(transaction, world))
    try:
        for action in schedule:
            lines.append(str(action))
            site.act(action)
            if site.world.violations:
                break
        return site.world.violations, lines
    finally:
        site.close()


def shorten(violation: Violation, schema: bytes) -> Violation:
    """Leaves out every step without which the same rule is still violated, until each that is left is needed."""
    shorter = _without_one(violation, schema)
    while shorter is not None:
        violation, shorter = shorter, _without_one(shorter, schema)
    return violation


def _without_one(violation: Violation, schema: bytes) -> Violation | None:
    schedule = read_schedule(violation.schedule)
    for index in reversed(range(len(schedule))):
        shorter = schedule[:index] + schedule[index + 1 :]
        found, _ = walk(violation.seed, schema, shorter)
        if _rules(found) & _rules(violation.found):
            return Violation(violation.seed, found, write_schedule(shorter))
    return None


def _rules(found: Sequence[str]) -> set[str]:
    return {text.partition(":")[0] for text in found}


def _lines(transaction: Transaction, world: World) -> Iterator[str]:
    owner = f"token {transaction.claim.token}: " if transaction.claim else ""
    parts = [text for change in transaction.changes if (text := _words(change, world))]
    yield f"    {owner}{'; '.join(parts) or 'nothing'}"


def _words(change: Change, world: World) -> str:
    name, before, after = world.name_of(change.run_id), change.before or {}, change.after
    if change.table == "runs":
        changed = [f"{key} {before.get(key)}>{after[key]}" for key in _SHOWN if before.get(key) != after[key]]
        return f"{name} {' '.join(changed)}" if changed else ""
    if change.table == "events":
        return f"{name} #{after['seq']} {after['type']}"
    if change.table == "outbox":
        return f"{name} message {'published' if after['published_at'] else 'written'}"
    if change.table == "checkpoints":
        return f"{name} checkpoint {after['checkpoint_id']}"
    return f"{name} {change.table} {after.get('call_key', '')} {after['status']}"
