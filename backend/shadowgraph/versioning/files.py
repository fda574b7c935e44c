"""Which files of a project belong into a snapshot, and what kind of change each stands for.

Part of the format: a rule that changes gives other digests for the same project, so it changes together with the format's number.
"""

from collections.abc import Collection
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Literal

from shadowgraph.core.templates import PROMPTS_DIR

Kind = Literal["data", "code", "inert", "dependencies"]
"""data: prompts and parameters, which change in the same worker. inert: nothing runs by it. dependencies: which packages are installed."""

MAX_FILE_BYTES = 1 << 20
MAX_TOTAL_BYTES = 16 << 20
MAX_FILES = 2_000

GRAPHS_FILE = "langgraph.json"
PARAMETERS_FILE = "shadowgraph.toml"
RENDERED = frozenset({GRAPHS_FILE, PARAMETERS_FILE})
"""Stand in a snapshot in a form of ours: without what is live (time limits, values of variables) or belongs to other workflows."""
OUTSIDE_DIR = "_roots"
"""Below it stand the folders that `dependencies` names outside the project's own."""

ALLOWED_SUFFIXES = frozenset(
    {".py", ".md", ".txt", ".json", ".toml", ".yaml", ".yml", ".lock", ".j2", ".jinja", ".jinja2"}
)
PROMPT_SUFFIXES = frozenset({".md", ".txt"})
_DENIED = ("*credential*", "secret*", "*.local.*")
"""Data files that are called so hold what no snapshot may hold. (Code is scanned.)"""
_IGNORED_FOLDERS = frozenset({"__pycache__", "node_modules", "storage", "dist", "build"})
_INERT_NAMES = (
    "readme*",
    "license*",
    "licence*",
    "changelog*",
    "contributing*",
    "authors*",
    "notice*",
    "pyproject.toml",
)
_INERT_FOLDERS = frozenset({"docs", "doc", "tests", "test"})
_TEST_MODULES = ("test_*.py", "*_test.py", "conftest.py")
_DEPENDENCIES = ("*.lock", "requirements*.txt", "constraints*.txt", "pylock*.toml")


def is_own_folder(folder: Path) -> bool:
    """False for hidden and generated ones and virtual environments."""
    return (
        not folder.name.startswith(".") and folder.name not in _IGNORED_FOLDERS and not (folder / "pyvenv.cfg").exists()
    )


def is_allowed(path: str) -> bool:
    """Of a file that is neither hidden nor ignored."""
    name = PurePosixPath(path).name.lower()
    suffix = PurePosixPath(name).suffix
    return suffix in ALLOWED_SUFFIXES and (suffix == ".py" or not _matches(name, _DENIED))


def kind_of(path: str, *, prompts: Collection[str], used: Collection[str]) -> Kind:
    """`prompts`: paths of all prompts. `used`: files that some node's code imports."""
    if path in used:
        return "code"
    if path == PARAMETERS_FILE or path in prompts:
        return "data"
    parts = PurePosixPath(path.lower()).parts
    if len(parts) == 1 and _matches(parts[0], _DEPENDENCIES):
        return "dependencies"
    is_inert = parts[0] in _INERT_FOLDERS or _matches(parts[-1], _TEST_MODULES)
    return "inert" if is_inert or (len(parts) == 1 and _matches(parts[0], _INERT_NAMES)) else "code"


def prompt_name(path: str) -> str | None:
    """Of `prompts/NAME.md`; None for any other file."""
    inside = path.removeprefix(f"{PROMPTS_DIR}/")
    return inside.removesuffix(".md") if inside != path and path.endswith(".md") else None


def _matches(name: str, patterns: Collection[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
