"""Reads the files of a project from its folders."""

import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shadowgraph.core.paths import UnsafePath, require_safe_path
from shadowgraph.versioning.errors import Place, place, refuse
from shadowgraph.versioning.files import (
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_TOTAL_BYTES,
    OUTSIDE_DIR,
    RENDERED,
    is_allowed,
    is_own_folder,
)
from shadowgraph.versioning.ignoring import Ignored, ignored_from_above
from shadowgraph.versioning.texts import Unusable, normal_text


@dataclass(frozen=True, slots=True)
class Collected:
    files: Mapping[str, bytes]
    """By path in the snapshot, in the form of `texts.py`."""
    origins: Mapping[Path, str]
    """Where each came from."""
    places: Mapping[Path, str]
    """Where each root stands in the snapshot; empty for the project's own folder."""
    left_out: Sequence[str]
    """Files that are neither hidden nor ignored, and of a kind that no snapshot holds."""


@dataclass(slots=True)
class _Haul:
    files: dict[str, bytes] = field(default_factory=dict)
    origins: dict[Path, str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    problems: list[Place] = field(default_factory=list)
    size_bytes: int = 0

    @property
    def is_too_much(self) -> bool:
        return len(self.files) > MAX_FILES or self.size_bytes > MAX_TOTAL_BYTES


def collect(roots: Sequence[Path]) -> Collected:
    """`roots`: the project's folder, then those that its `dependencies` name; resolved.

    Errors: `InvalidSnapshot` with every file that is a link, too large, not text or badly named.
    """
    places, haul = places_of(roots), _Haul()
    for root, where in places.items():
        for path in _walk(root, ignored_from_above(root)):
            _take(path, _join(where, path.relative_to(root).as_posix()), haul)
            if haul.is_too_much:
                haul.problems.append(_too_much(haul))
                break
    refuse(haul.problems, hint="take it out of the project, or list it in .gitignore")
    return Collected(haul.files, haul.origins, places, haul.left_out)


def places_of(roots: Sequence[Path]) -> dict[Path, str]:
    """A folder inside the project stands where it is; one outside gets a place of its own."""
    project, *others = roots
    found = {project: ""}
    for root in others:
        if any(root.is_relative_to(taken) for taken in found):
            continue
        wanted = where = f"{OUTSIDE_DIR}/{root.name}"
        number = 1
        while where in found.values():
            number += 1
            where = f"{wanted}-{number}"
        found[root] = where
    return found


def _join(where: str, path: str) -> str:
    return f"{where}/{path}" if where else path


def _walk(folder: Path, ignored: Ignored) -> Iterator[Path]:
    """Every file that may be meant; links and other odd ones, too."""
    inside = ignored.inside(folder)
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        path = folder / entry.name
        is_folder = entry.is_dir(follow_symlinks=False)
        if entry.name.startswith(".") or inside.has(path, is_folder=is_folder):
            continue
        if is_folder:
            if is_own_folder(path):
                yield from _walk(path, inside)
        elif not entry.is_dir() or is_own_folder(path):
            yield path


def _take(path: Path, where: str, haul: _Haul) -> None:
    if where in RENDERED or path.suffix == ".pyc":
        return
    if not is_allowed(where) and not path.is_dir():  # a link to a folder may lead to anything
        haul.left_out.append(where)
        return
    try:
        haul.files[where] = body = _read(path, where)
        haul.origins[path] = where
        haul.size_bytes += len(body)
    except UnsafePath as error:
        haul.problems.append(place(where, error.message))
    except Unusable as error:
        haul.problems.append(place(where, str(error)))
    except OSError as error:
        haul.problems.append(place(where, f"cannot be read: {error.strerror}"))


def _read(path: Path, where: str) -> bytes:
    """Errors: `Unusable`, `UnsafePath`, `OSError`."""
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise Unusable("is a link: what it leads to is no part of the project")
    if not stat.S_ISREG(found.st_mode):
        raise Unusable("is not a regular file")
    if found.st_size > MAX_FILE_BYTES:
        raise Unusable(f"has {found.st_size} bytes; a file may have {MAX_FILE_BYTES}")
    require_safe_path(where)
    with path.open("rb") as file:
        raw = file.read(MAX_FILE_BYTES + 1)
    if len(raw) > MAX_FILE_BYTES:
        raise Unusable(f"grew beyond {MAX_FILE_BYTES} bytes while it was read")
    return normal_text(raw)


def _too_much(haul: _Haul) -> Place:
    if len(haul.files) > MAX_FILES:
        return place(".", f"has more than {MAX_FILES} files")
    largest = max(haul.files, key=lambda path: len(haul.files[path]))
    return place(largest, f"is the largest of files that make more than {MAX_TOTAL_BYTES} bytes")
