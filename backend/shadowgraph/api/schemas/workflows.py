from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import Field

from shadowgraph.api.schemas.common import Sent, Usd


class Workflow(Sent):
    """A graph that workers can run."""

    name: str
    version: str | None = Field(description="Label of the active version; null: it has none.")
    project: str
    code_digest: str
    description: str
    input_schema: Mapping[str, Any]
    output_schema: Mapping[str, Any]
    graph: Mapping[str, Any] = Field(
        description="{nodes: [{name, level}], edges: [{source, target, conditional}], level}"
    )
    seen_at: datetime = Field(description="When a worker last said that it can run it.")
    timeout_s: float | None = Field(description="For runs that name no timeout_s of their own.")
    default_budget_usd: Usd | None = Field(
        description="What runs may spend that name no budget_usd; null: what MAX_RUN_COST says."
    )
    level: str | None = Field(
        description="L0, L1 or L2: what its model and tool calls gain here, by the least of its nodes; null: no such call was seen."
    )
    workers: int = Field(description="How many workers that can run it were heard of lately.")
    links: Mapping[str, str]


class BrokenProject(Sent):
    """A project that a worker could not load; runs of other projects go on."""

    project: str
    message: str
    hint: str | None
    errors: Sequence[Mapping[str, str]] = Field(
        description="The author's own lines that led there: [{pointer: file:line, detail: the line}]."
    )
    at: datetime


class WorkflowList(Sent):
    items: list[Workflow]
    broken_projects: list[BrokenProject]
    next_cursor: None = Field(default=None, description="Always null: the list is whole.")
