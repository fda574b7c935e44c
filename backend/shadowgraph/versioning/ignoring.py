"""`.gitignore` files: the project's own, and those above it up to the root of its git work tree."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pathspec import GitIgnoreSpec

IGNORE_FILE = ".gitignore"


@dataclass(frozen=True, slots=True)
class Rules:
    folder: Path
    spec: GitIgnoreSpec

    def decide(self, path: Path, *, is_folder: bool) -> bool | None:
        """None: they say nothing of it."""
        below = path.relative_to(self.folder).as_posix()
        return self.spec.check_file(f"{below}/" if is_folder else below).include


@dataclass(frozen=True, slots=True)
class Ignored:
    """What git would not show."""

    rules: tuple[Rules, ...]
    """Outermost first: those nearest to a file win."""

    def inside(self, folder: Path) -> "Ignored":
        """With the folder's own rules."""
        own = _read(folder)
        return self if own is None else Ignored((*self.rules, own))

    def has(self, path: Path, *, is_folder: bool) -> bool:
        decided = (rules.decide(path, is_folder=is_folder) for rules in reversed(self.rules))
        return next((found for found in decided if found is not None), False)


def ignored_from_above(root: Path) -> Ignored:
    """A project that lies in an ignored folder itself (a package in a virtual environment) is wanted all the same."""
    above = Ignored(tuple(rules for folder in _folders_above(root) if (rules := _read(folder)) is not None))
    return Ignored(()) if above.has(root, is_folder=True) else above


def _folders_above(root: Path) -> Iterator[Path]:
    """Those inside its git work tree, outermost first; none when it is in no such tree, or is one itself."""
    if (root / ".git").exists():
        return
    outer: list[Path] = []
    for folder in root.parents:
        outer.append(folder)
        if (folder / ".git").exists():
            yield from reversed(outer)
            return


def _read(folder: Path) -> Rules | None:
    try:
        lines = (folder / IGNORE_FILE).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    return Rules(folder, GitIgnoreSpec.from_lines(lines))
