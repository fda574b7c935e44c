"""What `versions deploy` runs in a process of its own, with the project's Python: it imports the project's code, and writes one archive for
each workflow.

Answers with `{"project", "builder", "workflows": [{workflow, digest, file, left_out}]}`, or `{"error"}`. Arguments: the folder, the
seconds that its import may take, the folder for the archives, and the workflows (none: all).
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shadowgraph.cli.project_answer import answer
from shadowgraph.core.errors import Invalid
from shadowgraph.engine.loading.errors import facts_of
from shadowgraph.engine.projects import BadProject, Project, load_project_within
from shadowgraph.engine.snapshots import take_snapshot
from shadowgraph.versioning.archive import write_archive
from shadowgraph.versioning.errors import InvalidSnapshot, SecretInSnapshot
from shadowgraph.versioning.provenance import find_builder


def build(directory: Path, out: Path, workflows: Sequence[str], *, within_seconds: float) -> dict[str, Any]:
    try:
        project = load_project_within(within_seconds, directory)
        built = [_build(project, name, out) for name in workflows or project.workflows]
    except BadProject as error:
        return {"error": dict(facts_of(error))}
    except (InvalidSnapshot, SecretInSnapshot) as error:
        return {"error": _facts(error)}
    return {
        "project": project.name,
        "builder": find_builder(),
        "workflows": built,
    }


def _facts(error: Invalid) -> dict[str, Any]:
    facts = {"message": error.message, "code": error.code, "hint": error.hint}
    return {**facts, "errors": error.facts.get("errors", [])}


def _build(project: Project, workflow: str, out: Path) -> dict[str, Any]:
    taken = take_snapshot(project, workflow)
    file = out / f"{taken.snapshot.digest}.zip"
    file.write_bytes(write_archive(taken.snapshot))
    return {
        "workflow": workflow,
        "digest": taken.snapshot.digest,
        "file": str(file),
        "left_out": list(taken.left_out),
    }


if __name__ == "__main__":
    answer(lambda: build(Path(sys.argv[1]), Path(sys.argv[3]), sys.argv[4:], within_seconds=float(sys.argv[2])))
