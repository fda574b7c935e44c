"""A snapshot with other data: prompts and parameters change without the code, so nobody has to load the project for it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from shadowgraph.core.agent_settings import AgentSettings
from shadowgraph.core.templates import line_of
from shadowgraph.versioning.building import parameters_of, tools_in_use, with_parameters
from shadowgraph.versioning.errors import Place, place, refuse
from shadowgraph.versioning.files import PARAMETERS_FILE, kind_of, prompt_name
from shadowgraph.versioning.manifest import Manifest, Parameters, Tool
from shadowgraph.versioning.snapshot import Snapshot, seal
from shadowgraph.versioning.texts import Unusable, normal_text


@dataclass(frozen=True, slots=True)
class Edit:
    files: Mapping[str, str | None]
    """The new text of each prompt by its path; None takes it out."""
    agents: Mapping[str, AgentSettings] | None = None
    """Instead of the base's; None: those."""


def edit_snapshot(base: Snapshot, edit: Edit, *, registered: Mapping[str, Tool]) -> Snapshot:
    """`registered`: tools that an edit may grant, beside the project's own.

    Errors: `InvalidSnapshot`, also for a file that is not data; `SecretInSnapshot`.
    """
    old = base.manifest
    agents = old.agents if edit.agents is None else {name: parameters_of(said) for name, said in edit.agents.items()}
    refuse(_not_data(old, edit.files, agents), hint="change code in the project's folder, and then: versions deploy")
    bodies = dict(base.bodies)
    for path, text in edit.files.items():
        if text is None:
            bodies.pop(path, None)
        else:
            bodies[path] = _normal(path, text)
    tools = tools_in_use({**registered, **old.tools}, old.uses, agents)
    return seal(replace(old, agents=agents, tools=tools), with_parameters(bodies, agents))


def _not_data(manifest: Manifest, paths: Iterable[str], agents: Mapping[str, Parameters]) -> Iterator[Place]:
    prompts = manifest.prompt_paths | {said.prompt for said in agents.values() if said.prompt is not None}
    prompts |= {path for path in paths if prompt_name(path) is not None}
    for path in paths:
        if path == PARAMETERS_FILE or kind_of(path, prompts=prompts, used=manifest.used_files) != "data":
            yield place(path[:200], "is no prompt of this workflow")


def _normal(path: str, text: str) -> bytes:
    """Errors: `InvalidSnapshot`."""
    try:
        return normal_text(text.encode())
    except (Unusable, UnicodeEncodeError) as error:
        refuse([place(path, str(error))])
        raise AssertionError("it was refused") from error


def unknown_variables(edited: Snapshot, earlier: Iterable[Manifest]) -> Iterator[Place]:
    """Variables of its prompts that its code is not known to fill in.

    `earlier`: snapshots with the same code. A prompt that none of them has is not judged.
    """
    known: dict[str, set[str]] = {}
    for manifest in earlier:
        for name, prompt in manifest.prompts.items():
            known.setdefault(name, set()).update(prompt.variables)
    for name, prompt in sorted(edited.manifest.prompts.items()):
        for variable in prompt.variables:
            if name in known and variable not in known[name]:
                text = edited.bodies[prompt.path].decode()
                have = ", ".join(sorted(known[name])) or "none"
                yield place(
                    f"{prompt.path}:{line_of(text, variable)}", f"there is no variable {variable!r}; it has {have}"
                )
