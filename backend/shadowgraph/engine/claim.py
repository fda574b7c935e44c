"""A worker's ownership of one run while it drives it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from shadowgraph.core.agent_settings import AgentSettings
from shadowgraph.core.errors import Conflict
from shadowgraph.core.ids import RunId
from shadowgraph.runs.run import Run


class LeaseLost(Conflict):
    """Another worker owns the run now, or nobody: stop at once and write nothing."""

    code = "lease_lost"


@dataclass(slots=True)
class Claim:
    """The run as it was when it was claimed, and what the fence has counted since."""

    run: Run
    project_dir: Path
    """Where the run's prompts are: the project's folder, or the tree of the snapshot that the run is pinned to."""
    event_seq: int
    """Number of the last event that is known to be committed."""
    code_digest: str | None = None
    """Of the project's files that it is driven with now."""
    agents: Mapping[str, AgentSettings] = field(default_factory=dict)
    """What `shadowgraph.toml` says there, by agent."""

    @property
    def run_id(self) -> RunId:
        return self.run.id

    @property
    def token(self) -> int:
        return self.run.lease_token

    @property
    def is_resumed(self) -> bool:
        """Somebody worked on this run before: its journal may hold answers, its steps may have attempts."""
        return self.run.claims > 1
