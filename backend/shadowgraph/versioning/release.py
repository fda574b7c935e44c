"""How the pointer of a workflow moves: pure decisions. States of versions are derived from it; there is no second truth.

    register ─▶ draft ─promote─▶ active ─promote of another, rollback─▶ retired
                                                                        (withdrawn: a mark, set by the rollback that leaves a version)
    any but the active one ─revoke─▶ revoked, for good; the active one is rolled back first

Each decision takes the pointer as it is and gives a `Change`: the pointer and the marks as they shall be, with the next revision.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from shadowgraph.core.errors import Conflict
from shadowgraph.core.ids import VersionId


class State(StrEnum):
    DRAFT = "draft"
    CANDIDATE = "candidate"
    ACTIVE = "active"
    RETIRED = "retired"
    REVOKED = "revoked"


class Action(StrEnum):
    CREATE = "create"
    PROMOTE = "promote"
    ROLLBACK = "rollback"
    WITHDRAW = "withdraw"
    REVOKE = "revoke"
    KEEP = "keep"


class RevisionConflict(Conflict):
    """Somebody else changed the release; `revision` and `active_version` say how it stands now."""

    code = "revision_conflict"


class AlreadyActive(Conflict):
    code = "already_active"


class VersionRevoked(Conflict):
    code = "version_revoked"


class VersionWithdrawn(Conflict):
    """Promoting it again needs `force` and a reason."""

    code = "version_withdrawn"


class VersionInUse(Conflict):
    """The active version, or the candidate: another one has to take its place first."""

    code = "version_in_use"


class NeverActive(Conflict):
    """A rollback goes to a version that was active before."""

    code = "never_active"


class NoGoodVersion(Conflict):
    """No version that was active before is left that is neither withdrawn nor revoked."""

    code = "no_good_version"


class VersionPurged(Conflict):
    """Its files are gone; registering the same content again brings them back."""

    code = "version_purged"


@dataclass(frozen=True, slots=True)
class Marks:
    """Of one version."""

    withdrawn: bool = False
    revoked: bool = False
    keep: bool = False


@dataclass(frozen=True, slots=True)
class Target:
    """A version, as far as the pointer cares."""

    id: VersionId
    label: str
    marks: Marks = Marks()
    is_purged: bool = False


@dataclass(frozen=True, slots=True)
class Pointer:
    workflow: str
    revision: int
    active: VersionId
    previous: VersionId | None = None
    candidate: VersionId | None = None
    rollout_id: str | None = None
    shadow_bp: int = 0

    def facts(self) -> dict[str, Any]:
        """As the event of a change keeps it."""
        return {
            "active_version": self.active,
            "previous_version": self.previous,
            "candidate_version": self.candidate,
            "rollout_id": self.rollout_id,
            "shadow_bp": self.shadow_bp,
        }


@dataclass(frozen=True, slots=True)
class Change:
    action: Action
    before: Pointer | None
    """None: it is the first."""
    after: Pointer
    marks_before: Mapping[VersionId, Marks] = field(default_factory=dict)
    """Of the versions whose marks change."""
    marks_after: Mapping[VersionId, Marks] = field(default_factory=dict)
    leaves: VersionId | None = None
    """The version whose unfinished runs the in-flight policy is for."""


def require_revision(pointer: Pointer, expected: int | None) -> None:
    """Errors: `RevisionConflict`. None: act on whatever is there."""
    if expected is not None and expected != pointer.revision:
        raise RevisionConflict(
            f"the release is at revision {pointer.revision}, not {expected}",
            hint="look at it again, and then decide",
            revision=pointer.revision,
            active_version=pointer.active,
        )


def create(workflow: str, version: VersionId) -> Change:
    """The first version of a workflow is active at once: nothing else could run."""
    return Change(Action.CREATE, None, Pointer(workflow, 1, version))


def promote(pointer: Pointer, target: Target, *, active: Target, force: bool) -> Change:
    """`force`: of a person who has given a reason; clears the mark of a withdrawn version.

    Errors: `AlreadyActive`, `VersionRevoked`, `VersionPurged`, `VersionWithdrawn`.
    """
    _require_usable(pointer, target)
    if target.marks.withdrawn and not force:
        hint = "promote it with force and a reason if you mean it"
        raise VersionWithdrawn(f"{target.label} was withdrawn", hint=hint, version=target.id)
    cleared = replace(target.marks, withdrawn=False)
    return _activate(pointer, target, Action.PROMOTE, left=active, marks={target: cleared})


def rollback(pointer: Pointer, target: Target, *, active: Target, was_active: Collection[VersionId]) -> Change:
    """The version that it leaves is marked withdrawn, so that no later rollback comes back to it.

    Errors: `AlreadyActive`, `VersionRevoked`, `VersionPurged`, `VersionWithdrawn`, `NeverActive`.
    """
    _require_usable(pointer, target)
    if target.marks.withdrawn:
        hint = "roll back to another one, or promote this one with force and a reason"
        raise VersionWithdrawn(f"{target.label} was withdrawn itself", hint=hint, version=target.id)
    if target.id not in was_active:
        raise NeverActive(f"{target.label} was never active", hint="promote it instead", version=target.id)
    withdrawn = replace(active.marks, withdrawn=True)
    return _activate(pointer, target, Action.ROLLBACK, left=active, marks={active: withdrawn})


def _activate(
    pointer: Pointer, target: Target, action: Action, *, left: Target, marks: Mapping[Target, Marks]
) -> Change:
    after = Pointer(pointer.workflow, pointer.revision + 1, target.id, previous=pointer.active)
    return _change(action, pointer, after, marks, leaves=left.id)


def _require_usable(pointer: Pointer, target: Target) -> None:
    if target.id == pointer.active:
        raise AlreadyActive(
            f"{target.label} is active already", revision=pointer.revision, active_version=pointer.active
        )
    require_runnable(target)


def require_runnable(target: Target) -> None:
    """Errors: `VersionRevoked`, `VersionPurged`."""
    if target.marks.revoked:
        raise VersionRevoked(
            f"{target.label} was revoked", hint="a revoked version never runs again", version=target.id
        )
    if target.is_purged:
        hint = "register the same files again: versions deploy, or versions import"
        raise VersionPurged(f"the files of {target.label} were collected", hint=hint, version=target.id)


def find_last_good(pointer: Pointer, trail: Iterable[VersionId], targets: Mapping[VersionId, Target]) -> Target:
    """`trail`: the versions that were active, latest first.

    Errors: `NoGoodVersion`.
    """
    for version_id in trail:
        found = targets[version_id]
        is_good = not (found.marks.withdrawn or found.marks.revoked or found.is_purged)
        if is_good and version_id != pointer.active:
            return found
    raise NoGoodVersion(
        "no other version was active that is neither withdrawn nor revoked",
        hint="promote one: versions list shows them",
        revision=pointer.revision,
        active_version=pointer.active,
    )


def withdraw(pointer: Pointer, target: Target) -> Change | None:
    """None: it is withdrawn already.

    Errors: `VersionInUse`, `VersionRevoked`.
    """
    if target.id in (pointer.active, pointer.candidate):
        what = "active" if target.id == pointer.active else "the candidate"
        raise VersionInUse(f"{target.label} is {what}", hint="roll back instead, which withdraws it", version=target.id)
    if target.marks.revoked:
        raise VersionRevoked(f"{target.label} was revoked", version=target.id)
    return _mark(Action.WITHDRAW, pointer, target, replace(target.marks, withdrawn=True))


def keep(pointer: Pointer, target: Target, *, is_kept: bool) -> Change | None:
    """None: it is so already."""
    return _mark(Action.KEEP, pointer, target, replace(target.marks, keep=is_kept))


def revoke(pointer: Pointer, target: Target, *, fallback: Target | None) -> Change | None:
    """`fallback`: what becomes active if the target is; None is right for any other. None: it is revoked already.

    Errors: `VersionInUse` for the candidate.
    """
    if target.id == pointer.candidate:
        raise VersionInUse(f"{target.label} is the candidate", hint="end its rollout first", version=target.id)
    if target.marks.revoked:
        return None
    after = replace(pointer, revision=pointer.revision + 1)
    if fallback is not None:
        after = Pointer(pointer.workflow, pointer.revision + 1, fallback.id, previous=pointer.active)
    return _change(Action.REVOKE, pointer, after, {target: replace(target.marks, revoked=True)}, leaves=target.id)


def _mark(action: Action, pointer: Pointer, target: Target, marks: Marks) -> Change | None:
    if marks == target.marks:
        return None
    return _change(action, pointer, replace(pointer, revision=pointer.revision + 1), {target: marks})


def _change(
    action: Action,
    before: Pointer,
    after: Pointer,
    marks: Mapping[Target, Marks],
    *,
    leaves: VersionId | None = None,
) -> Change:
    changed = {target: new for target, new in marks.items() if new != target.marks}
    return Change(
        action,
        before,
        after,
        marks_before={target.id: target.marks for target in changed},
        marks_after={target.id: new for target, new in changed.items()},
        leaves=leaves,
    )


def state_of(version_id: VersionId, marks: Marks, pointer: Pointer | None, was_active: Collection[VersionId]) -> State:
    if marks.revoked:
        return State.REVOKED
    if pointer is not None and version_id == pointer.active:
        return State.ACTIVE
    if pointer is not None and version_id == pointer.candidate:
        return State.CANDIDATE
    return State.RETIRED if version_id in was_active else State.DRAFT
