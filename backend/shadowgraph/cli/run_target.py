"""What `shadowgraph run` runs: a workflow of the project in whose folder it was typed, or of a named one, or the built-in pipeline."""

from dataclasses import dataclass
from pathlib import Path

from shadowgraph.cli.problem import usage
from shadowgraph.engine.loading.config import read_config
from shadowgraph.wiring.plan import BUILT_IN_PROJECT, CONFIG_FILE, require_project


@dataclass(frozen=True, slots=True)
class Target:
    workflow: str | None = None
    """None: the built-in pipeline, which takes a request as it is."""
    project: Path | None = None
    """What a server that is started for this run has to serve; None: the built-in project."""


def find_project_here() -> Path | None:
    """The project in whose folder the command was typed."""
    here = Path.cwd()
    return here if (here / CONFIG_FILE).is_file() and here != BUILT_IN_PROJECT else None


def choose_target(workflow: str | None, *, project: Path | None) -> Target:
    """`project`: as it was named; else the one of the current folder counts, where there is one.

    Errors: `BadProject`; `CommandFailed` (usage) when it is not clear which workflow is meant.
    """
    directory = require_project(project) if project else find_project_here()
    if directory is None:
        return Target(workflow)
    names = list(read_config(directory).graphs)
    if workflow in names:
        return Target(workflow, directory)
    if workflow is None:
        return Target(_only_one(names, directory), directory)
    if project:
        raise usage(f"{directory.name} has no workflow {workflow!r}", hint=f"it has {_list(names)}")
    return Target(workflow)


def _only_one(names: list[str], directory: Path) -> str:
    if len(names) > 1:
        detail = f"the project in {directory} has several workflows: {_list(names)}"
        raise usage(detail, hint=f"say which: --workflow {names[0]}")
    return names[0]


def _list(names: list[str]) -> str:
    return ", ".join(names)
