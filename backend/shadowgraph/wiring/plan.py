"""Which projects are served where: in this process, or in worker processes of their own. Imports neither graph library nor project."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from shadowgraph.core.errors import Invalid
from shadowgraph.engine.loading.errors import BadProject
from shadowgraph.engine.loading.options import name_of_project

BUILT_IN_PROJECT = Path(__file__).parent.parent / "agents"
CONFIG_FILE = "langgraph.json"


class Isolation(StrEnum):
    NONE = "none"
    """All projects in this process."""
    PROJECT = "project"
    """Each named project in worker processes of its own."""
    PROCESS = "process"
    """A process for each slot: a run shares its process with no other."""


class NoWorkerProcesses(Invalid):
    """Something that concerns worker processes where there are none."""

    code = "no_worker_processes"


@dataclass(frozen=True, slots=True)
class WorkOptions:
    """What the person who starts it wants."""

    projects: Sequence[Path] = ()
    """Beside the built-in one."""
    isolation: Isolation = Isolation.NONE
    workers: int = 0
    """Processes for each project, the built-in one too; 0: one for each project that is not served in this process."""
    memory_mb: int | None = None
    """Of one worker process with all that it has started."""
    serves_built_in: bool = True
    dev: bool = False
    """Named projects are deployed and promoted as their folders are: when they are loaded, and whenever a file of theirs is saved."""


@dataclass(frozen=True, slots=True)
class Place:
    """Room for one worker process."""

    project: Path
    number: int
    """Among those of its project, from 1."""
    of: int
    slots: int

    @property
    def name(self) -> str:
        name = name_of(self.project)
        return name if self.of == 1 else f"{name}/{self.number}"


@dataclass(frozen=True, slots=True)
class WorkPlan:
    here: Sequence[Path]
    """Served in this process; empty: it drives no run itself."""
    places: Sequence[Place] = ()
    memory_bytes: int | None = None
    dev: bool = False


def plan_work(options: WorkOptions, *, slots: int) -> WorkPlan:
    """`slots`: of one worker process.

    Errors: `BadProject` for a folder that is none, `NoWorkerProcesses`.
    """
    projects = [require_project(directory) for directory in options.projects]
    built_in = [BUILT_IN_PROJECT] if options.serves_built_in else []
    apart = _apart(replace(options, projects=projects), built_in)
    here = [project for project in (*built_in, *projects) if project not in apart]
    if options.memory_mb is not None and not apart:
        raise NoWorkerProcesses(
            "a limit of memory is for worker processes, and there are none",
            hint="add --workers 1 or --isolation process",
        )
    if options.dev and not any(project in apart for project in projects):
        raise NoWorkerProcesses(
            "--dev is for projects in worker processes, and there are none",
            hint="name one with --project DIR, or start it in a folder with langgraph.json",
        )
    return WorkPlan(
        here,
        [place for project in apart for place in _places(project, options, slots=slots)],
        options.memory_mb * (1 << 20) if options.memory_mb is not None else None,
        options.dev,
    )


def require_project(directory: Path) -> Path:
    if not (directory / CONFIG_FILE).is_file():
        raise BadProject(f"{directory} has no {CONFIG_FILE}", hint=f"a project is a folder with {CONFIG_FILE}")
    return directory.resolve()


def _apart(options: WorkOptions, built_in: Sequence[Path]) -> list[Path]:
    """The projects with processes of their own."""
    if options.workers:
        return [*built_in, *options.projects]
    if options.isolation is Isolation.NONE:
        return []
    if options.isolation is Isolation.PROCESS and not options.projects:
        return list(built_in)
    return list(options.projects)


def _places(project: Path, options: WorkOptions, *, slots: int) -> list[Place]:
    if options.isolation is Isolation.PROCESS:
        count, each = slots * max(1, options.workers), 1
    else:
        count, each = max(1, options.workers), slots
    return [Place(project, number, count, each) for number in range(1, count + 1)]


def name_of(project: Path) -> str:
    return "built-in" if project == BUILT_IN_PROJECT else name_of_project(project)
