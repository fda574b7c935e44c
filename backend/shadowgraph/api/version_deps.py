"""What routes of versions and releases ask for."""

import re
from typing import Annotated

from fastapi import Depends, Path, Request

from shadowgraph.api.deps import Services
from shadowgraph.core.errors import NotFound
from shadowgraph.core.json import digest
from shadowgraph.runs.idempotency import IdempotencyKey
from shadowgraph.runs.inputs import is_storable
from shadowgraph.versioning.repository import ReleaseNotFound, SnapshotNotFound, VersionNotFound

_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


class VersioningDisabled(NotFound):
    code = "versioning_disabled"


def require_versioning(services: Services) -> None:
    """Errors: `VersioningDisabled`."""
    if not services.settings.versioning_enabled:
        raise VersioningDisabled("there are no versions on this server", hint="unset VERSIONING_ENABLED")


def get_workflow(
    workflow: Annotated[str, Path(description="Name of a workflow.", examples=["pipeline"])],
) -> str:
    """Errors: `ReleaseNotFound` for what no database could hold."""
    if not is_storable(workflow) or len(workflow) > 200:
        raise ReleaseNotFound(f"the workflow {workflow[:80]!r} has no version")
    return workflow


def get_version(
    version: Annotated[str, Path(description="An id (ver_…), a label or a digest.", examples=["v3"])],
) -> str:
    """Errors: `VersionNotFound` for what no database could hold."""
    if not is_storable(version) or len(version) > 100:
        raise VersionNotFound(f"there is no version {version[:80]!r}")
    return version


def get_digest(
    digest: Annotated[str, Path(description="64 hexadecimal digits.", examples=["0" * 64])],
) -> str:
    """Errors: `SnapshotNotFound`."""
    if not is_digest(digest):
        raise SnapshotNotFound(f"there is no snapshot {digest[:80]!r}")
    return digest


def is_digest(text: str) -> bool:
    return bool(_DIGEST.match(text))


async def key_of(request: Request, key: str | None) -> IdempotencyKey | None:
    """The request's key with what it was sent for: the path, and the body as it came."""
    if key is None:
        return None
    body = await request.body()
    return IdempotencyKey(key, digest([request.url.path, request.url.query, body.hex()]))


VERSIONING = [Depends(require_versioning)]
WorkflowPath = Annotated[str, Depends(get_workflow)]
VersionPath = Annotated[str, Depends(get_version)]
DigestPath = Annotated[str, Depends(get_digest)]
