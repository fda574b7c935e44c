"""Snapshots as folders: `trees/<digest>/` has its files, read-only, for code that is imported and prompts that are read.

Whoever needs one looks first whether it is whole: what was torn, changed or added is replaced.
"""

import os
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from tempfile import mkdtemp

from shadowgraph.core import failpoints
from shadowgraph.core.paths import require_safe_path
from shadowgraph.versioning.snapshot import Snapshot
from shadowgraph.versioning.store import READ_ONLY

_READ_ONLY_FOLDER = 0o555
_FOLDER = 0o755
_DRAFT = ".new-"


class Trees:
    """Of this host. Blocks: call it in a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "trees"

    def path_of(self, digest: str) -> Path:
        return self.folder / digest

    def touch(self, digest: str) -> bool:
        """Somebody uses it now. False: it is not there."""
        try:
            os.utime(self.path_of(digest))
        except FileNotFoundError:
            return False
        return True

    def ensure(self, snapshot: Snapshot) -> Path:
        """Two processes may do this at once: both write the same.

        Errors: `OSError`.
        """
        tree, bodies = self.path_of(snapshot.digest), snapshot.bodies
        if not _is_whole(tree, bodies):
            self._write(tree, bodies)
        self.touch(snapshot.digest)
        return tree

    def _write(self, tree: Path, bodies: Mapping[str, bytes]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self._draft()
        try:
            _fill(draft, bodies)
            failpoints.hit("versioning.tree.written")
            self._put(draft, tree, bodies)
        finally:
            self.remove(draft)

    def _put(self, draft: Path, tree: Path, bodies: Mapping[str, bytes]) -> None:
        try:
            draft.rename(tree)
        except OSError:
            if _is_whole(tree, bodies):  # somebody else was quicker
                return
            damaged = self._draft()
            with suppress(FileNotFoundError):
                tree.rename(damaged)
            draft.rename(tree)
            self.remove(damaged)

    def _draft(self) -> Path:
        return Path(mkdtemp(dir=self.folder, prefix=_DRAFT))

    def find_older(self, moment: datetime) -> list[Path]:
        """Those that nobody used since, and drafts of writers that died."""
        return [path for path in self.folder.glob("*") if path.stat().st_mtime < moment.timestamp()]

    def remove(self, tree: Path) -> None:
        """Nothing, if it is not there."""
        for folder, _, _ in os.walk(tree):
            Path(folder).chmod(_FOLDER)
        shutil.rmtree(tree, ignore_errors=True)


def _is_whole(tree: Path, bodies: Mapping[str, bytes]) -> bool:
    """Exactly these files, byte for byte."""
    found = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_symlink() or not path.is_dir()}
    return found == bodies.keys() and all(_is_same(tree / path, body) for path, body in bodies.items())


def _is_same(path: Path, body: bytes) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode) and path.read_bytes() == body
    except OSError:
        return False


def _fill(folder: Path, bodies: Mapping[str, bytes]) -> None:
    for name, body in bodies.items():
        path = folder / require_safe_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        path.chmod(READ_ONLY)
    for inner, _, _ in os.walk(folder):
        Path(inner).chmod(_READ_ONLY_FOLDER)
