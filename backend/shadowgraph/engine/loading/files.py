"""The files of a project, and the one digest over them."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from shadowgraph.core.json import digest, sha256
from shadowgraph.engine.loading.errors import BadProject
from shadowgraph.versioning.files import is_own_folder


def digest_files(directory: Path, *others: Path) -> str:
    """Over path and content of every file of the project, but for hidden and generated ones and virtual environments.

    Errors: `BadProject` for a file that cannot be read.
    """
    found = {str(path.relative_to(directory)): _digest_of(path) for path in _files(directory)}
    for folder in _outside(directory, others):
        found |= {f"../{path.relative_to(folder.parent)}": _digest_of(path) for path in _files(folder)}
    return digest(found)


def _digest_of(path: Path) -> str:
    try:
        return sha256(path.read_bytes())
    except OSError as error:
        raise BadProject(f"{path} cannot be read: {error.strerror}") from error


def _outside(directory: Path, others: Sequence[Path]) -> list[Path]:
    return [folder for folder in others if not folder.is_relative_to(directory)]


def _files(directory: Path) -> Iterator[Path]:
    for folder, folders, names in os.walk(directory):
        here = Path(folder)
        folders[:] = sorted(name for name in folders if is_own_folder(here / name))
        for name in sorted(names):
            if not name.startswith(".") and not name.endswith(".pyc") and (here / name).is_file():
                yield here / name
