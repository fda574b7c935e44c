"""The code of a version, imported from its tree instead of the project's folder: once in a process, and nothing else of that project."""

import asyncio
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shadowgraph.db.patience import read_patiently
from shadowgraph.engine.loading.errors import BadProject
from shadowgraph.engine.loading.guise import Guise
from shadowgraph.engine.pinned import load_verified
from shadowgraph.engine.projects import Project, load_project_within
from shadowgraph.engine.snapshots import dependency_digest
from shadowgraph.runs.repository import find_workflow
from shadowgraph.versioning.digests import code_digest_of
from shadowgraph.versioning.manifest import Graph, Manifest
from shadowgraph.versioning.store import BlobFiles
from shadowgraph.versioning.trees import Trees
from shadowgraph.wiring.common import Base
from shadowgraph.wiring.plan import name_of

KEEP_SECONDS = 3600.0
"""Between two signs that the tree is in use; well below the time after which an unused one is deleted."""


@dataclass(frozen=True, slots=True)
class Code:
    snapshot: str
    """Digest."""
    home: Path | None = None
    """The project's folder as it is deployed here; None: it is not."""


async def load_code(base: Base, code: Code) -> tuple[Project, Mapping[str, str]]:
    """The project, and the digest of the code of its one workflow.

    Errors: `Unloadable` for a snapshot that cannot be had; `BadProject` for code that cannot be loaded here.
    """
    folder = base.settings.snapshots
    snapshot = await load_verified(base.database, BlobFiles(folder), code.snapshot)
    manifest = snapshot.manifest
    sys.dont_write_bytecode = True  # a tree holds its snapshot's files, and nothing else
    tree = await asyncio.to_thread(Trees(folder).ensure, snapshot)
    guise = Guise(await _name_of(base, manifest.workflow, code.home), manifest.package, code.home)
    project = await asyncio.to_thread(load_project_within, base.settings.project_load_seconds, tree, guise)
    _require_same_graph(manifest.graph, project.workflows[manifest.workflow].topology)
    return project, {manifest.workflow: code_digest_of(manifest.facets)}


async def keep_tree(base: Base, code: Code) -> None:
    """Until cancelled: imports that a node does late still find the tree."""
    while True:
        await asyncio.to_thread(Trees(base.settings.snapshots).touch, code.snapshot)
        await asyncio.sleep(KEEP_SECONDS)


async def _name_of(base: Base, workflow: str, home: Path | None) -> str:
    """Of the project, as it was when its checkpoints were made."""
    known = await read_patiently(base.database, lambda connection: find_workflow(connection, workflow))
    if known is not None:
        return known.project
    return workflow if home is None else name_of(home)


async def require_same_packages(base: Base, code: Code) -> None:
    """As the project's folder names, in whose environment this process is. Whoever starts one by hand has chosen the environment.

    Errors: `Unloadable`, `BadProject`.
    """
    snapshot = await load_verified(base.database, BlobFiles(base.settings.snapshots), code.snapshot)
    if code.home is not None:
        await asyncio.to_thread(_require_packages_of, code.home, snapshot.manifest)


def _require_packages_of(home: Path, manifest: Manifest) -> None:
    if manifest.facets["dependencies"] != dependency_digest(home):
        raise BadProject(
            "it needs other packages than those that the project's folder names now",
            hint="serve it from an environment with its packages: shadowgraph worker --snapshot DIGEST",
        )


def _require_same_graph(expected: Graph, topology: Any) -> None:
    """Errors: `BadProject`."""
    nodes = {node["name"] for node in topology["nodes"]}
    edges = {(edge["source"], edge["target"]) for edge in topology["edges"]}
    if nodes != set(expected.nodes) or edges != {(edge.source, edge.target) for edge in expected.edges}:
        other = ", ".join(sorted(nodes ^ set(expected.nodes))) or "its edges"
        raise BadProject(f"here its code compiles to another graph than its manifest says: {other}")
