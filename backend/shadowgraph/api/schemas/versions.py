"""Versions and their snapshots on the wire."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from pydantic import ConfigDict, Field, StringConstraints

from shadowgraph.api.schemas.common import Name, Received, Sent, Text
from shadowgraph.api.schemas.paging import NEXT_CURSOR, NumberedPageParameters
from shadowgraph.versioning.diff import Change, Requires
from shadowgraph.versioning.files import MAX_FILES, Kind
from shadowgraph.versioning.release import State
from shadowgraph.versioning.words import Change as WordChange

MAX_MESSAGE_CHARACTERS = 2_000
VERSION_REF = "An id (ver_…), a label (v3) or the digest of its snapshot."

VersionRef = Annotated[Text, StringConstraints(min_length=1, max_length=100)]
Message = Annotated[Text, StringConstraints(max_length=MAX_MESSAGE_CHARACTERS)]
FilePath = Annotated[str, StringConstraints(min_length=1, max_length=400)]


class Version(Sent):
    """A numbered snapshot of a workflow."""

    id: str
    label: str = Field(examples=["v3"])
    workflow: str
    seq: int
    state: State = Field(
        description="draft: never active; candidate: under test; active: new runs begin with it; retired: was active; revoked: for good."
    )
    withdrawn: bool = Field(
        description="A rollback left it, or a person withdrew it: promoting it again needs force and a reason."
    )
    revoke_reason: str | None
    keep: bool = Field(description="Its files are never collected.")
    purged: bool = Field(description="Its files were collected; registering the same content brings them back.")
    snapshot_digest: str
    message: str
    author: str
    created_at: datetime
    withdrawn_at: datetime | None
    revoked_at: datetime | None
    runs: int = Field(description="That are pinned to it, or were; GET /runs?version= lists them.")
    unfinished_runs: int = Field(description="Runs under way that are pinned to it.")
    links: Mapping[str, str]


class VersionDetail(Version):
    facets: Mapping[str, str] = Field(description="A digest for each kind of change.")
    nodes: Mapping[str, str] = Field(description="A digest for each node, of all that it uses.")
    size: int = Field(description="Bytes of its files.")
    provenance: Mapping[str, Any] = Field(description="Where it was built first: {commit, dirty, python, shadowgraph}.")


class VersionPage(Sent):
    items: Sequence[Version]
    next_cursor: str | None = Field(description=NEXT_CURSOR)


class VersionFilters(NumberedPageParameters):
    pass


class WorkflowParameter(Received):
    workflow: Name | None = Field(default=None, description="For a label or digest; without it the only workflow.")


class NewVersion(Received):
    """A version with other prompts or parameters than another one. Code is sent as an archive (application/zip)."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"base_version": "v3", "files": {"prompts/coder.md": "You write code.\n"}, "message": "shorter"},
                {"base_version": "v3", "files": {"shadowgraph.toml": "[agents.coder]\ntemperature = 0.2\n"}},
            ]
        }
    )

    base_version: VersionRef = Field(description=VERSION_REF)
    files: dict[FilePath, str | None] = Field(
        max_length=MAX_FILES,
        description="The new text of each prompt, or of shadowgraph.toml (its agents count); null takes it out.",
    )
    message: Message = ""


class UploadParameters(Received):
    """With an archive: what stands beside it."""

    message: Message | None = Field(default=None, description="Why it was made.")
    commit: str | None = Field(default=None, pattern=r"^[0-9a-f]{7,64}$", description="Of its source.")
    dirty: bool | None = Field(default=None, description="The source had changes that were not committed.")
    python: str | None = Field(default=None, pattern=r"^\d{1,2}\.\d{1,3}$", description="That built it.")
    shadowgraph: str | None = Field(default=None, pattern=r"^[0-9A-Za-z.+!-]{1,40}$", description="That built it.")


class VerifyParameter(Received):
    verify: bool = Field(default=False, description="Check everything that is stored against its digest.")


class Place(Sent):
    pointer: str
    detail: str


class Verification(Sent):
    ok: bool
    problems: Sequence[Place]


class Snapshot(Sent):
    digest: str
    workflow: str
    manifest: Mapping[str, Any]
    size: int
    provenance: Mapping[str, Any]
    created_at: datetime
    purged_at: datetime | None
    verification: Verification | None = Field(description="With `verify`.")
    links: Mapping[str, str]


class DiffParameters(Received):
    a: VersionRef = Field(description=f"Before. {VERSION_REF}")
    b: VersionRef = Field(description=f"After. {VERSION_REF}")
    workflow: Name | None = Field(default=None, description="For labels; without it the only workflow.")


class NodeChange(Sent):
    node: str
    change: Change
    parts: Sequence[str] = Field(description="Which of what it uses differ: code, prompts, parameters, tools.")


class FileChange(Sent):
    path: str
    change: Change
    kind: Kind


class Span(Sent):
    change: WordChange
    text: str


class PromptChange(Sent):
    name: str
    path: str
    change: Change
    words: Sequence[Span] = Field(description="In order; empty when one of the texts was collected.")


class ValueChange(Sent):
    name: str
    key: str
    before: Any
    after: Any


class Edge(Sent):
    source: str
    target: str
    conditional: bool


class GraphChange(Sent):
    nodes_added: Sequence[str]
    nodes_removed: Sequence[str]
    edges_added: Sequence[Edge]
    edges_removed: Sequence[Edge]
    input_schema: bool = Field(description="True: it differs.")
    output_schema: bool


class Diff(Sent):
    """What differs between two snapshots of a workflow."""

    a: str = Field(description="Digest.")
    b: str = Field(description="Digest.")
    facets: Sequence[str] = Field(
        description="Kinds of change: data, code, graph, tools, dependencies, runtime, inert."
    )
    nodes: Sequence[NodeChange]
    files: Sequence[FileChange]
    prompts: Sequence[PromptChange]
    parameters: Sequence[ValueChange]
    tools: Sequence[ValueChange]
    runtime: Sequence[ValueChange]
    graph: GraphChange
    requires: Requires = Field(
        description="What it takes to run b where a runs. nothing: only data differ; code worker: a process of its own; new environment: other packages."
    )
