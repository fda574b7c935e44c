"""What `projects check` runs in a process of its own, with the project's Python: it imports the project's code, and says what it found.

Answers with the report, or `{"error"}`. Arguments: the folder, and the seconds that its import may take.
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from shadowgraph.cli.project_answer import answer
from shadowgraph.core.json import JsonObject
from shadowgraph.engine.loading.errors import facts_of
from shadowgraph.engine.loading.levels import levels_of
from shadowgraph.engine.projects import BadProject, LoadedWorkflow, Project, load_project_within


def report(directory: Path, *, within_seconds: float) -> dict[str, Any]:
    try:
        project = load_project_within(within_seconds, directory)
    except BadProject as error:
        return {"error": dict(facts_of(error))}
    return {
        "project": project.name,
        "directory": str(project.directory),
        "workflows": [_workflow(project, loaded) for loaded in project.workflows.values()],
        "agents": sorted(project.agents),
        "notes": [{"about": about, "what": what} for about, what in project.notes.items()],
    }


def _workflow(project: Project, loaded: LoadedWorkflow) -> dict[str, Any]:
    levels = levels_of(loaded.graph, project.roots)
    return {
        "name": loaded.name,
        "description": loaded.description,
        "level": loaded.topology["level"],
        "timeout_s": loaded.timeout_seconds,
        "input": list(_keys(loaded.input_schema)),
        "nodes": [{"name": name, "level": node.level, "advice": node.advice} for name, node in levels.items()],
    }


def _keys(schema: JsonObject) -> Iterator[dict[str, Any]]:
    properties, required = schema.get("properties"), schema.get("required")
    for name in properties if isinstance(properties, Mapping) else ():
        yield {"key": name, "required": isinstance(required, list) and name in required}


if __name__ == "__main__":
    answer(lambda: report(Path(sys.argv[1]), within_seconds=float(sys.argv[2])))
