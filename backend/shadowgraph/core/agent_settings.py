"""What a project's `shadowgraph.toml` says of one agent."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """`[agents.NAME]`. None: nothing is said of it, and what the code says stays."""

    model: str | None = None
    """A route, such as `default`, or `provider:model`."""
    temperature: float | None = None
    max_tokens: int | None = None
    prompt: str | None = None
    """A file in the project's folder, instead of `prompts/NAME.md`."""
    tools: Sequence[str] | None = None
    """Names of the tools that it may call."""
