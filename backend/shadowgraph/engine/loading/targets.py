"""From what `langgraph.json` names to a compiled graph."""

import asyncio
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.graph.state import StateGraph
from langgraph.pregel import Pregel

from shadowgraph.core.json import sha256
from shadowgraph.engine.loading.environment import Surroundings
from shadowgraph.engine.loading.errors import BadProject, raised_by_author

Graph = Pregel[Any, Any, Any, Any]


def load_target(workflow: str, target: str, around: Surroundings) -> tuple[Graph, ModuleType]:
    """The graph, and the module that holds it.

    Errors: `BadProject`.
    """
    place, _, variable = target.rpartition(":")
    if not place or not variable:
        raise BadProject(f"workflow {workflow!r}: {target!r} is neither ./file.py:variable nor package.module:variable")
    module = _import_file(workflow, place, around) if is_file(place) else _import_module(workflow, place, around)
    if not hasattr(module, variable):
        raise BadProject(f"workflow {workflow!r}: {place} has no {variable!r}", hint=_suggestion(module))
    return _to_graph(workflow, getattr(module, variable), around), module


def is_file(place: str) -> bool:
    return "/" in place or "\\" in place or Path(place).suffix in (".py", ".js", ".mjs", ".ts", ".mts", ".tsx")


def _suggestion(module: ModuleType) -> str | None:
    names = [name for name, value in vars(module).items() if isinstance(value, Pregel | StateGraph)]
    return f"its graphs are {', '.join(sorted(names))}" if names else None


# --- importing ------------------------------------------------------------------------------------------------------------------


def _import_file(workflow: str, place: str, around: Surroundings) -> ModuleType:
    path = (around.directory / place).resolve()
    if not any(path.is_relative_to(root) for root in around.roots):
        raise BadProject(f"workflow {workflow!r}: {place!r} is outside the project")
    if not path.is_file():
        raise BadProject(f"workflow {workflow!r}: there is no file {place!r} in the project")
    if path.suffix != ".py":
        raise BadProject(f"workflow {workflow!r}: {place!r} is not a Python file")
    name = _module_name(around, path)
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with blaming_the_author(f"workflow {workflow!r}: {place} cannot be imported", around):
            spec.loader.exec_module(module)
    except BadProject:
        del sys.modules[name]
        raise
    return module


def _module_name(around: Surroundings, path: Path) -> str:
    """The same wherever the project lies, if it has a name: checkpoints name the module of each class that they hold.

    Only a second project of the same name in one process gets a name that depends on its place.
    """
    below = path.relative_to(around.directory) if path.is_relative_to(around.directory) else Path(path.name)
    name = "__".join([around.name, *below.with_suffix("").parts]).replace(".", "_")
    loaded = sys.modules.get(name)
    if loaded is None or getattr(loaded, "__file__", None) == str(path):
        return name
    return f"{name}_{sha256(str(path).encode())[:12]}"


def _import_module(workflow: str, place: str, around: Surroundings) -> ModuleType:
    with blaming_the_author(f"workflow {workflow!r}: {place} cannot be imported", around):
        return importlib.import_module(place)


@contextmanager
def blaming_the_author(doing: str, around: Surroundings) -> Iterator[None]:
    """Whatever the project's own code raises, an exit too, is an error of the project."""
    try:
        yield
    except ModuleNotFoundError as error:
        hint = around.install_command(error.name) if error.name else None
        raise raised_by_author(doing, error, roots=around.roots, hint=hint) from error
    except (Exception, SystemExit) as error:
        raise raised_by_author(doing, error, roots=around.roots, secrets=around.secrets) from error


# --- compiling ------------------------------------------------------------------------------------------------------------------


def _to_graph(workflow: str, found: Any, around: Surroundings) -> Graph:
    """Of a compiled graph, a builder, or a factory (async too) of either."""
    if callable(found) and not isinstance(found, Pregel | StateGraph | type):
        found = _call_factory(workflow, found, around)
    if isinstance(found, StateGraph):
        with blaming_the_author(f"workflow {workflow!r} does not compile", around):
            found = found.compile()
    if not isinstance(found, Pregel):
        what = f"the class {found.__name__}" if isinstance(found, type) else f"a {type(found).__name__}"
        opens = hasattr(found, "__enter__") or hasattr(found, "__aenter__")
        hint = "a factory that is a context manager is not served: let it return the graph" if opens else None
        raise BadProject(f"workflow {workflow!r} is {what}, not a graph", hint=hint)
    return found


def _call_factory(workflow: str, factory: Any, around: Surroundings) -> Any:
    """Called once, when the project is loaded: with an empty config if it takes one."""
    arguments = _arguments(workflow, factory)
    with blaming_the_author(f"workflow {workflow!r}: its factory failed", around):
        made = factory(*arguments)
        return _wait_for(made) if inspect.isawaitable(made) else made


def _arguments(workflow: str, factory: Any) -> list[RunnableConfig]:
    parameters = list(inspect.signature(factory).parameters.values())
    positional = [item for item in parameters if item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD)]
    required = [
        item
        for item in parameters
        if item.default is item.empty and item.kind not in (item.VAR_POSITIONAL, item.VAR_KEYWORD)
    ]
    if len(required) > 1 or any(item.kind is item.KEYWORD_ONLY for item in required):
        names = ", ".join(item.name for item in required)
        raise BadProject(
            f"workflow {workflow!r}: its factory needs ({names})", hint="a factory may take a config, and nothing else"
        )
    takes_config = bool(required) or (bool(positional) and positional[0].name == "config")
    return [RunnableConfig(configurable={})] if takes_config else []


def _wait_for(work: Any) -> Any:
    """On a loop of its own: the caller's may be running."""

    async def wait() -> Any:
        return await work

    with ThreadPoolExecutor(1, thread_name_prefix="shadowgraph-factory") as thread:
        return thread.submit(asyncio.run, wait()).result()
