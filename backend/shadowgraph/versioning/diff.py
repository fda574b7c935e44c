"""What differs between two snapshots of a workflow, and what it takes to run the second where the first runs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from shadowgraph.versioning.digests import FACETS, PARTS, Part, node_parts
from shadowgraph.versioning.files import Kind, kind_of
from shadowgraph.versioning.manifest import Edge, Manifest
from shadowgraph.versioning.words import Span, compare_words

Change = Literal["added", "removed", "changed"]
Requires = Literal["nothing", "code worker", "new environment"]
"""nothing: the same worker runs it, as only data differ. code worker: a process of its own with this code. new environment: other packages."""


@dataclass(frozen=True, slots=True)
class NodeChange:
    node: str
    change: Change
    parts: Sequence[Part]
    """Which of what it uses differ."""


@dataclass(frozen=True, slots=True)
class FileChange:
    path: str
    change: Change
    kind: Kind


@dataclass(frozen=True, slots=True)
class PromptChange:
    name: str
    path: str
    change: Change
    words: Sequence[Span]
    """Empty when one of the texts was collected."""


@dataclass(frozen=True, slots=True)
class ValueChange:
    """One value of something that has a name: a parameter of an agent, a property of a tool or of the runtime."""

    name: str
    key: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class GraphChange:
    nodes_added: Sequence[str]
    nodes_removed: Sequence[str]
    edges_added: Sequence[Edge]
    edges_removed: Sequence[Edge]
    input_schema: bool
    """True: it differs."""
    output_schema: bool


@dataclass(frozen=True, slots=True)
class Diff:
    facets: Sequence[str]
    nodes: Sequence[NodeChange]
    files: Sequence[FileChange]
    prompts: Sequence[PromptChange]
    parameters: Sequence[ValueChange]
    tools: Sequence[ValueChange]
    runtime: Sequence[ValueChange]
    graph: GraphChange
    requires: Requires


def compare(before: Manifest, after: Manifest, texts: Mapping[str, str]) -> Diff:
    """`texts`: by digest, of the prompts that differ (`texts_needed`)."""
    facets = [name for name in FACETS if before.facets.get(name) != after.facets.get(name)]
    return Diff(
        facets=facets,
        nodes=_nodes(before, after),
        files=_files(before, after),
        prompts=_prompts(before, after, texts),
        parameters=_values(before.agents, after.agents),
        tools=_values(before.tools, after.tools),
        runtime=_runtime(before, after),
        graph=_graph(before, after),
        requires=requires(before, after),
    )


def requires(before: Manifest, after: Manifest) -> Requires:
    """What it takes to run `after` where `before` runs."""

    def differs(*facets: str) -> bool:
        return any(before.facets.get(facet) != after.facets.get(facet) for facet in facets)

    runtimes = [(found.app_protocol, found.requires_python) for found in (before.runtime, after.runtime)]
    if differs("dependencies") or runtimes[0] != runtimes[1]:
        return "new environment"
    return "code worker" if differs("code") else "nothing"


def texts_needed(before: Manifest, after: Manifest) -> set[str]:
    """Digests of the prompts that differ."""
    old, new = _prompt_digests(before), _prompt_digests(after)
    return {found[name] for found in (old, new) for name in found if old.get(name) != new.get(name)}


def _prompt_digests(manifest: Manifest) -> dict[str, str]:
    return {name: manifest.files[prompt.path].digest for name, prompt in manifest.prompts.items()}


def _change(before: Any, after: Any) -> Change:
    if before is None:
        return "added"
    return "removed" if after is None else "changed"


def _nodes(before: Manifest, after: Manifest) -> list[NodeChange]:
    old, new = node_parts(before), node_parts(after)
    return [
        NodeChange(node, _change(old.get(node), new.get(node)), _parts(old.get(node), new.get(node)))
        for node in sorted(old.keys() | new.keys())
        if old.get(node) != new.get(node)
    ]


def _parts(before: Mapping[Part, Any] | None, after: Mapping[Part, Any] | None) -> list[Part]:
    return [part for part in PARTS if (before or {}).get(part) != (after or {}).get(part)]


def _files(before: Manifest, after: Manifest) -> list[FileChange]:
    old, new = before.files, after.files
    return [
        FileChange(path, _change(old.get(path), new.get(path)), _kind(after if path in new else before, path))
        for path in sorted(old.keys() | new.keys())
        if old.get(path) != new.get(path)
    ]


def _kind(manifest: Manifest, path: str) -> Kind:
    return kind_of(path, prompts=manifest.prompt_paths, used=manifest.used_files)


def _prompts(before: Manifest, after: Manifest, texts: Mapping[str, str]) -> list[PromptChange]:
    old, new = _prompt_digests(before), _prompt_digests(after)
    paths = {name: prompt.path for name, prompt in {**before.prompts, **after.prompts}.items()}

    def words_of(name: str) -> list[Span]:
        text_before, text_after = (texts.get(found[name]) if name in found else "" for found in (old, new))
        return [] if text_before is None or text_after is None else compare_words(text_before, text_after)

    def change_of(name: str) -> PromptChange:
        return PromptChange(name, paths[name], _change(old.get(name), new.get(name)), words_of(name))

    return [change_of(name) for name in sorted(paths) if old.get(name) != new.get(name)]


def _values(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[ValueChange]:
    """Of named dataclasses, field by field."""
    found = []
    for name in sorted(before.keys() | after.keys()):
        old = asdict(before[name]) if name in before else {}
        new = asdict(after[name]) if name in after else {}
        keys = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        found += [ValueChange(name, key, old.get(key), new.get(key)) for key in keys]
    return found


def _runtime(before: Manifest, after: Manifest) -> list[ValueChange]:
    old = {**asdict(before.runtime), "environment": before.environment}
    new = {**asdict(after.runtime), "environment": after.environment}
    return [ValueChange("runtime", key, old[key], new[key]) for key in old if old[key] != new[key]]


def _graph(before: Manifest, after: Manifest) -> GraphChange:
    old, new = before.graph, after.graph
    return GraphChange(
        nodes_added=[node for node in new.nodes if node not in old.nodes],
        nodes_removed=[node for node in old.nodes if node not in new.nodes],
        edges_added=[edge for edge in new.edges if edge not in old.edges],
        edges_removed=[edge for edge in old.edges if edge not in new.edges],
        input_schema=old.input_schema != new.input_schema,
        output_schema=old.output_schema != new.output_schema,
    )
