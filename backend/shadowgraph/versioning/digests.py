"""What a manifest's digests are made of: one for each node, one for each kind of change."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any, Literal

from shadowgraph.core.json import digest
from shadowgraph.versioning.files import kind_of
from shadowgraph.versioning.manifest import Manifest, Uses

Part = Literal["code", "prompts", "parameters", "tools"]
PARTS: tuple[Part, ...] = ("code", "prompts", "parameters", "tools")
"""Of a node."""

FACETS = ("data", "code", "graph", "tools", "dependencies", "runtime", "inert")


def with_digests(manifest: Manifest) -> Manifest:
    nodes = {node: digest(parts) for node, parts in node_parts(manifest).items()}
    return replace(manifest, nodes=nodes, facets={name: digest(parts) for name, parts in facet_parts(manifest).items()})


def facet_parts(manifest: Manifest) -> dict[str, Any]:
    """What each facet's digest is made of."""
    by_kind: dict[str, dict[str, str]] = {kind: {} for kind in ("data", "code", "inert", "dependencies")}
    for path, file in manifest.files.items():
        by_kind[_kind(manifest, path)][path] = file.digest
    runtime = manifest.runtime
    own = {name: asdict(tool) for name, tool in manifest.tools.items() if tool.origin == "own"}
    registered = {name: asdict(tool) for name, tool in manifest.tools.items() if tool.origin == "registered"}
    return {
        "data": {"files": by_kind["data"], "prompts": _jsons(manifest.prompts), "agents": _jsons(manifest.agents)},
        "code": {"files": by_kind["code"], "environment": manifest.environment},
        "graph": asdict(manifest.graph),
        "tools": own,
        "dependencies": {"files": by_kind["dependencies"], "requirements": runtime.requirements},
        "runtime": {
            "app_protocol": runtime.app_protocol,
            "requires_python": runtime.requires_python,
            "tools": registered,
        },
        "inert": by_kind["inert"],
    }


def code_digest_of(facets: Mapping[str, str]) -> str:
    """Which workers may run a snapshot: those that have its code, and the packages that it names."""
    return digest({name: facets[name] for name in ("code", "dependencies")})


def node_parts(manifest: Manifest) -> dict[str, dict[Part, Any]]:
    """What each node's digest is made of. What no node is known to use may be used by any."""
    code = {path: file.digest for path, file in manifest.files.items() if _kind(manifest, path) == "code"}
    prompts = {name: [prompt.path, manifest.files[prompt.path].digest] for name, prompt in manifest.prompts.items()}
    agents, tools = _jsons(manifest.agents), _jsons(manifest.tools)
    all_uses = manifest.uses.values()
    pick_code = _picker(code, all_uses, lambda uses: uses.files)
    pick_prompts = _picker(prompts, all_uses, lambda uses: uses.words)
    pick_agents = _picker(agents, all_uses, lambda uses: uses.words)
    pick_tools = _picker(tools, all_uses, _tools_of)
    return {
        node: {
            "code": pick_code(uses),
            "prompts": pick_prompts(uses),
            "parameters": pick_agents(uses),
            "tools": pick_tools(uses),
        }
        for node, uses in manifest.uses.items()
    }


def _tools_of(uses: Uses) -> Collection[str] | None:
    return None if uses.tools is None or uses.words is None else {*uses.tools, *uses.words}


def _kind(manifest: Manifest, path: str) -> str:
    return kind_of(path, prompts=manifest.prompt_paths, used=manifest.used_files)


def _picker(
    known: Mapping[str, Any],
    all_uses: Iterable[Uses],
    names_of: Callable[[Uses], Collection[str] | None],
) -> Callable[[Uses], dict[str, Any]]:
    """Of what is known, what a node uses; all of it when that cannot be told."""
    used_by_somebody = {name for uses in all_uses for name in names_of(uses) or ()}
    shared = known.keys() - used_by_somebody

    def pick(uses: Uses) -> dict[str, Any]:
        names = names_of(uses)
        wanted = known.keys() if names is None else shared | set(names)
        return {name: known[name] for name in wanted & known.keys()}

    return pick


def _jsons(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: asdict(value) for name, value in values.items()}
