"""Snapshots of what was loaded: reads the compiled graph, and gives `versioning` plain values."""

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shadowgraph.core.json import digest, sha256
from shadowgraph.engine.loading.config import ProjectConfig, read_config
from shadowgraph.engine.loading.environment import is_folder
from shadowgraph.engine.loading.sources import Sources
from shadowgraph.engine.loading.targets import is_file
from shadowgraph.engine.loading.uses import NodeUses, own_tools, uses_of
from shadowgraph.engine.projects import LoadedWorkflow, Project
from shadowgraph.versioning.building import Description, build_snapshot
from shadowgraph.versioning.checking import ENDS
from shadowgraph.versioning.collecting import Collected, collect
from shadowgraph.versioning.errors import invalid, place, refuse
from shadowgraph.versioning.files import kind_of
from shadowgraph.versioning.manifest import Edge, Graph, Uses, freeze
from shadowgraph.versioning.registered import registered_tools, tool_of
from shadowgraph.versioning.rendering import GraphFile
from shadowgraph.versioning.snapshot import Snapshot

PYPROJECT = "pyproject.toml"


@dataclass(frozen=True, slots=True)
class _Python:
    """`[project]` of a `pyproject.toml`."""

    requires: str | None = None
    packages: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Taken:
    snapshot: Snapshot
    left_out: Sequence[str]
    """Files of the project that no snapshot holds, for people to look at."""


def take_snapshot(project: Project, workflow: str) -> Taken:
    """Of one workflow of a project that was loaded in this process. Blocks: it reads all files.

    Errors: `InvalidSnapshot`, `SecretInSnapshot`.
    """
    collected = collect(project.roots)
    config, loaded = read_config(project.directory), project.workflows[workflow]
    python = _python_of(project.directory)
    sources = Sources(project.roots, _python_files(collected))
    found = uses_of(loaded.graph, sources)
    description = Description(
        graph_file=_graph_file(project, workflow, config, collected),
        graph=_graph(loaded),
        uses=_uses(loaded, found, collected),
        agents=project.agents,
        tools={**registered_tools(), **{name: tool_of(tool, "own") for name, tool in own_tools(found).items()}},
        environment=() if config.env is None or isinstance(config.env, str) else tuple(config.env),
        requires_python=python.requires,
        requirements=_requirements(python, config),
        package=sources.find_package(),
    )
    return Taken(build_snapshot(description, collected.files), collected.left_out)


def dependency_digest(directory: Path) -> str:
    """What the facet `dependencies` of a project's folder is, without importing anything.

    Errors: `BadProject`, `InvalidSnapshot`.
    """
    config = read_config(directory)
    folders = [(directory / item).resolve() for item in config.dependencies if is_folder(item)]
    files = collect(list(dict.fromkeys([directory.resolve(), *folders]))).files
    named = tuple(sorted(set(_requirements(_python_of(directory), config))))
    listed = {
        path: sha256(body) for path, body in files.items() if kind_of(path, prompts=(), used=()) == "dependencies"
    }
    return digest({"files": listed, "requirements": named})


def _requirements(python: _Python, config: ProjectConfig) -> list[str]:
    return [*python.packages, *(item for item in config.dependencies if not is_folder(item))]


def _python_files(collected: Collected) -> dict[Path, str]:
    return {path: collected.files[where].decode() for path, where in collected.origins.items() if path.suffix == ".py"}


# --- the graph ------------------------------------------------------------------------------------------------------------------


def _graph(loaded: LoadedWorkflow) -> Graph:
    topology: Any = loaded.topology
    edges = {Edge(edge["source"], edge["target"], edge["conditional"]) for edge in topology["edges"]}
    return Graph(
        nodes=tuple(sorted(node["name"] for node in topology["nodes"])),
        edges=tuple(sorted(edges, key=lambda edge: (edge.source, edge.target, edge.conditional))),
        input_schema=freeze(loaded.input_schema),
        output_schema=freeze(loaded.output_schema),
    )


def _uses(loaded: LoadedWorkflow, found: Mapping[str, NodeUses], collected: Collected) -> dict[str, Uses]:
    nodes: Any = loaded.topology["nodes"]
    drawn = {node["name"] for node in nodes} - ENDS
    return {node: _named(found.get(node, NodeUses()), collected) for node in drawn}


def _named(uses: NodeUses, collected: Collected) -> Uses:
    files = None if uses.files is None else _sorted(collected.origins[path] for path in uses.files)
    return Uses(files, None if uses.words is None else _sorted(uses.words), _sorted(uses.tools))


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


# --- langgraph.json and pyproject.toml ------------------------------------------------------------------------------------------


def _graph_file(project: Project, workflow: str, config: ProjectConfig, collected: Collected) -> GraphFile:
    dependencies = [_relocated(item, project.directory, collected) for item in config.dependencies]
    target = _target(config.graphs[workflow].target, project.directory, collected)
    return GraphFile(workflow, target, tuple(dict.fromkeys(dependencies)))


def _target(target: str, directory: Path, collected: Collected) -> str:
    """Errors: `InvalidSnapshot` for a file that is left out."""
    file, _, variable = target.rpartition(":")
    if not is_file(file):
        return target
    where = collected.origins.get((directory / file).resolve())
    refuse([] if where else [place(file, "is ignored by git, so it cannot be part of a snapshot")])
    return f"./{where}:{variable}"


def _relocated(dependency: str, directory: Path, collected: Collected) -> str:
    """A folder's place in the snapshot; a package as it is."""
    if not is_folder(dependency):
        return dependency
    path = (directory / dependency).resolve()
    for root, where in collected.places.items():
        if path.is_relative_to(root):
            below = "/".join(part for part in (where, path.relative_to(root).as_posix()) if part not in ("", "."))
            return f"./{below}" if below else "."
    raise AssertionError(f"{dependency} was collected")


def _python_of(directory: Path) -> _Python:
    """Errors: `InvalidSnapshot`."""
    try:
        found = tomllib.loads((directory / PYPROJECT).read_text(encoding="utf-8")).get("project")
    except FileNotFoundError:
        return _Python()
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise invalid([place(PYPROJECT, f"cannot be read as TOML: {error}")]) from error
    said = found if isinstance(found, dict) else {}
    requires, packages = said.get("requires-python"), said.get("dependencies")
    return _Python(
        requires if isinstance(requires, str) else None,
        [item for item in packages if isinstance(item, str)] if isinstance(packages, list) else [],
    )
