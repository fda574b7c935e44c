"""A snapshot: the closure of a workflow in its project, under the digest of its manifest."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from shadowgraph.core.json import sha256
from shadowgraph.versioning.checking import check_rules
from shadowgraph.versioning.digests import with_digests
from shadowgraph.versioning.errors import refuse
from shadowgraph.versioning.manifest import File, Manifest, digest_of
from shadowgraph.versioning.prompts import find_prompts
from shadowgraph.versioning.secret_scan import require_no_secrets


@dataclass(frozen=True, slots=True)
class Snapshot:
    digest: str
    manifest: Manifest
    blobs: Mapping[str, bytes]
    """Bodies of its files, by their digest."""

    @property
    def bodies(self) -> dict[str, bytes]:
        """By path."""
        return {path: self.blobs[file.digest] for path, file in self.manifest.files.items()}


def seal(draft: Manifest, bodies: Mapping[str, bytes]) -> Snapshot:
    """`draft`: without files, prompts and digests, which these bodies make.

    Errors: `InvalidSnapshot`, `SecretInSnapshot`.
    """
    files = {path: File(sha256(body), len(body)) for path, body in bodies.items()}
    manifest = with_digests(replace(draft, files=files, prompts=find_prompts(bodies, draft.agents)))
    return require_sound(Snapshot(digest_of(manifest), manifest, {sha256(body): body for body in bodies.values()}))


def require_sound(snapshot: Snapshot) -> Snapshot:
    """Of one whose bytes are known to be what it says.

    Errors: `InvalidSnapshot`, `SecretInSnapshot`.
    """
    refuse(check_rules(snapshot.manifest, snapshot.bodies))
    require_no_secrets(snapshot.bodies)
    return snapshot
