"""Runs, claims and drives without any process around them."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from shadowgraph.core.calls import (
    AnswerCheck,
    AuthoredTool,
    CallId,
    Completion,
    DeltaSink,
    LlmJournal,
    LlmRequest,
    ModelPort,
    Purse,
    ToolDescription,
    ToolJournal,
    ToolPort,
    ToolRequest,
)
from shadowgraph.core.clock import SystemClock
from shadowgraph.core.ids import WorkerId, new_worker_id
from shadowgraph.core.json import Json
from shadowgraph.db.engine import Database
from shadowgraph.engine.recorder import StepId
from shadowgraph.runs.claims import Claimant, claim_run
from shadowgraph.runs.run import Run
from shadowgraph.runs.service import RunSpec, create_run

CLOCK = SystemClock()
LEASE_MS = 30_000


async def start_run(
    database: Database, workflow: str = "shapes", value: Mapping[str, Any] | None = None, **fields: Any
) -> Run:
    spec = RunSpec(workflow=workflow, input=dict(value or {"text": "hello"}), **fields)
    async with database.write() as connection:
        return (await create_run(connection, database.dialect, spec, clock=CLOCK)).run


async def claim(
    database: Database,
    *workflows: str,
    worker_id: WorkerId | None = None,
    lease_ms: int = LEASE_MS,
    codes: Mapping[str, str] | None = None,
) -> Run:
    """The next due run; fails the test when there is none. `codes`: as those of `Claimant`."""
    found = await try_claim(database, *workflows, worker_id=worker_id, lease_ms=lease_ms, codes=codes)
    if found is None:
        pytest.fail("there was nothing to claim")
    return found


async def try_claim(
    database: Database,
    *workflows: str,
    worker_id: WorkerId | None = None,
    lease_ms: int = LEASE_MS,
    codes: Mapping[str, str] | None = None,
) -> Run | None:
    loaded = dict.fromkeys(workflows or ("shapes",), "digest")
    claimant = Claimant(worker_id or new_worker_id(), loaded, lease_ms, codes)
    async with database.write() as connection:
        return await claim_run(connection, claimant, clock=CLOCK)


class NoModels:
    async def call(
        self,
        request: LlmRequest,
        call: CallId,
        on_delta: DeltaSink | None = None,
        *,
        check: AnswerCheck | None = None,
    ) -> Completion:
        raise AssertionError("this graph calls no model")


class NoTools:
    async def call(self, request: ToolRequest, call: CallId, *, authored: AuthoredTool | None = None) -> Json:
        raise AssertionError("this graph calls no tool")

    def describe(self, name: str) -> ToolDescription:
        raise AssertionError("this graph calls no tool")


class NoPorts:
    """For graphs that use no authoring function."""

    def models(self, journal: LlmJournal, *, run_id: str, purse: Purse) -> ModelPort:
        return NoModels()

    def tools(self, journal: ToolJournal, *, run_id: str) -> ToolPort:
        return NoTools()


def no_attempts() -> Counter[StepId]:
    """A run whose steps have never been tried."""
    return Counter()


NOWHERE = Path("/nonexistent")
