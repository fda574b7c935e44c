"""From what is known of a loaded project to a snapshot of one of its workflows."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from shadowgraph.core.agent_settings import AgentSettings
from shadowgraph.versioning.files import GRAPHS_FILE, PARAMETERS_FILE
from shadowgraph.versioning.manifest import APP_PROTOCOL, Graph, Manifest, Parameters, Runtime, Tool, Uses
from shadowgraph.versioning.rendering import GraphFile, render_parameters
from shadowgraph.versioning.snapshot import Snapshot, seal


@dataclass(frozen=True, slots=True)
class Description:
    """What whoever loaded the project says of one workflow."""

    graph_file: GraphFile
    graph: Graph
    uses: Mapping[str, Uses]
    """By node."""
    agents: Mapping[str, AgentSettings] = field(default_factory=dict)
    tools: Mapping[str, Tool] = field(default_factory=dict)
    """All that there are: the project's own, and those that are registered here."""
    environment: Collection[str] = ()
    requires_python: str | None = None
    requirements: Collection[str] = ()
    package: str | None = None
    """Dotted name by which the project's folder is imported as a package."""


def build_snapshot(description: Description, files: Mapping[str, bytes]) -> Snapshot:
    """`files`: those of the project, without the two that are rendered.

    Errors: `InvalidSnapshot`, `SecretInSnapshot`.
    """
    agents = {name: parameters_of(settings) for name, settings in description.agents.items()}
    draft = Manifest(
        workflow=description.graph_file.workflow,
        files={},
        prompts={},
        agents=agents,
        tools=tools_in_use(description.tools, description.uses, agents),
        graph=description.graph,
        runtime=Runtime(APP_PROTOCOL, description.requires_python, tuple(sorted(set(description.requirements)))),
        environment=tuple(sorted(set(description.environment))),
        uses=description.uses,
        package=description.package,
    )
    return seal(draft, with_parameters({**files, GRAPHS_FILE: description.graph_file.render()}, agents))


def tools_in_use(
    known: Mapping[str, Tool], uses: Mapping[str, Uses], agents: Mapping[str, Parameters]
) -> dict[str, Tool]:
    """The project's own, and the registered ones that its code or its parameters name: others may come and go."""
    named = {word for used in uses.values() for word in used.words or ()}
    named |= {tool for said in agents.values() for tool in said.tools or ()}
    return {name: tool for name, tool in known.items() if tool.origin == "own" or name in named}


def parameters_of(settings: AgentSettings) -> Parameters:
    return Parameters(
        model=settings.model,
        temperature=None if settings.temperature is None else repr(float(settings.temperature)),
        max_tokens=settings.max_tokens,
        prompt=settings.prompt,
        tools=None if settings.tools is None else tuple(settings.tools),
    )


def with_parameters(bodies: Mapping[str, bytes], agents: Mapping[str, Parameters]) -> dict[str, bytes]:
    """The files with the one that says what the agents' parameters are, if they have any."""
    others = {path: body for path, body in bodies.items() if path != PARAMETERS_FILE}
    return {**others, PARAMETERS_FILE: render_parameters(agents)} if agents else others
