"""A run as the rest of the program sees it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from sqlalchemy import RowMapping

from shadowgraph.core.ids import RunId
from shadowgraph.core.json import JsonObject
from shadowgraph.runs.states import ENDED, Status


@dataclass(frozen=True, slots=True)
class Run:
    """One row of `runs`; the columns' comments in `models/runs.py` say what each field means."""

    id: RunId
    workflow: str
    kind: str
    status: Status
    reason: str | None
    input_ref: str
    input_preview: str
    result_ref: str | None
    error: JsonObject | None
    thread_id: str
    checkpoint_thread: str
    generation: int
    version_id: str | None
    snapshot_digest: str | None
    priority: int
    available_at: int
    deadline_at: int | None
    lease_owner: str | None
    lease_token: int
    lease_expires_at: int | None
    claims: int
    crash_streak: int
    takeovers: int
    control: str | None
    event_seq: int
    owner: str
    subject: str | None
    parent_run_id: str | None
    traceparent: str | None
    metadata: Mapping[str, str]
    options: Mapping[str, Any]
    seed: JsonObject | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED

    @property
    def checkpoint_threads(self) -> list[str]:
        """All that it ever had: it got another one each time that it started over."""
        return [self.checkpoint_thread, *left_threads(self.id, self.checkpoint_thread)]


def left_threads(run_id: str, checkpoint_thread: str) -> list[str]:
    """The checkpoint threads that a run had before, when it started over on another version: `run_…`, `run_…#1`, …"""
    _, started_over, number = checkpoint_thread.partition("#")
    return [run_id, *(f"{run_id}#{earlier}" for earlier in range(1, int(number)))] if started_over else []


FIELDS = tuple(field.name for field in fields(Run))


def run_from_row(row: RowMapping) -> Run:
    values = {name: row[name] for name in FIELDS}
    return Run(**{**values, "id": RunId(row["id"]), "status": Status(row["status"])})
