"""The prompts of a project: `prompts/NAME.md`, or the file that `[agents.NAME]` names."""

from collections.abc import Mapping

from shadowgraph.core.templates import variables_of
from shadowgraph.versioning.files import prompt_name
from shadowgraph.versioning.manifest import Parameters, Prompt


def find_prompts(bodies: Mapping[str, bytes], agents: Mapping[str, Parameters]) -> dict[str, Prompt]:
    """By name. Files that are not there are left out: `checking.py` says which."""
    paths = {name: path for path in bodies if (name := prompt_name(path)) is not None}
    named = {name: said.prompt for name, said in agents.items() if said.prompt is not None}
    paths |= {name: path for name, path in named.items() if path in bodies}
    return {name: Prompt(path, tuple(sorted(variables_of(bodies[path].decode())))) for name, path in paths.items()}
