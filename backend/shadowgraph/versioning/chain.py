"""The chain of a release's events: each carries the hash of the one before, so that none can be changed, left out or put in unnoticed.

A chain alone proves nothing against somebody who can write the table anew: that is why each hash also leaves the database.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

from shadowgraph.core.ids import VersionId
from shadowgraph.core.json import digest
from shadowgraph.versioning.release import Change, Marks, Pointer


@dataclass(frozen=True, slots=True)
class ReleaseEvent:
    """One row of `release_events`; the columns' comments say what each field means."""

    workflow: str
    revision: int
    at: datetime
    action: str
    actor: str
    reason: str
    before: dict[str, Any] | None
    after: dict[str, Any]
    evidence_rollout: str | None
    in_flight: str | None
    moved_runs: int
    prev_hash: str
    hash: str = ""


@dataclass(frozen=True, slots=True)
class Broken:
    revision: int
    detail: str


def facts_before(change: Change) -> dict[str, Any] | None:
    return None if change.before is None else _facts(change.before, change.marks_before)


def facts_after(change: Change) -> dict[str, Any]:
    return _facts(change.after, change.marks_after)


def _facts(pointer: Pointer, marks: Mapping[VersionId, Marks]) -> dict[str, Any]:
    return {**pointer.facts(), "marks": {version_id: asdict(found) for version_id, found in sorted(marks.items())}}


def sealed(event: ReleaseEvent) -> ReleaseEvent:
    """With the hash over all the rest."""
    values = {**asdict(event), "at": event.at.astimezone(UTC).isoformat(timespec="microseconds")}
    del values["hash"]
    return replace(event, hash=digest(values))


def check_chain(events: Iterable[ReleaseEvent], pointer: Pointer | None) -> Iterator[Broken]:
    """`events`: all of a workflow, in order. `pointer`: as its row says."""
    last: ReleaseEvent | None = None
    for event in events:
        yield from (Broken(event.revision, detail) for detail in _check_link(last, event))
        last = event
    if last is None:
        if pointer is not None:
            yield Broken(0, "there is a release without any event")
        return
    if pointer is None or pointer.revision != last.revision:
        yield Broken(last.revision, "is not the revision that the release says")
    elif _without_marks(last.after) != pointer.facts():
        yield Broken(last.revision, "the release is not as its last event left it")


def _check_link(last: ReleaseEvent | None, event: ReleaseEvent) -> Iterator[str]:
    if event.revision != (last.revision + 1 if last else 1):
        yield "the event before it is missing"
    if event.prev_hash != (last.hash if last else ""):
        yield "does not carry the hash of the event before"
    if sealed(event).hash != event.hash:
        yield "was changed: its hash is another"
    if last is not None and event.before is not None and _without_marks(event.before) != _without_marks(last.after):
        yield "does not begin where the event before ended"


def _without_marks(facts: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if name != "marks"}
