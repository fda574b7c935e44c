"""Which tools an agent may call: `tools` of `[agents.NAME]` in the project's `shadowgraph.toml`. An agent that it does not name may call all."""

from collections.abc import Mapping

from shadowgraph.core.agent_settings import AgentSettings
from shadowgraph.core.errors import Forbidden


class ToolNotGranted(Forbidden):
    code = "tool_not_granted"


def is_granted(agents: Mapping[str, AgentSettings], agent: str, tool: str) -> bool:
    settings = agents.get(agent)
    return settings is None or settings.tools is None or tool in settings.tools


def require_granted(agents: Mapping[str, AgentSettings], agent: str, tool: str) -> None:
    """Errors: `ToolNotGranted`."""
    if not is_granted(agents, agent, tool):
        raise ToolNotGranted(
            f"agent {agent!r} may not call tool {tool!r}",
            hint=f"add it to the tools of [agents.{agent}] in shadowgraph.toml",
            agent=agent,
            tool=tool,
        )
