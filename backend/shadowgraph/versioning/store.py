"""Copies of blobs in files: `blobs/ab/<digest>`, written whole or not at all, never changed. The table is what counts.

A file that is torn, lost or tampered with is replaced from the table by whoever reads it next.
"""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile

from shadowgraph.core import failpoints
from shadowgraph.core.json import sha256

READ_ONLY = 0o444


class BlobFiles:
    """Blocks: call it in a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "blobs"

    def path_of(self, digest: str) -> Path:
        return self.folder / digest[:2] / digest

    def keep(self, bodies: Mapping[str, bytes]) -> None:
        """Those that are there, and whole, are left alone. Two processes may do this at once: both write the same."""
        whole = self.read(bodies)
        for digest in sorted(bodies.keys() - whole.keys()):
            self._write(self.path_of(digest), bodies[digest])

    def read(self, digests: Iterable[str]) -> dict[str, bytes]:
        """Those that are there and are what their names say."""
        found: dict[str, bytes] = {}
        for digest in digests:
            with suppress(FileNotFoundError, PermissionError):
                body = self.path_of(digest).read_bytes()
                if sha256(body) == digest:
                    found[digest] = body
        return found

    def find_older(self, moment: datetime) -> list[Path]:
        """Every file that was written before, drafts of writers that died too."""
        return [path for path in self.folder.glob("??/*") if path.stat().st_mtime < moment.timestamp()]

    def _write(self, path: Path, body: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, prefix=".new-", delete=False) as file:
            draft = Path(file.name)
            try:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
                failpoints.hit("versioning.blob.written")
                draft.chmod(READ_ONLY)
                draft.replace(path)
            except BaseException:
                draft.unlink(missing_ok=True)
                raise
