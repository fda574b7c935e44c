"""The machine of releases, operation by operation and over random sequences of them."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from shadowgraph.core.errors import Conflict
from shadowgraph.core.ids import VersionId
from shadowgraph.versioning import release as machine
from shadowgraph.versioning.chain import ReleaseEvent, check_chain, facts_after, facts_before, sealed
from shadowgraph.versioning.release import (
    AlreadyActive,
    Change,
    Marks,
    NeverActive,
    NoGoodVersion,
    Pointer,
    RevisionConflict,
    State,
    Target,
    VersionInUse,
    VersionPurged,
    VersionRevoked,
    VersionWithdrawn,
    find_last_good,
    require_revision,
    state_of,
)

AT = datetime(2026, 1, 1, tzinfo=UTC)


def v(number: int) -> VersionId:
    return VersionId(f"ver_{number}")


def target(number: int, **marks: bool) -> Target:
    return Target(v(number), f"v{number}", Marks(**marks))


def pointer(active: int = 1, previous: int | None = None, **fields: Any) -> Pointer:
    return Pointer("agent", 5, v(active), previous=None if previous is None else v(previous), **fields)


def promote(before: Pointer, to: Target, *, force: bool = False) -> Change:
    return machine.promote(before, to, active=target(1), force=force)


def rollback(before: Pointer, to: Target, *, was_active: tuple[int, ...] = (1, 2, 3)) -> Change:
    return machine.rollback(before, to, active=target(1), was_active={v(number) for number in was_active})


def test_promoting_a_version_makes_the_active_one_the_previous_and_marks_nothing() -> None:
    change = promote(pointer(), target(2))

    assert change.after == Pointer("agent", 6, v(2), previous=v(1))
    assert (change.marks_after, change.leaves) == ({}, v(1))


def test_rolling_back_marks_the_version_that_is_left_as_withdrawn() -> None:
    change = rollback(pointer(1, previous=2), target(2))

    assert change.after == Pointer("agent", 6, v(2), previous=v(1))
    assert change.marks_after == {v(1): Marks(withdrawn=True)}


def test_a_candidate_and_its_share_go_with_the_change() -> None:
    before = pointer(candidate=v(3), rollout_id="rol_1", shadow_bp=500)

    assert promote(before, target(3)).after == Pointer("agent", 6, v(3), previous=v(1))


def test_promoting_a_withdrawn_version_needs_force_and_clears_its_mark() -> None:
    with pytest.raises(VersionWithdrawn):
        promote(pointer(), target(2, withdrawn=True))

    forced = promote(pointer(), target(2, withdrawn=True, keep=True), force=True)

    assert forced.marks_after == {v(2): Marks(keep=True)}


@pytest.mark.parametrize("move", [promote, rollback])
@pytest.mark.parametrize(
    ("to", "error"),
    [
        (target(1), AlreadyActive),
        (target(2, revoked=True), VersionRevoked),
        (replace(target(2), is_purged=True), VersionPurged),
    ],
)
def test_what_cannot_become_active_is_refused(
    move: Callable[[Pointer, Target], Change], to: Target, error: type[Conflict]
) -> None:
    with pytest.raises(error):
        move(pointer(), to)


def test_a_rollback_goes_to_a_version_that_was_active_and_is_not_withdrawn() -> None:
    with pytest.raises(NeverActive):
        rollback(pointer(), target(4))
    with pytest.raises(VersionWithdrawn):
        rollback(pointer(), target(2, withdrawn=True))


def test_the_last_good_version_is_the_one_that_was_active_last_without_a_mark() -> None:
    trail = [v(5), v(4), v(3), v(2), v(1)]
    known = {v(n): target(n, withdrawn=n == 4, revoked=n == 3) for n in range(1, 6)}

    assert find_last_good(pointer(5), trail, known).id == v(2)
    with pytest.raises(NoGoodVersion):
        find_last_good(pointer(5), trail[:3], known)


def test_two_rollbacks_one_after_the_other_do_not_end_on_the_withdrawn_version() -> None:
    known = {v(n): target(n) for n in (1, 2, 3)}
    trail, now = [v(3), v(2), v(1)], pointer(3, previous=2)
    ended = []
    for _ in range(2):
        good = find_last_good(now, trail, known)
        change = machine.rollback(now, good, active=known[now.active], was_active=trail)
        known |= {found: replace(known[found], marks=marks) for found, marks in change.marks_after.items()}
        now, trail = change.after, [change.after.active, *(x for x in trail if x != change.after.active)]
        ended.append(now.active)

    assert ended == [v(2), v(1)]
    with pytest.raises(NoGoodVersion):
        find_last_good(now, trail, known)


def test_the_active_version_and_the_candidate_cannot_be_withdrawn() -> None:
    before = pointer(1, candidate=v(2), shadow_bp=1)
    for in_use in (1, 2):
        with pytest.raises(VersionInUse):
            machine.withdraw(before, target(in_use))

    withdrawn = machine.withdraw(before, target(3))

    assert withdrawn is not None
    assert withdrawn.marks_after == {v(3): Marks(withdrawn=True)}
    assert withdrawn.after == replace(before, revision=6)
    assert machine.withdraw(before, target(3, withdrawn=True)) is None


def test_revoking_is_for_good_and_takes_the_active_version_out_of_use() -> None:
    other = machine.revoke(pointer(1), target(2), fallback=None)
    active = machine.revoke(pointer(1), target(1), fallback=target(2))

    assert other is not None
    assert active is not None
    assert (other.after.active, other.leaves) == (v(1), v(2))
    assert (active.after.active, active.after.previous, active.leaves) == (v(2), v(1), v(1))
    assert active.marks_after == {v(1): Marks(revoked=True)}
    assert machine.revoke(pointer(1), target(2, revoked=True), fallback=None) is None
    with pytest.raises(VersionInUse):
        machine.revoke(pointer(1, candidate=v(2)), target(2), fallback=None)


def test_keeping_a_version_is_a_mark_like_others() -> None:
    kept = machine.keep(pointer(), target(1), is_kept=True)

    assert kept is not None
    assert kept.marks_after == {v(1): Marks(keep=True)}
    assert machine.keep(pointer(), target(1, keep=True), is_kept=True) is None


def test_whoever_expects_another_revision_is_refused_with_the_state_as_it_is() -> None:
    require_revision(pointer(), None)
    require_revision(pointer(), 5)
    with pytest.raises(RevisionConflict) as raised:
        require_revision(pointer(), 4)

    assert raised.value.facts == {"revision": 5, "active_version": v(1)}


def test_states_follow_from_the_pointer() -> None:
    now = pointer(3, previous=2, candidate=v(4))
    was_active = {v(1), v(2), v(3)}

    def state(number: int, **marks: bool) -> State:
        return state_of(v(number), Marks(**marks), now, was_active)

    assert [state(number) for number in (1, 2, 3, 4, 5)] == ["retired", "retired", "active", "candidate", "draft"]
    assert state(5, revoked=True) == "revoked"
    assert state(2, withdrawn=True) == "retired"
    assert state_of(v(1), Marks(), None, ()) == "draft"


# --- any sequence of operations -------------------------------------------------------------------------------------------------

NUMBERS = st.integers(1, 6)


class Releases(RuleBasedStateMachine):
    """What operators do in any order, with what must hold after each of it."""

    @initialize()
    def begin(self) -> None:
        self.marks = {v(n): Marks() for n in range(1, 7)}
        self.events: list[ReleaseEvent] = []
        self.trail: list[VersionId] = []
        self.left_by_rollback: set[VersionId] = set()
        self.apply(machine.create("agent", v(1)))

    def known(self, version_id: VersionId) -> Target:
        return Target(version_id, version_id, self.marks[version_id])

    def apply(self, change: Change | None) -> None:
        if change is None:
            return
        event = ReleaseEvent(
            workflow="agent",
            revision=change.after.revision,
            at=AT,
            action=change.action,
            actor="local",
            reason="",
            before=facts_before(change),
            after=facts_after(change),
            evidence_rollout=None,
            in_flight=None,
            moved_runs=0,
            prev_hash=self.events[-1].hash if self.events else "",
        )
        self.events.append(sealed(event))
        self.marks |= change.marks_after
        self.pointer = change.after
        self.trail = [self.pointer.active, *(x for x in self.trail if x != self.pointer.active)]

    def attempt(self, plan: Callable[[], Change | None]) -> Change | None:
        """None: refused, or nothing to do."""
        try:
            change = plan()
        except Conflict:
            return None
        self.apply(change)
        return change

    @rule(number=NUMBERS, force=st.booleans())
    def promote(self, number: int, force: bool) -> None:
        before, active = self.marks[v(number)], self.known(self.pointer.active)
        done = self.attempt(lambda: machine.promote(self.pointer, self.known(v(number)), active=active, force=force))
        if done:
            assert not before.revoked
            assert force or not before.withdrawn
            self.left_by_rollback.discard(v(number))

    @rule(number=NUMBERS)
    def rollback(self, number: int) -> None:
        self.roll_back_to(lambda: self.known(v(number)))

    @rule()
    def rollback_to_last_good(self) -> None:
        self.roll_back_to(lambda: find_last_good(self.pointer, self.trail, {x: self.known(x) for x in self.trail}))

    def roll_back_to(self, find: Callable[[], Target]) -> None:
        left, active = self.pointer.active, self.known(self.pointer.active)
        done = self.attempt(lambda: machine.rollback(self.pointer, find(), active=active, was_active=self.trail))
        if done:
            self.left_by_rollback.add(left)
            assert self.pointer.active not in self.left_by_rollback

    @rule(number=NUMBERS)
    def withdraw(self, number: int) -> None:
        self.attempt(lambda: machine.withdraw(self.pointer, self.known(v(number))))

    @rule(number=NUMBERS)
    def revoke(self, number: int) -> None:
        def plan() -> Change | None:
            known = {x: self.known(x) for x in self.trail}
            is_active = self.pointer.active == v(number)
            fallback = find_last_good(self.pointer, self.trail, known) if is_active else None
            return machine.revoke(self.pointer, self.known(v(number)), fallback=fallback)

        self.attempt(plan)

    @rule(number=NUMBERS, is_kept=st.booleans())
    def keep(self, number: int, is_kept: bool) -> None:
        self.attempt(lambda: machine.keep(self.pointer, self.known(v(number)), is_kept=is_kept))

    @invariant()
    def the_active_version_is_neither_revoked_nor_withdrawn(self) -> None:
        found = self.marks[self.pointer.active]
        assert not found.revoked
        assert not found.withdrawn

    @invariant()
    def exactly_one_version_is_active(self) -> None:
        states = [state_of(x, marks, self.pointer, self.trail) for x, marks in self.marks.items()]
        assert states.count(State.ACTIVE) == 1

    @invariant()
    def revisions_count_events_and_the_chain_holds(self) -> None:
        assert self.pointer.revision == len(self.events)
        assert list(check_chain(self.events, self.pointer)) == []

    @invariant()
    def what_was_revoked_stays_revoked(self) -> None:
        revoked = {x for event in self.events for x, marks in event.after["marks"].items() if marks["revoked"]}
        assert all(self.marks[VersionId(x)].revoked for x in revoked)


TestReleases = Releases.TestCase
TestReleases.settings = settings(max_examples=80, stateful_step_count=25)


# --- the chain ------------------------------------------------------------------------------------------------------------------


def chain(length: int = 4) -> tuple[list[ReleaseEvent], Pointer]:
    releases = Releases()
    releases.begin()
    for number in range(2, length + 1):
        releases.promote(number, False)
    return releases.events, releases.pointer


def test_a_chain_holds_from_its_first_event_to_the_pointer() -> None:
    events, now = chain()

    assert list(check_chain(events, now)) == []
    assert events[0].prev_hash == ""
    assert list(check_chain([], None)) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("reason", "another"),
        ("actor", "somebody"),
        ("at", datetime(2026, 1, 2, tzinfo=UTC)),
        ("after", {"active_version": "ver_9"}),
        ("before", {}),
        ("moved_runs", 7),
        ("in_flight", "cancel"),
        ("action", "rollback"),
        ("workflow", "other"),
        ("hash", "0" * 64),
    ],
)
@pytest.mark.parametrize("position", [0, 1, 3])
def test_a_tampered_event_is_found(field: str, value: Any, position: int) -> None:
    events, now = chain()
    events[position] = replace(events[position], **{field: value})

    assert events[position].revision in {broken.revision for broken in check_chain(events, now)}


def test_an_event_written_anew_with_its_hash_breaks_the_next_one() -> None:
    events, now = chain()
    events[1] = sealed(replace(events[1], reason="another"))

    assert [broken.revision for broken in check_chain(events, now)] == [3]


@pytest.mark.parametrize("position", [0, 2, 3])
def test_a_missing_event_is_found(position: int) -> None:
    events, now = chain()
    del events[position]

    assert list(check_chain(events, now))


def test_a_pointer_that_moved_without_an_event_is_found() -> None:
    events, now = chain()

    assert list(check_chain(events, replace(now, active=v(6))))
    assert list(check_chain(events, replace(now, revision=9)))
    assert list(check_chain(events, None))
    assert list(check_chain([], now))
