"""What a template makes: a small program with its plan, and the facts about it that an answer may state."""

from collections.abc import Callable
from dataclasses import dataclass
from string import Template as Placeholders

UNIT_TESTS = "python3 -m unittest -q"
"""Runs every `test_*.py` of a folder with nothing but Python's standard library."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    path: str
    content: str
    purpose: str
    """One line for the plan and the README."""

    @property
    def is_test(self) -> bool:
        return self.path.startswith("test_") or ".test." in self.path

    @property
    def language(self) -> str:
        return _LANGUAGES.get(self.path.rpartition(".")[2], "text")


@dataclass(frozen=True, slots=True)
class Program:
    template: str
    title: str
    summary: str
    """One or two sentences: what it does."""
    files: tuple[SourceFile, ...]
    run_command: str
    test_command: str | None
    """None: nothing can be run with the standard library alone."""
    design: tuple[str, ...]
    """Why it is built as it is, one sentence each."""
    limitations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TemplateEntry:
    name: str
    match: Callable[[str], int]
    """How well a request fits: 0 not at all, 2 enough, more is better. Gets the text in lower case."""
    build: Callable[[str], Program]


def render(source: str, /, **values: str) -> str:
    """Fills `$name` in a template's text; `$$` is a dollar sign. A forgotten value raises `KeyError`."""
    return Placeholders(source).substitute(values).lstrip("\n")


_LANGUAGES = {
    "py": "python",
    "md": "markdown",
    "csv": "csv",
    "tsx": "tsx",
    "ts": "typescript",
    "css": "css",
    "html": "html",
    "json": "json",
    "txt": "text",
}
