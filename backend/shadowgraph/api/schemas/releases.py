"""Releases on the wire: which version of a workflow is active, and how it came to that."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from shadowgraph.api.schemas.common import Received, Sent
from shadowgraph.api.schemas.paging import NEXT_CURSOR, NumberedPageParameters
from shadowgraph.api.schemas.versions import VERSION_REF, Message, VersionRef
from shadowgraph.runs.releases import LAST_GOOD

InFlight = Literal["finish", "restart", "cancel", "hold"]
IN_FLIGHT = (
    "What happens to unfinished runs that are pinned to the version that is left. finish: they end on it. restart: they start over on the active one; "
    "a run that did something irreversible is held. cancel. hold: they are PAUSED until a person decides."
)


class ReleasedVersion(Sent):
    id: str
    label: str
    snapshot_digest: str


class Release(Sent):
    workflow: str
    revision: int = Field(description="Counts the changes; send it as expected_revision.")
    active: ReleasedVersion
    previous: ReleasedVersion | None
    candidate: ReleasedVersion | None
    shadow_bp: int
    updated_at: datetime
    hash: str = Field(description="Of the last change; keep it elsewhere to prove later that the trail is whole.")
    links: Mapping[str, str]


class ReleaseEvent(Sent):
    """One change. `hash` is over all other members, so over the hash of the change before, too."""

    workflow: str
    revision: int
    at: datetime
    action: str = Field(examples=["promote"])
    actor: str
    reason: str
    before: Mapping[str, Any] | None
    after: Mapping[str, Any]
    evidence_rollout: str | None
    in_flight: str | None
    moved_runs: int
    prev_hash: str
    hash: str


class Broken(Sent):
    revision: int
    detail: str


class ChainVerification(Sent):
    ok: bool
    checked: int
    problems: Sequence[Broken]


class ReleaseEventPage(Sent):
    items: Sequence[ReleaseEvent]
    next_cursor: str | None = Field(description=NEXT_CURSOR)
    verification: ChainVerification | None = Field(description="Of the whole trail, with `verify`.")


class ReleaseEventFilters(NumberedPageParameters):
    verify: bool = Field(default=False, description="Check the whole trail, whatever page is shown.")


class ReleaseChanged(Sent):
    release: Release = Field(description="As it is now.")
    event: ReleaseEvent | None = Field(description="null: it was so already.")
    moved: Mapping[str, int] = Field(description="How many runs were moved, by the state that they are in now.")


class _Change(Received):
    reason: Message = ""
    expected_revision: int | None = Field(
        default=None, ge=1, description="Refuse with 409 if the release is at another one."
    )


class Promotion(_Change):
    model_config = ConfigDict(json_schema_extra={"examples": [{"version": "v4", "reason": "shorter answers"}]})

    version: VersionRef = Field(description=VERSION_REF)
    force: bool = Field(default=False, description="Also when it was withdrawn. Needs a reason.")
    in_flight: InFlight = Field(default="finish", description=IN_FLIGHT)
    if_score: float | None = Field(default=None, description="Not served yet: there are no rollouts.")

    @model_validator(mode="after")
    def _check(self) -> "Promotion":
        if self.if_score is not None:
            context = {"name": "if_score", "hint": "there are no rollouts yet"}
            raise PydanticCustomError("not_served_yet", "is not served yet: {hint}", context)
        if self.force and not self.reason.strip():
            raise PydanticCustomError("reason_missing", "is needed with force", {"name": "reason"})
        return self


class Rollback(_Change):
    model_config = ConfigDict(json_schema_extra={"examples": [{"to": LAST_GOOD, "in_flight": "restart"}]})

    to: VersionRef = Field(default=LAST_GOOD, description=f"{VERSION_REF} Or {LAST_GOOD}.")
    in_flight: InFlight = Field(default="finish", description=IN_FLIGHT)


class Withdrawal(_Change):
    pass


class Revocation(_Change):
    in_flight: Literal["hold", "cancel", "restart"] = Field(default="hold", description=IN_FLIGHT)


class Keeping(_Change):
    keep: bool = True
