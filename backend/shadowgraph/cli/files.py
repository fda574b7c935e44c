"""Writes a run's files to disk. Their names come from a model, so no name may lead outside the folder."""

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from shadowgraph.cli.client import Client, Json, segment
from shadowgraph.cli.exits import ExitCode
from shadowgraph.cli.problem import failure
from shadowgraph.core.json import sha256
from shadowgraph.core.paths import UnsafePath, require_safe_path

_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""O_NONBLOCK: a named pipe in the way fails instead of waiting for a reader."""
_OBSTACLES = {errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.ENXIO}
"""A link, a file where a folder should be, a folder where a file should be, a pipe or device."""


@dataclass(frozen=True, slots=True)
class File:
    path: str
    body: bytes


async def load_files(client: Client, run_id: str, *, paths: Sequence[str] | None = None) -> list[File]:
    """The files of a run, all or the named ones, checked against their digests.

    Errors: `CommandFailed`: 5 for a path that the run does not have, 1 for a body that is not what the server listed.
    """
    listed = {item["path"]: item for item in await client.list_all(f"/runs/{segment(run_id)}/artifacts")}
    for path in paths or ():
        if path not in listed:
            raise failure(f"the run has no file {path!r}", code="artifact_not_found", exit_code=ExitCode.NOT_FOUND)
    return [await _load(client, run_id, listed[path]) for path in (paths or listed)]


async def _load(client: Client, run_id: str, item: Json) -> File:
    path = "/".join(segment(part) for part in item["path"].split("/"))
    body = await client.get_bytes(f"/runs/{segment(run_id)}/artifacts/{path}")
    if sha256(body) != item["sha256"]:
        raise failure(
            f"{item['path']} arrived damaged", code="damaged_file", exit_code=ExitCode.UNEXPECTED, retryable=True
        )
    return File(item["path"], body)


def changed_files(folder: Path, files: Sequence[File]) -> list[str]:
    """Those that stand in the folder already, with other content."""
    return [file.path for file in files if _differs(folder / require_safe_path(file.path), file.body)]


def _differs(path: Path, body: bytes) -> bool:
    return path.is_symlink() or (path.exists() and (not path.is_file() or path.read_bytes() != body))


def write_files(folder: Path, files: Sequence[File]) -> list[Path]:
    """Errors: `UnsafePath` for a name that leaves the folder, by itself or through a link that stands in the way."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        write_file(folder, file.path, file.body)
    return [folder / file.path for file in files]


def write_file(folder: Path, path: str, body: bytes) -> None:
    """Opens each folder of the path relative to the one before and follows no link, so that nothing can be swapped in between."""
    *parents, name = PurePosixPath(require_safe_path(path)).parts
    try:
        parent = _open_folder(folder, parents)
        try:
            _write(parent, name, body)
        finally:
            os.close(parent)
    except OSError as error:
        if error.errno not in _OBSTACLES:
            raise
        raise UnsafePath(f"{path!r} cannot be written: something else stands in its place", path=path) from error


def _open_folder(folder: Path, parents: Sequence[str]) -> int:
    current = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    for parent in parents:
        try:
            with suppress(FileExistsError):
                os.mkdir(parent, dir_fd=current)
            following = os.open(parent, _FOLDER_FLAGS, dir_fd=current)
        finally:
            os.close(current)
        current = following
    return current


def _write(folder: int, name: str, body: bytes) -> None:
    descriptor = os.open(name, _FILE_FLAGS, 0o644, dir_fd=folder)
    with os.fdopen(descriptor, "wb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.ENXIO, "not a regular file")
        file.truncate(0)
        file.write(body)
