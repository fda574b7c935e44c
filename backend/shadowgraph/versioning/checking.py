"""What a snapshot has to keep, whoever made it. Each check yields the places where it does not."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import chain

from shadowgraph.core.json import sha256
from shadowgraph.core.paths import UnsafePath, require_safe_path
from shadowgraph.versioning.digests import with_digests
from shadowgraph.versioning.errors import Place, place
from shadowgraph.versioning.files import (
    GRAPHS_FILE,
    MAX_FILE_BYTES,
    MAX_FILES,
    MAX_TOTAL_BYTES,
    PARAMETERS_FILE,
    PROMPT_SUFFIXES,
    RENDERED,
    is_allowed,
)
from shadowgraph.versioning.manifest import Manifest
from shadowgraph.versioning.prompts import find_prompts
from shadowgraph.versioning.rendering import read_graph_file, render_parameters
from shadowgraph.versioning.texts import Unusable, normal_text

_NUMBER = re.compile(r"\d+(\.\d+)?(e[+-]?\d+)?\Z")
ENDS = frozenset({"__start__", "__end__"})
"""Nodes of a drawn graph that no code belongs to."""


def check_blobs(manifest: Manifest, blobs: Mapping[str, bytes]) -> Iterator[Place]:
    """Every file is there and is what its digest says, and nothing else is there."""
    for path, file in manifest.files.items():
        body = blobs.get(file.digest)
        if body is None:
            yield place(path, "its content is missing")
        elif len(body) != file.size or sha256(body) != file.digest:
            yield place(path, "its content is not what its digest says")
    for digest in sorted(blobs.keys() - {file.digest for file in manifest.files.values()}):
        yield place(digest, "belongs to no file")


def check_rules(manifest: Manifest, bodies: Mapping[str, bytes]) -> Iterator[Place]:
    """The rules of the format, of one whose bytes are what it says."""
    problems = chain(
        _check_paths(manifest),
        _check_sizes(manifest),
        *(_check_text(path, body) for path, body in bodies.items()),
        _check_graph_file(manifest, bodies),
        _check_parameters(manifest, bodies),
    )
    found = list(problems)
    yield from found or _check_derived(manifest, bodies)


def _check_paths(manifest: Manifest) -> Iterator[Place]:
    folded = Counter(path.casefold() for path in manifest.files)
    for path in manifest.files:
        try:
            safe = require_safe_path(path)
        except UnsafePath as error:
            yield place(path[:200], error.message)
            continue
        if safe != path or not (path in RENDERED or is_allowed(path)):
            yield place(path, "is not a file that a snapshot holds")
        elif folded[path.casefold()] > 1:
            yield place(path, "differs from another file by upper and lower case alone")


def _check_sizes(manifest: Manifest) -> Iterator[Place]:
    for path, file in manifest.files.items():
        if file.size > MAX_FILE_BYTES:
            yield place(path, f"has {file.size} bytes; a file may have {MAX_FILE_BYTES}")
    if len(manifest.files) > MAX_FILES:
        yield place(".", f"has {len(manifest.files)} files; a snapshot may have {MAX_FILES}")
    if manifest.size_bytes > MAX_TOTAL_BYTES:
        yield place(".", f"has {manifest.size_bytes} bytes; a snapshot may have {MAX_TOTAL_BYTES}")


def _check_text(path: str, body: bytes) -> Iterator[Place]:
    try:
        if normal_text(body) != body:
            yield place(path, "is not in its normal form: UTF-8, lines that end with a line feed")
    except Unusable as error:
        yield place(path, str(error))


def _check_graph_file(manifest: Manifest, bodies: Mapping[str, bytes]) -> Iterator[Place]:
    try:
        file = read_graph_file(bodies.get(GRAPHS_FILE, b""))
    except ValueError as error:
        yield place(GRAPHS_FILE, str(error))
        return
    if file.workflow != manifest.workflow:
        yield place(GRAPHS_FILE, f"has the workflow {file.workflow!r}, the manifest {manifest.workflow!r}")


def _check_parameters(manifest: Manifest, bodies: Mapping[str, bytes]) -> Iterator[Place]:
    for name, said in manifest.agents.items():
        if said.temperature is not None and not _NUMBER.match(said.temperature):
            yield place(PARAMETERS_FILE, f"agents.{name}.temperature is no number")
        if said.prompt is not None and (said.prompt not in bodies or not _may_be_prompt(said.prompt)):
            yield place(PARAMETERS_FILE, f"agents.{name}.prompt: there is no prompt {said.prompt!r} in the project")
        for tool in said.tools or ():
            if tool not in manifest.tools:
                yield place(PARAMETERS_FILE, f"agents.{name}.tools: there is no tool {tool!r}")
    rendered = render_parameters(manifest.agents) if manifest.agents else None
    if bodies.get(PARAMETERS_FILE) != rendered:
        yield place(PARAMETERS_FILE, "does not say what the manifest says")


def _may_be_prompt(path: str) -> bool:
    """Not code: prompts are data, which anybody may change who may make a version."""
    return any(path.endswith(suffix) for suffix in PROMPT_SUFFIXES)


def _check_derived(manifest: Manifest, bodies: Mapping[str, bytes]) -> Iterator[Place]:
    """What follows from the rest."""
    if manifest.prompts != find_prompts(bodies, manifest.agents):
        yield place("manifest/prompts", "do not follow from the files")
    if manifest.uses.keys() != set(manifest.graph.nodes) - ENDS:
        yield place("manifest/uses", "are not those of the graph's nodes")
    if any(path not in manifest.files for path in manifest.used_files):
        yield place("manifest/uses", "name a file that is not there")
    sealed = with_digests(manifest)
    if (sealed.nodes, sealed.facets) != (manifest.nodes, manifest.facets):
        yield place("manifest/nodes", "nodes and facets do not follow from the rest")
