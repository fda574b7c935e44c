"""A project's Python files as they are written: who imports whom, and where a name is defined. Nothing is imported or run."""

import ast
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef
_DYNAMIC = frozenset({"__import__", "exec", "eval"})
_RUNNERS = frozenset({"run_path", "run_module"})
_IMPORTERS = frozenset({"import_module"})
_BLOCKS = (ast.If, ast.Try, ast.With, ast.AsyncWith, ast.For, ast.AsyncFor, ast.While)


@dataclass(frozen=True, slots=True)
class Import:
    """What a name stands for: a module, or something in one."""

    module: str
    attribute: str | None = None


@dataclass(frozen=True)
class Source:
    path: Path
    tree: ast.Module
    package: str
    """That relative imports start from; empty for a file that stands in none."""

    @cached_property
    def definitions(self) -> Mapping[str, Sequence[ast.stmt]]:
        """The statements that give each of its names a value, by name."""
        found: dict[str, list[ast.stmt]] = {}
        for statement in _statements(self.tree.body):
            for name in _names_of(statement):
                found.setdefault(name, []).append(statement)
        return found

    @cached_property
    def imports(self) -> Mapping[str, Import]:
        """Of the whole file, also inside functions: by the name under which each is known."""
        return {name: imported for name, imported in self._imported() if name != "*"}

    @cached_property
    def stars(self) -> Sequence[str]:
        """Modules of which it takes every name."""
        return [imported.module for name, imported in self._imported() if name == "*"]

    @cached_property
    def imported_modules(self) -> Iterable[str]:
        """Every dotted name that may be a module: `from a import b` may mean a file `a/b.py`."""
        found: list[str] = []
        for node in self._nodes:
            if isinstance(node, ast.Import):
                found += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                found += [base, *(f"{base}.{alias.name}" for alias in node.names)]
            elif isinstance(node, ast.Call) and _name_of(node.func) in _IMPORTERS and (text := _constant(node)):
                found.append(text)
        return found

    @property
    def absolute_imports(self) -> Iterator[str]:
        """Modules, as they are written."""
        for node in self._nodes:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
                yield node.module

    @cached_property
    def imports_unseen(self) -> bool:
        """True: it imports or runs what only shows at run time."""
        return any(_is_dynamic(node) for node in self._nodes if isinstance(node, ast.Call))

    @cached_property
    def _nodes(self) -> Sequence[ast.Import | ast.ImportFrom | ast.Call]:
        wanted = (ast.Import, ast.ImportFrom, ast.Call)
        return [node for node in ast.walk(self.tree) if isinstance(node, wanted)]

    def _imported(self) -> Iterator[tuple[str, Import]]:
        for node in self._nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    top = alias.name.partition(".")[0]
                    yield alias.asname or top, Import(alias.name if alias.asname else top)
            elif isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    yield alias.asname or alias.name, Import(self._base(node), alias.name)

    def _base(self, node: ast.ImportFrom) -> str:
        if not node.level:
            return node.module or ""
        parts = self.package.split(".") if self.package else []
        above = parts[: len(parts) - node.level + 1]
        return ".".join([*above, *([node.module] if node.module else [])])


@dataclass(frozen=True)
class Sources:
    """All Python files of a project."""

    roots: Sequence[Path]
    texts: Mapping[Path, str]
    _parsed: dict[Path, Source | None] = field(default_factory=dict)
    _found: dict[str, Path | None] = field(default_factory=dict)
    _imported: dict[Path, frozenset[Path]] = field(default_factory=dict)

    def find(self, module: str) -> Path | None:
        """The file of a module by its dotted name; None when it is not the project's."""
        if module not in self._found:
            self._found[module] = self._look_for(module)
        return self._found[module]

    def find_package(self) -> str | None:
        """The dotted name by which the project's own folder is imported: one that is a package, and whose code calls it so.

        Otherwise the folder's name says nothing: a copy in another place is the same project.
        """
        package = _package_of(self.roots[0])
        sources = (self.source(path) for path in self.texts)
        names = (name for source in sources if source is not None for name in source.absolute_imports)
        is_used = bool(package) and any(_without_prefix(name, package) is not None for name in names)
        return package if is_used else None

    def _look_for(self, module: str) -> Path | None:
        for folder, prefix in self._homes:
            below = _without_prefix(module, prefix)
            if below is not None and (found := self._file(folder.joinpath(*below))):
                return found
        return None

    def source(self, path: Path) -> Source | None:
        """None for a file that is not the project's, or is no Python."""
        if path not in self._parsed:
            self._parsed[path] = self._parse(path)
        return self._parsed[path]

    def module(self, name: str) -> Source | None:
        path = self.find(name)
        return None if path is None else self.source(path)

    def closure(self, seeds: Iterable[Path]) -> frozenset[Path] | None:
        """These files and all that they import inside the project. None: it cannot be told."""
        waiting, found = list(seeds), set[Path]()
        while waiting:
            path = waiting.pop()
            if path in found:
                continue
            source = self.source(path)
            if source is None or source.imports_unseen:
                return None
            found.add(path)
            waiting += self._imports_of(source)
        return frozenset(found)

    def _imports_of(self, source: Source) -> frozenset[Path]:
        if source.path not in self._imported:
            named = (path for name in source.imported_modules for path in self._files_of(name))
            self._imported[source.path] = frozenset([*self._packages_of(source.path), *named])
        return self._imported[source.path]

    @cached_property
    def _homes(self) -> Sequence[tuple[Path, str]]:
        """Folders in which modules are looked for, and what stands before their names there."""
        found: list[tuple[Path, str]] = []
        for root in self.roots:
            found += [(root, ""), (root / "src", "")]
            if package := _package_of(root):
                found.append((root, package))
        return found

    def _parse(self, path: Path) -> Source | None:
        text = self.texts.get(path)
        if text is None:
            return None
        try:
            tree = ast.parse(text)
        except (SyntaxError, ValueError, RecursionError):
            return None
        return Source(path, tree, self._package(path))

    def _package(self, path: Path) -> str:
        """Of the module in this file, as it is imported from the folder that knows it first."""
        for folder, prefix in sorted(self._homes, key=lambda home: (len(home[0].parts), len(home[1])), reverse=True):
            if path.is_relative_to(folder):
                parts = path.relative_to(folder).parent.parts
                return ".".join([*([prefix] if prefix else []), *parts])
        return ""

    def _files_of(self, module: str) -> Iterator[Path]:
        """Importing `a.b.c` runs the packages `a` and `a.b` first."""
        parts = module.split(".")
        for length in range(1, len(parts) + 1):
            if (path := self.find(".".join(parts[:length]))) is not None:
                yield path

    def _packages_of(self, path: Path) -> Iterator[Path]:
        for folder in path.parents:
            if (init := folder / "__init__.py") in self.texts:
                yield init
            if folder in self.roots:
                return

    def _file(self, place: Path) -> Path | None:
        candidates = (place / "__init__.py", place.with_name(f"{place.name}.py"))
        return next((path for path in candidates if path in self.texts), None)


def _without_prefix(module: str, prefix: str) -> list[str] | None:
    if not prefix:
        return module.split(".")
    if module == prefix:
        return []
    return module.removeprefix(f"{prefix}.").split(".") if module.startswith(f"{prefix}.") else None


def _package_of(root: Path) -> str:
    """Its dotted name, where the folder is a package itself."""
    parts: list[str] = []
    folder = root
    while (folder / "__init__.py").is_file():
        parts.insert(0, folder.name)
        folder = folder.parent
    return ".".join(parts)


# --- syntax ---------------------------------------------------------------------------------------------------------------------


def _statements(body: Iterable[ast.stmt]) -> Iterator[ast.stmt]:
    """Of a module, also those inside `if`, `try` and the like."""
    for statement in body:
        yield statement
        if isinstance(statement, _BLOCKS):
            for name in ("body", "orelse", "finalbody"):
                yield from _statements(getattr(statement, name, ()))
            for handler in getattr(statement, "handlers", ()):
                yield from _statements(handler.body)


def _names_of(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Assign):
        for target in statement.targets:
            yield from _names_in(target)
    elif isinstance(statement, ast.AnnAssign | ast.AugAssign | ast.For | ast.AsyncFor):
        yield from _names_in(statement.target)


def _names_in(target: ast.expr) -> Iterator[str]:
    return (node.id for node in ast.walk(target) if isinstance(node, ast.Name))


def _name_of(function: ast.expr) -> str:
    if isinstance(function, ast.Attribute):
        return function.attr
    return function.id if isinstance(function, ast.Name) else ""


def _constant(call: ast.Call) -> str | None:
    first = call.args[0] if call.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None


def _is_dynamic(call: ast.Call) -> bool:
    name = _name_of(call.func)
    is_built_in = isinstance(call.func, ast.Name) and name in _DYNAMIC
    return is_built_in or name in _RUNNERS or (name in _IMPORTERS and _constant(call) is None)
