"""Which names stand in the code that a function reaches inside its project: it uses the prompts, agents and tools among them.

Read from the source, so the answer is the same in every process. A name that is put together at run time cannot be seen; where that happens
in a call of `prompt`, `chat_model` or `tool`, nothing is said.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType
from typing import TypeAlias

from shadowgraph.engine.loading.sources import Function, Source, Sources

Known: TypeAlias = tuple[Path, str]
"""A file and a name in it."""

AUTHORING = frozenset({"prompt", "chat_model", "tool"})
_HOMES = ("shadowgraph", "shadowgraph.authoring")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]{0,99}\Z")
_WHOLE = ""
"""As a name: everything in the file."""


@dataclass(frozen=True, slots=True)
class _Page:
    """What one definition says."""

    words: frozenset[str]
    leads_to: frozenset[Known]
    is_told: bool


class WordReader:
    """Reads each definition once, however many functions reach it."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._pages: dict[Known, _Page] = {}

    def words_of(self, functions: Iterable[FunctionType]) -> frozenset[str] | None:
        """None: it cannot be told."""
        waiting = [self._beginning(function) for function in functions]
        seen, words = set[Known](), set[str]()
        while waiting:
            known = waiting.pop()
            if known in seen:
                continue
            seen.add(known)
            page = self._page(known)
            if not page.is_told:
                return None
            words |= page.words
            waiting += page.leads_to
        return frozenset(words)

    def _beginning(self, function: FunctionType) -> Known:
        path, top = Path(function.__code__.co_filename), function.__qualname__.partition(".")[0]
        source = self._sources.source(path)
        # a lambda, or a function that goes by another name since
        return (path, top) if source and top in source.definitions else (path, _WHOLE)

    def _page(self, known: Known) -> _Page:
        if known not in self._pages:
            self._pages[known] = self._read(*known)
        return self._pages[known]

    def _read(self, path: Path, name: str) -> _Page:
        source = self._sources.source(path)
        if source is None:
            return _Page(frozenset(), frozenset(), is_told=False)
        parts: Iterable[ast.AST] = [source.tree] if name == _WHOLE else source.definitions.get(name, ())
        nodes = [(part, node) for part in parts for node in ast.walk(part)]
        leads = {known for _, node in nodes for known in self._leads(node, source)}
        if name not in source.definitions:
            leads.update(self._imported(name, source))
        return _Page(
            frozenset(word for _, node in nodes for word in _words_in(node)),
            frozenset(leads),
            all(_is_told(node, part) for part, node in nodes if _asks_by_name(node, source)),
        )

    def _leads(self, node: ast.AST, source: Source) -> Iterator[Known]:
        if isinstance(node, ast.Name):
            if node.id in source.definitions or node.id in source.imports or source.stars:
                yield source.path, node.id
        elif isinstance(node, ast.Attribute) and (module := _module_of(node, source)) is not None:
            yield from self._places(module, node.attr)

    def _imported(self, name: str, source: Source) -> Iterator[Known]:
        if (imported := source.imports.get(name)) is not None and imported.attribute is not None:
            yield from self._places(imported.module, imported.attribute)
        for module in source.stars:
            yield from self._places(module, name)

    def _places(self, module: str, name: str) -> Iterator[Known]:
        if (path := self._sources.find(module)) is not None:
            yield path, name


def _words_in(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and _WORD.match(node.value):
        yield node.value


def _module_of(node: ast.Attribute, source: Source) -> str | None:
    """Of `module.name`, where the first part was imported."""
    dotted = _dotted(node.value)
    if dotted is None or (imported := source.imports.get(dotted[0])) is None:
        return None
    return ".".join([imported.module, *([imported.attribute] if imported.attribute else []), *dotted[1:]])


def _dotted(node: ast.expr) -> list[str] | None:
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute) and (before := _dotted(node.value)) is not None:
        return [*before, node.attr]
    return None


# --- names that are put together at run time ------------------------------------------------------------------------------------


def _asks_by_name(node: ast.AST, source: Source) -> bool:
    """It is a call of one of our functions that takes a name."""
    if not isinstance(node, ast.Call) or (dotted := _dotted(node.func)) is None:
        return False
    imported = source.imports.get(dotted[0])
    if imported is None:
        return False
    name = imported.attribute if len(dotted) == 1 else dotted[-1]
    return name in AUTHORING and any(f"{imported.module}.".startswith(f"{home}.") for home in _HOMES)


def _is_told(call: ast.AST, around: ast.AST) -> bool:
    assert isinstance(call, ast.Call)
    asked = [*call.args[:1], *(word.value for word in call.keywords if word.arg == "name")]
    return all(_is_written(value) and all(map(_is_written, _assigned(value, around))) for value in asked)


def _is_written(value: ast.expr) -> bool:
    """It is chosen from what stands somewhere, not put together."""
    return not any(isinstance(node, ast.FormattedValue | ast.BinOp | ast.Call) for node in ast.walk(value))


def _assigned(value: ast.expr, around: ast.AST) -> Iterator[ast.expr]:
    """What a local name is given inside the same function."""
    if not isinstance(value, ast.Name):
        return
    for function in (node for node in ast.walk(around) if isinstance(node, Function)):
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and any(_is_name(target, value.id) for target in node.targets):
                yield node.value


def _is_name(target: ast.expr, name: str) -> bool:
    return isinstance(target, ast.Name) and target.id == name
