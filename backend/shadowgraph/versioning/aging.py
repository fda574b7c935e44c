"""Which versions give their files back. Their rows stay, so that history can be read; the same content registered again brings the files back."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from shadowgraph.core.ids import VersionId
from shadowgraph.versioning.release import Pointer

KEPT_VERSIONS = 20
"""The newest of each workflow keep their files however old they are."""
RECENT = timedelta(days=90)
"""For so long after it was registered, or a change of the release concerned it."""
GRACE = timedelta(hours=24)
"""A blob that no snapshot refers to may belong to one that is being registered."""


@dataclass(frozen=True, slots=True)
class Aged:
    """A version, as far as its age matters."""

    id: VersionId
    seq: int
    snapshot_digest: str
    registered_at: datetime
    keep: bool


def find_purgeable(
    versions: Collection[Aged],
    pointer: Pointer,
    *,
    pinned: Collection[str],
    recent: Collection[str],
    now: datetime,
) -> list[Aged]:
    """All of one workflow. `pinned`: those with unfinished runs. `recent`: those that a change since `now - RECENT` concerned."""
    newest = {version.id for version in _newest_first(versions)[:KEPT_VERSIONS]}
    roots = {pointer.active, pointer.previous, pointer.candidate, *newest, *pinned, *recent}
    return [
        version
        for version in versions
        if version.id not in roots and not version.keep and version.registered_at < now - RECENT
    ]


def _newest_first(versions: Collection[Aged]) -> Sequence[Aged]:
    return sorted(versions, key=lambda version: version.seq, reverse=True)
