"""The prompts and parameters of the version that a run is pinned to, as its nodes find them."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shadowgraph.core.agent_settings import AgentSettings
from shadowgraph.core.errors import ShadowgraphError
from shadowgraph.db.engine import Database
from shadowgraph.db.patience import read_patiently
from shadowgraph.engine.resuming import PinnedRevoked, Unloadable
from shadowgraph.runs.run import Run
from shadowgraph.versioning import repository, service
from shadowgraph.versioning.manifest import Parameters
from shadowgraph.versioning.release import VersionPurged
from shadowgraph.versioning.repository import SnapshotNotFound
from shadowgraph.versioning.service import SnapshotDamaged
from shadowgraph.versioning.snapshot import Snapshot
from shadowgraph.versioning.store import BlobFiles
from shadowgraph.versioning.trees import Trees


@dataclass(frozen=True, slots=True)
class Pinned:
    directory: Path
    """Read-only, with all files of the snapshot."""
    agents: Mapping[str, AgentSettings]


class PinnedFiles:
    """What a digest means never changes, so each snapshot is read once; whether a version may still run is asked every time."""

    def __init__(self, database: Database, folder: Path) -> None:
        """`folder`: of blobs and trees."""
        self._database = database
        self._blobs = BlobFiles(folder)
        self._trees = Trees(folder)
        self._known: dict[str, Pinned] = {}
        self._turn = asyncio.Lock()

    async def load(self, run: Run) -> Pinned:
        """Of a run that is pinned.

        Errors: `Unloadable`, also when the version was revoked.
        """
        version_id, digest = run.version_id, run.snapshot_digest
        assert version_id is not None
        assert digest is not None
        revoked = await read_patiently(
            self._database, lambda connection: repository.find_revocation(connection, version_id)
        )
        if revoked is not None:
            raise PinnedRevoked(revoked, version=version_id)
        async with self._turn:
            return await self._load(digest)

    async def _load(self, digest: str) -> Pinned:
        known = self._known.get(digest)
        if known is None or not await asyncio.to_thread(self._trees.touch, digest):
            known = self._known[digest] = await self._unpack(digest)
        return known

    async def _unpack(self, digest: str) -> Pinned:
        snapshot = await load_verified(self._database, self._blobs, digest)
        try:
            directory = await asyncio.to_thread(self._trees.ensure, snapshot)
        except OSError as error:
            raise Unloadable(f"the files of snapshot {digest[:12]} cannot be written: {error}") from error
        return Pinned(directory, {name: settings_of(said) for name, said in snapshot.manifest.agents.items()})


async def load_verified(database: Database, blobs: BlobFiles, digest: str) -> Snapshot:
    """Errors: `Unloadable` for one that is not there, or not what its digest says."""
    try:
        return await read_patiently(database, lambda connection: service.load_snapshot(connection, blobs, digest))
    except (SnapshotNotFound, VersionPurged, SnapshotDamaged) as error:
        raise _unloadable(error, digest) from error


def _unloadable(error: ShadowgraphError, digest: str) -> Unloadable:
    return Unloadable(error.message, hint="versions verify shows what is damaged", snapshot=digest)


def settings_of(said: Parameters) -> AgentSettings:
    return AgentSettings(
        model=said.model,
        temperature=None if said.temperature is None else float(said.temperature),
        max_tokens=said.max_tokens,
        prompt=said.prompt,
        tools=said.tools,
    )
