"""The two files of a project that stand in a snapshot in a form of ours.

`langgraph.json` keeps its one workflow and what it depends on; `shadowgraph.toml` keeps the parameters. The rest of them is live, or says
nothing about this workflow.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from shadowgraph.core.json import canonical
from shadowgraph.versioning.manifest import Parameters


@dataclass(frozen=True, slots=True)
class GraphFile:
    """The snapshot's `langgraph.json`."""

    workflow: str
    target: str
    dependencies: tuple[str, ...]

    def render(self) -> bytes:
        return canonical({"dependencies": self.dependencies, "graphs": {self.workflow: self.target}}) + b"\n"


def read_graph_file(body: bytes) -> GraphFile:
    """Errors: `ValueError` for anything but what `render` writes."""
    value = json.loads(body)
    try:
        [(workflow, target)] = value["graphs"].items()
        found = GraphFile(workflow, target, tuple(value["dependencies"]))
        if found.render() == body:
            return found
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise ValueError("is not the file of one workflow") from error
    raise ValueError("is not the file of one workflow")


def render_parameters(agents: Mapping[str, Parameters]) -> bytes:
    return "\n".join(_table(name, agents[name]) for name in sorted(agents)).encode()


def _table(name: str, parameters: Parameters) -> str:
    said = {
        "max_tokens": None if parameters.max_tokens is None else str(parameters.max_tokens),
        "model": _text(parameters.model),
        "prompt": _text(parameters.prompt),
        "temperature": parameters.temperature,
        "tools": _texts(parameters.tools),
    }
    lines = [f"{key} = {value}" for key, value in said.items() if value is not None]
    return "\n".join([f"[agents.{_quoted(name)}]", *lines, ""])


def _text(value: str | None) -> str | None:
    return None if value is None else _quoted(value)


def _texts(values: Sequence[str] | None) -> str | None:
    return None if values is None else f"[{', '.join(map(_quoted, values))}]"


def _quoted(text: str) -> str:
    """A basic string of TOML: JSON's, but that TOML wants DEL escaped, too."""
    return json.dumps(text).replace("\x7f", "\\u007f")
