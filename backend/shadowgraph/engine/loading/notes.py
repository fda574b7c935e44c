"""What a project's author would expect of their graphs and does not get."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.pregel import Pregel

from shadowgraph.engine.loading.environment import Surroundings

Graph = Pregel[Any, Any, Any, Any]


def notes_of(graphs: Mapping[str, Graph], around: Surroundings) -> Mapping[str, str]:
    """By what they are about: `workflow agent: checkpointer`, `dependencies`."""
    found = {f"workflow {name}: {part}": what for name, graph in graphs.items() for part, what in _of_graph(graph)}
    if around.missing:
        names = ", ".join(around.missing)
        found["dependencies"] = f"not installed here: {names}; install: {around.install_command()}"
    if around.absent_env:
        found["env"] = f"there is no file {around.absent_env!r}; {_how_to_make(around.absent_env, around.directory)}"
    return found


def _how_to_make(env: str, directory: Path) -> str:
    example = next((path for path in sorted(directory.glob(".env.*")) if path.is_file()), None)
    return f"make it: cp {example.name} {env}" if example else "the environment of this process serves"


def _of_graph(graph: Graph) -> Iterator[tuple[str, str]]:
    if isinstance(graph.checkpointer, BaseCheckpointSaver):
        own = type(graph.checkpointer).__name__
        yield "checkpointer", f"its own {own} is replaced: Shadowgraph keeps the checkpoints in its database"
    if graph.store is not None:
        yield "store", f"its own {type(graph.store).__name__} is used as it is: Shadowgraph does not make it durable"
    if graph.interrupt_before_nodes or graph.interrupt_after_nodes:
        yield "breakpoints", "not served: a run that meets one fails; ask with interrupt() in a node"
    if graph.context_schema is not None:
        yield "context_schema", "gets no values: a run has an input and no context"
