"""Drives any graph from where its run stands to where it ends, and writes down how it left RUNNING."""

import asyncio
import logging
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.errors import GraphDrained, GraphRecursionError
from langgraph.runtime import RunControl

from shadowgraph.core import failpoints
from shadowgraph.core.errors import Invalid, OverBudget, Unavailable
from shadowgraph.core.json import Json
from shadowgraph.db.patience import outlast_outage, read_patiently
from shadowgraph.engine import resuming
from shadowgraph.engine.beginning import build_input, find_start
from shadowgraph.engine.claim import Claim, LeaseLost
from shadowgraph.engine.exits import (
    Leaving,
    awaiting,
    budget_exceeded,
    cancelled,
    completed,
    failed,
    handed_back,
    parked,
    paused,
)
from shadowgraph.engine.failures import describe_failure
from shadowgraph.engine.graphs import DEFAULT_MAX_STEPS, config_for, read_end, stream_graph, with_saver
from shadowgraph.engine.interrupts import NotAnswered
from shadowgraph.engine.looks import BudgetLooks
from shadowgraph.engine.outputs import result_of
from shadowgraph.engine.projects import LoadedWorkflow, Project
from shadowgraph.engine.resuming import load_past
from shadowgraph.engine.session import DriverParts, Session, build_session
from shadowgraph.engine.writer import StateNotStorable
from shadowgraph.runs.alerts import raise_alert
from shadowgraph.runs.deadlines import deadline_error
from shadowgraph.runs.run import Run

log = logging.getLogger(__name__)

UNLOADABLE_DELAY_MS = 60_000
"""How long a run waits for a worker that can load its checkpoint before the next one looks at it."""

SHORTEST_PARK_SECONDS = 1.0
"""A run that is told to come back at once, again and again, must not keep a worker busy with nothing else."""

PAUSE = "pause"
"""Reason of a drain that somebody asked for; any other one is this process's shutdown."""

StopReason = Literal["cancel", "lost", "handoff"]


class StepLimitReached(Invalid):
    code = "step_limit"


class UnknownWorkflow(Invalid):
    """Accepted while no worker had said what it runs; now it is known that none does."""

    code = "unknown_workflow"


@dataclass(slots=True)
class Drive:
    """One run under way, as its slot sees it: how to ask it to stop, and why it was stopped."""

    run: Run
    control: RunControl = field(default_factory=RunControl)
    stop_reason: StopReason | None = None
    seconds_left: float | None = None
    """Until the run's deadline; None: it has none."""
    has_begun: bool = False
    """Until then it cannot be cut, only told that it shall stop."""

    def __post_init__(self) -> None:
        if self.run.control == "cancel":  # it came while nobody had the run
            self.stop_reason = "cancel"


class Driver:
    def __init__(self, parts: DriverParts) -> None:
        self._parts = parts
        self._looks = BudgetLooks(parts.database)

    async def drive(self, drive: Drive, project: Project | None) -> None:
        """Runs until the run leaves RUNNING or is no longer ours; never raises for what a graph does.

        `project`: None when nobody knows the run's workflow.
        """
        try:
            await self._drive(drive, project)
        except LeaseLost:
            log.warning("run %s was taken over while it ran here", drive.run.id)

    async def _drive(self, drive: Drive, project: Project | None) -> None:
        session = build_session(self._parts, _claim_of(drive.run, project), self._looks)
        try:
            leaving = await self._find_way_out(drive, project, session)
            if leaving is not None:
                await self._leave(session, leaving)
        finally:
            await session.recorder.close()

    async def _find_way_out(self, drive: Drive, project: Project | None, session: Session) -> Leaving | None:
        if drive.stop_reason:
            return self._stopped(drive)
        try:
            return await self._outcome(drive, project, session)
        except asyncio.CancelledError:
            return self._stopped(drive)
        finally:
            session.context.close()

    def _stopped(self, drive: Drive) -> Leaving | None:
        """None when the run is no longer ours to leave."""
        now = self._parts.clock.now()
        if drive.stop_reason == "lost":
            return None
        return cancelled(at=now) if drive.stop_reason == "cancel" else handed_back(at=now)

    async def _leave(self, session: Session, leaving: Leaving) -> None:
        if leaving.exit.error:
            run_id, message = session.recorder.claim.run_id, leaving.exit.error.get("message")
            log.info("run %s is %s: %s", run_id, leaving.exit.to, message)
        failpoints.hit("engine.driver.leaving")
        try:
            await session.recorder.leave(leaving.exit, leaving.rows)
        except StateNotStorable as error:
            await session.recorder.leave(failed(describe_failure(error), at=self._parts.clock.now()).exit)
        failpoints.hit("engine.driver.left")

    async def _outcome(self, drive: Drive, project: Project | None, session: Session) -> Leaving:
        """How the run leaves RUNNING. What a graph raises ends here; what concerns the lease goes on."""
        now = self._parts.clock.now
        try:
            workflow = _require_workflow(drive.run, project)
            async with asyncio.timeout(drive.seconds_left) as limit:
                output = await self._run_graph(drive, workflow, session)
            return completed(output, at=now(), max_bytes=self._parts.max_output_bytes)
        except (LeaseLost, asyncio.CancelledError):
            raise
        except GraphDrained:
            return paused(at=now()) if drive.control.drain_reason == PAUSE else handed_back(at=now())
        except NotAnswered as waiting:
            return awaiting(waiting.questions, at=now())
        except resuming.Unloadable as error:
            await outlast_outage(partial(self._alert, drive.run, error))
            return parked(error.code, delay_ms=UNLOADABLE_DELAY_MS, message=error.message, at=now())
        except GraphRecursionError:
            return failed(describe_failure(_step_limit(drive.run)), at=now())
        except OverBudget as error:
            return _over_budget(error, at=now())
        except Unavailable as error:
            return _parked_or_failed(error, at=now())
        except TimeoutError as error:
            return failed(deadline_error() if limit.expired() else self._described(error, session), at=now())
        except Exception as error:  # noqa: BLE001  a graph may raise anything: it is the run's own error
            return failed(self._described(error, session), at=now())

    async def _alert(self, run: Run, error: resuming.Unloadable) -> None:
        async with self._parts.database.write() as connection:
            await raise_alert(
                connection,
                self._parts.database.dialect,
                kind=error.code,
                subject=run.id,
                workflow=run.workflow,
                message=error.message,
                at=self._parts.clock.now(),
            )

    async def _run_graph(self, drive: Drive, workflow: LoadedWorkflow, session: Session) -> Json:
        await self._take_pinned_files(session.recorder.claim)
        serde = JsonPlusSerializer(allowed_msgpack_modules=workflow.state_types)
        fresh_thread = None if session.recorder.claim.is_resumed else drive.run.checkpoint_thread
        saver = self._parts.savers.saver(session.recorder, serde=serde, fresh_thread=fresh_thread)
        graph = with_saver(workflow.graph, saver)
        config = config_for(drive.run, session.recorder, supersteps_done=await self._catch_up(session))
        found = await find_start(self._parts.database, drive.run, graph, saver, config)
        graph_input = await build_input(self._parts.database, drive.run, workflow, graph, config, found)
        if found:
            resuming.require_known_nodes(found, graph)
            _tell_of_other_code(session)
        await session.purse.look()
        with session.in_reach():
            try:
                output = await stream_graph(graph, graph_input, config, drive.control)
            except NotAnswered:
                await session.bring_to_rest()
                raise
        saver.is_at_end = True
        end = await read_end(graph, config)
        # None: the graph stood at its end already
        return result_of(end if output is None else output, session.recorder)

    async def _take_pinned_files(self, claim: Claim) -> None:
        """Prompts and parameters are those of the run's version, whatever the project's folder has meanwhile.

        Errors: `Unloadable`.
        """
        if self._parts.pinned is not None and claim.run.version_id is not None:
            found = await self._parts.pinned.load(claim.run)
            claim.project_dir, claim.agents = found.directory, found.agents

    async def _catch_up(self, session: Session) -> int:
        """Reads what earlier claims left, when there were any; how many supersteps that was."""
        claim = session.recorder.claim
        if not claim.is_resumed:
            return 0
        past = await read_patiently(self._parts.database, lambda connection: load_past(connection, claim.run_id))
        session.recorder.go_on_from(past.attempts)
        return past.supersteps_done

    @staticmethod
    def _described(error: BaseException, session: Session) -> dict[str, Any]:
        node = session.recorder.failed_node
        return describe_failure(error) | ({"step": node} if node else {})


def _claim_of(run: Run, project: Project | None) -> Claim:
    if project is None:
        return Claim(run, Path(), run.event_seq)
    return Claim(run, project.directory, run.event_seq, project.code_digest, project.agents)


def _require_workflow(run: Run, project: Project | None) -> LoadedWorkflow:
    workflow = project.workflows.get(run.workflow) if project else None
    if workflow is None:
        raise UnknownWorkflow(f"no worker has a workflow {run.workflow!r}", workflow=run.workflow)
    return workflow


def _tell_of_other_code(session: Session) -> None:
    claim = session.recorder.claim
    began_with = claim.run.snapshot_digest if claim.run.version_id is None else None
    if began_with and claim.code_digest != began_with:
        facts = {"began_with": began_with, "goes_on_with": claim.code_digest}
        session.recorder.add_note(
            "the project's files changed since this run began; it goes on with the new ones", facts
        )


def _step_limit(run: Run) -> StepLimitReached:
    limit = run.options.get("max_steps", DEFAULT_MAX_STEPS)
    return StepLimitReached(
        f"the graph made {limit} supersteps without reaching its end", hint="raise max_steps", max_steps=limit
    )


def _over_budget(error: OverBudget, *, at: datetime) -> Leaving:
    described = describe_failure(error)
    return failed(described, at=at) if error.facts.get("action") == "fail" else budget_exceeded(described, at=at)


def _parked_or_failed(error: Unavailable, *, at: datetime) -> Leaving:
    """An error that says when to come back frees the slot until then; any other one ends the run."""
    retry_after = error.facts.get("retry_after")
    if isinstance(retry_after, int | float) and isfinite(retry_after):
        delay_ms = int(max(retry_after, SHORTEST_PARK_SECONDS) * 1000)
        return parked(error.code, delay_ms=delay_ms, message=error.message, at=at)
    return failed(describe_failure(error), at=at)
