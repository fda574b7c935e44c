"""Checkpoints, forks, and what differs between two runs."""

from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints

from shadowgraph.api.schemas.common import Received, Sent, Text
from shadowgraph.api.schemas.paging import NEXT_CURSOR
from shadowgraph.runs.comparing import Change, Relation
from shadowgraph.runs.states import Status

CheckpointId = Annotated[Text, StringConstraints(min_length=1, max_length=200)]


class Checkpoint(Sent):
    """The state after a superstep, without the state itself."""

    checkpoint_id: str
    superstep: int = Field(description="-1 is the input as it arrived.")
    source: str = Field(description="input, loop, update (an edit), fork.")
    created_at: str
    next_nodes: list[str] = Field(description="The nodes that run next; empty at the end.")


class CheckpointPage(Sent):
    items: list[Checkpoint]
    next_cursor: str | None = Field(description=NEXT_CURSOR)


class CheckpointState(Checkpoint):
    state: dict[str, Any] = Field(description="The graph's channels, as JSON.")


class NewFork(Received):
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"checkpoint_id": "1f0c0f2e-0000-6000-8000-000000000000", "state": {"plan": ["one step"]}}]
        }
    )

    checkpoint_id: CheckpointId = Field(description="One of `GET /runs/{run_id}/checkpoints`.")
    state: dict[str, Any] | None = Field(
        default=None,
        description="These channels take the place of the checkpoint's, also where the graph would add; null: all stay as they are.",
    )


class RunSide(Sent):
    id: str
    status: Status
    workflow: str
    parent_run_id: str | None
    parent_checkpoint_id: str | None


class Lineage(Sent):
    relation: Relation = Field(
        description="What the first run is to the other: same, ancestor, descendant, siblings (a common ancestor), thread (one "
        "conversation), none."
    )
    common_ancestor: str | None


class ValueChange(Sent):
    key: str = Field(description="Of the outermost object; empty when a value is no object.")
    change: Change
    run: Any
    other: Any


class FileChange(Sent):
    path: str
    change: Change
    run_sha256: str | None
    other_sha256: str | None


class StepChange(Sent):
    superstep: int
    node: str
    path: str
    change: Change = Field(description="`changed`: it ended otherwise, or returned something else.")
    run_status: str | None
    other_status: str | None
    run_summary: str | None
    other_summary: str | None


class RunDiff(Sent):
    """Only what differs. `added`: the other run has it and the first has not."""

    run: RunSide
    other: RunSide
    lineage: Lineage
    input: list[ValueChange]
    output: list[ValueChange]
    files: list[FileChange]
    steps: list[StepChange]
