"""Walks through the objects that a node's code can reach. Nothing is called."""

import dis
import functools
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from langchain_core.runnables import Runnable
from langgraph.pregel import Pregel

from shadowgraph.engine.loading.errors import own_files

_IMPORT_NAME = dis.opmap["IMPORT_NAME"]

MAX_OBJECTS = 3_000
"""Of one node; what lies further is not seen."""


def walk(parts: Iterable[Any], roots: Sequence[Path], note: Callable[[Any], bool]) -> None:
    """`note` is shown each object once; True: what lies behind it is of no interest. `roots`: the author's folders."""
    waiting, visited = list(parts), dict[int, Any]()
    while waiting and len(visited) < MAX_OBJECTS:
        found = waiting.pop()
        if id(found) in visited:
            continue
        visited[id(found)] = found
        waiting.extend(_look_behind(found, roots, note))


def _look_behind(found: Any, roots: Sequence[Path], note: Callable[[Any], bool]) -> list[Any]:
    try:
        return [] if note(found) else list(_reachable(found, roots))
    except Exception:  # noqa: BLE001  an author's object may raise whatever it likes when it is touched; then nothing is seen there
        return []


def _reachable(found: Any, roots: Sequence[Path]) -> Iterator[Any]:
    if isinstance(found, FunctionType):
        yield from _of_function(found, roots)
    elif isinstance(found, MethodType):
        yield from (found.__func__, found.__self__)
    elif isinstance(found, functools.partial):
        yield from (found.func, *found.args, *found.keywords.values())
    elif isinstance(found, Pregel):
        yield from (node.bound for node in found.nodes.values())
    elif isinstance(found, Mapping):
        yield from found.values()
    elif isinstance(found, list | tuple | set | frozenset):
        yield from found
    elif isinstance(found, type):
        yield from vars(found).values() if _is_own_class(found, roots) else ()
    elif isinstance(found, Runnable) or _is_own_class(type(found), roots):
        yield type(found)
        yield from getattr(found, "__dict__", {}).values()
    elif isinstance(found, staticmethod | classmethod | functools.cached_property):
        yield from (value for name in ("__func__", "func") if (value := getattr(found, name, None)) is not None)


def _is_own_class(found: type, roots: Sequence[Path]) -> bool:
    file = getattr(sys.modules.get(found.__module__), "__file__", None)
    return bool(file and own_files(file, roots))


def _of_function(function: FunctionType, roots: Sequence[Path]) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # not filled yet
            continue
    yield from function.__defaults__ or ()
    if (wrapped := getattr(function, "__wrapped__", None)) is not None:
        yield wrapped
    if own_files(function.__code__.co_filename, roots):
        yield from _named(function.__code__, function.__globals__)


def _named(code: CodeType, known: Mapping[str, Any]) -> Iterator[Any]:
    """The values of the global names in the code, of the attributes of modules, and of what it imports by itself."""
    names = set(code.co_names)
    for name in names & known.keys():
        yield known[name]
        yield from _attributes(known[name], names)
    yield from _imported(code, names)
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _named(inner, known)


def _attributes(found: Any, names: Iterable[str]) -> Iterator[Any]:
    if not issubclass(type(found), ModuleType):  # by its true type: a proxy would answer for what it stands for
        return
    offered = {*vars(found), *(getattr(found, "__all__", ()) if found.__name__ == "shadowgraph" else ())}
    for name in offered.intersection(names):
        with suppress(ImportError):  # a lazy name whose package is not installed
            yield getattr(found, name)


def _imported(code: CodeType, names: Iterable[str]) -> Iterator[Any]:
    if _IMPORT_NAME not in code.co_code[::2]:
        return  # taking the code apart would cost most of the walk
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            yield from _attributes(sys.modules.get(str(instruction.argval)), names)
