"""Conversations: runs that continue each other."""

from datetime import datetime
from typing import Any

from pydantic import Field

from shadowgraph.api.schemas.common import Sent
from shadowgraph.api.schemas.paging import NEXT_CURSOR
from shadowgraph.api.schemas.runs import RunSummary


class ThreadLinks(Sent):
    self: str
    runs: str


class Thread(Sent):
    thread_id: str
    workflow: str = Field(description="Of its newest run.")
    run_count: int
    created_at: datetime
    updated_at: datetime = Field(description="When its newest run was created.")
    links: ThreadLinks


class ThreadPage(Sent):
    items: list[Thread]
    next_cursor: str | None = Field(description=NEXT_CURSOR)


class ThreadDetails(Thread):
    runs: list[RunSummary] = Field(description="The newest 100, newest first; `links.runs` lists all.")
    state_run_id: str | None = Field(description="The last completed run: what the next one continues.")
    state: dict[str, Any] | None = Field(description="The state that it left; null while no run has completed.")
