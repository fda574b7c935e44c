"""Loads projects: folders with LangGraph's own `langgraph.json`. The built-in one goes through the same door."""

import inspect
import sys
import threading
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from langgraph.pregel import Pregel

from shadowgraph.core.agent_settings import AgentSettings
from shadowgraph.core.json import JsonObject
from shadowgraph.engine.checkpoints.types import state_types
from shadowgraph.engine.loading.config import CONFIG_FILE, GraphEntry, read_config
from shadowgraph.engine.loading.environment import Surroundings, prepare
from shadowgraph.engine.loading.errors import BadProject, still_running
from shadowgraph.engine.loading.files import digest_files
from shadowgraph.engine.loading.guise import Guise, put_on, require_apart
from shadowgraph.engine.loading.levels import least, levels_of
from shadowgraph.engine.loading.notes import notes_of
from shadowgraph.engine.loading.options import WorkflowOptions, read_options
from shadowgraph.engine.loading.schemas import input_schema_of, output_schema_of
from shadowgraph.engine.loading.targets import blaming_the_author, load_target

__all__ = [
    "CONFIG_FILE",
    "NODE_TIMEOUT_SECONDS",
    "BadProject",
    "LoadedWorkflow",
    "Project",
    "digest_files",
    "input_schema_of",
    "load_project",
    "load_project_within",
    "topology_of",
]

NODE_TIMEOUT_SECONDS = 600.0
"""A superstep that takes longer fails the run, unless the graph sets a limit of its own."""


@dataclass(frozen=True)
class LoadedWorkflow:
    name: str
    graph: Pregel[Any, Any, Any, Any]
    input_schema: JsonObject
    output_schema: JsonObject
    topology: JsonObject
    """{nodes: [{name, level}], edges: [{source, target, conditional}], level}"""
    description: str
    timeout_seconds: float | None = None
    """For runs that name no `timeout_s` of their own."""
    default_budget_usd: Decimal | None = None
    """For runs that name no `budget_usd` of their own."""

    @cached_property
    def state_types(self) -> Collection[tuple[str, ...]]:
        """What its checkpoints may hold, beside plain values and messages."""
        return state_types(self.graph)


@dataclass(frozen=True, slots=True)
class Project:
    name: str
    directory: Path
    code_digest: str
    """Over the project's files: another digest means that a resumed run may meet other code."""
    workflows: Mapping[str, LoadedWorkflow]
    agents: Mapping[str, AgentSettings] = field(default_factory=dict)
    """`[agents.NAME]` of its `shadowgraph.toml`."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """What its author would expect and does not get, by what it is about: a key of a file, a workflow, a package."""
    roots: tuple[Path, ...] = ()
    """The folders whose files are its author's."""


def load_project_within(seconds: float, directory: Path, guise: Guise | None = None) -> Project:
    """The same with an end: code that is still being imported then goes on in a thread that nobody waits for.

    Errors: `BadProject`, with the author's lines at which it stands when the time is up.
    """
    loading: Future[Project] = Future()
    thread = threading.Thread(target=_load_into, args=(loading, directory, guise), name="loading", daemon=True)
    thread.start()
    thread.join(seconds)
    if not loading.done():
        frame = sys._current_frames().get(thread.ident or 0)
        raise still_running(
            f"its code has not been imported after {seconds:g} s",
            frame,
            roots=[directory.resolve()],
            hint="do slow work in a node, or raise PROJECT_LOAD_SECONDS",
        )
    return loading.result()


def _load_into(loading: "Future[Project]", directory: Path, guise: Guise | None) -> None:
    try:
        loading.set_result(load_project(directory, guise))
    except BaseException as error:  # noqa: BLE001  it belongs to whoever waits for the result
        loading.set_exception(error)


def load_project(directory: Path, guise: Guise | None = None) -> Project:
    """Imports every graph of the project; sets its variables and module path for this process. `guise`: of a snapshot's tree.

    Errors: `BadProject`. What the project's own code raises while it is imported is its cause.
    """
    directory = directory.resolve()
    config = read_config(directory)
    options = read_options(directory, config.graphs)
    if guise is not None:
        put_on(guise, directory)
    around = prepare(guise.name if guise else options.name or directory.name, directory, config)
    loaded = [
        _load_workflow(name, entry, around, options.workflows.get(name, WorkflowOptions()))
        for name, entry in config.graphs.items()
    ]
    if guise is not None:
        require_apart(guise)
    return Project(
        around.name,
        directory,
        digest_files(directory, *around.roots),
        {item.name: item for item in loaded},
        agents=options.agents,
        notes={**config.unserved, **options.unserved, **notes_of({item.name: item.graph for item in loaded}, around)},
        roots=around.roots,
    )


def _load_workflow(name: str, entry: GraphEntry, around: Surroundings, options: WorkflowOptions) -> LoadedWorkflow:
    graph, module = load_target(name, entry.target, around)
    with blaming_the_author(f"workflow {name!r} cannot be described", around):
        return LoadedWorkflow(
            name=name,
            graph=graph,
            input_schema=input_schema_of(graph),
            output_schema=output_schema_of(graph),
            topology=topology_of(graph, around.roots),
            description=options.description or entry.description or _first_paragraph(module),
            timeout_seconds=options.timeout_seconds,
            default_budget_usd=options.default_budget_usd,
        )


def _first_paragraph(module: ModuleType) -> str:
    return inspect.cleandoc(module.__doc__ or "").split("\n\n")[0]


def topology_of(graph: Pregel[Any, Any, Any, Any], roots: Sequence[Path]) -> JsonObject:
    """`roots`: the folders whose files are the author's."""
    drawn, levels = graph.get_graph(), levels_of(graph, roots)
    return {
        "nodes": [{"name": node, "level": levels[node].level if node in levels else None} for node in drawn.nodes],
        "edges": [
            {"source": edge.source, "target": edge.target, "conditional": bool(edge.conditional)}
            for edge in drawn.edges
        ],
        "level": least(levels),
    }
