"""Puts rows into the shapes of the wire. `load_*` read, `build_*` are pure."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from sqlalchemy.ext.asyncio import AsyncConnection

from shadowgraph.api.error_docs import ERROR_DOCS, title_of, type_of
from shadowgraph.api.money_views import cost_of
from shadowgraph.api.schemas import details, interactions, runs, workflows
from shadowgraph.api.schemas.common import API_PREFIX
from shadowgraph.core.money import to_usd
from shadowgraph.costs.budgets import load_run_limits
from shadowgraph.costs.ledger import Sums, sum_runs
from shadowgraph.queue.message import Wake
from shadowgraph.runs import repository
from shadowgraph.runs.alerts import Alert
from shadowgraph.runs.events import Event
from shadowgraph.runs.interactions import Interaction, list_open_questions
from shadowgraph.runs.payloads import load_json
from shadowgraph.runs.run import Run
from shadowgraph.runs.states import WAITS_FOR_A_PERSON
from shadowgraph.versioning.repository import load_labels

OUTPUT_LIVE = "output.live"

_ERROR_MEMBERS = {"code", "message", "hint", "retryable"}


async def load_run(connection: AsyncConnection, run: Run) -> runs.Run:
    """With its input and result."""
    totals = await sum_runs(connection, [run.id])
    limits = await load_run_limits(connection, [run.id])
    asked = await list_open_questions(connection, run.id) if run.status in WAITS_FOR_A_PERSON else []
    return build_run(
        run,
        version=await load_label(connection, run),
        asked=asked,
        input_=await load_json(connection, run.input_ref),
        result=await load_json(connection, run.result_ref) if run.result_ref else None,
        totals=totals.get(run.id),
        limit=limits.get(run.id),
    )


async def load_summaries(connection: AsyncConnection, found: Sequence[Run]) -> list[runs.RunSummary]:
    ids = [run.id for run in found]
    totals, limits = await sum_runs(connection, ids), await load_run_limits(connection, ids)
    labels = await load_labels(connection, [run.version_id for run in found if run.version_id])
    return [
        runs.RunSummary(**_summary(run, labels.get(run.version_id or ""), totals.get(run.id), limits.get(run.id)))
        for run in found
    ]


async def load_label(connection: AsyncConnection, run: Run) -> str | None:
    """Of the version that it is pinned to."""
    if run.version_id is None:
        return None
    return (await load_labels(connection, [run.version_id])).get(run.version_id)


def build_run(
    run: Run,
    *,
    input_: Any,
    version: str | None = None,
    result: Any = None,
    totals: Sums | None = None,
    limit: int | None = None,
    asked: Sequence[Interaction] = (),
) -> runs.Run:
    """`version`: its label. `limit`: nano-USD that the run may spend."""
    query = input_.get("query") if isinstance(input_, Mapping) else None
    return runs.Run(
        **_summary(run, version, totals, limit),
        input=input_,
        query=query if isinstance(query, str) else None,
        result=result,
        interactions=[build_interaction(item) for item in asked],
    )


def _summary(run: Run, version: str | None, totals: Sums | None, limit: int | None) -> dict[str, Any]:
    return {
        "id": run.id,
        "status": run.status,
        "reason": run.reason,
        "workflow": run.workflow,
        "version": version,
        "preview": run.input_preview,
        "thread_id": run.thread_id,
        "parent_run_id": run.parent_run_id,
        "parent_checkpoint_id": parent_checkpoint_of(run),
        "subject": run.subject,
        "metadata": run.metadata,
        "priority": run.priority,
        "max_steps": run.options.get("max_steps"),
        "budget_usd": None if limit is None else to_usd(limit),
        "control": run.control,
        "deadline_at": moment_of(run.deadline_at) if run.deadline_at is not None else None,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "error": build_error(run.error) if run.error else None,
        "usage": build_usage(totals),
        "links": build_links(run),
    }


def build_usage(totals: Sums | None) -> runs.Usage:
    """Without a request to any provider the cost is exactly 0."""
    sums = totals or Sums()
    return runs.Usage(
        prompt_tokens=sums.prompt_tokens,
        completion_tokens=sums.completion_tokens,
        unreported=sums.unreported,
        unpriced=sums.unpriced,
        cost_usd=cost_of(sums),
        cost_state=sums.cost_state,
    )


def build_error(error: Mapping[str, Any]) -> runs.RunError:
    """The stored error of a run or step in the members of a problem."""
    code = str(error.get("code", "internal"))
    doc = ERROR_DOCS.get(code)
    members = {name: value for name, value in error.items() if name not in _ERROR_MEMBERS}
    return runs.RunError(
        **members
        | {
            "type": type_of(code),
            "title": title_of(code),
            "detail": str(error.get("message", "")),
            "code": code,
            "retryable": bool(error.get("retryable", False)),
            "hint": error.get("hint") or (doc.remedy if doc else None),
        }
    )


def run_path(run_id: str) -> str:
    return f"{API_PREFIX}/runs/{run_id}"


def thread_path(thread_id: str) -> str:
    return f"{API_PREFIX}/threads/{quote(thread_id)}"


def moment_of(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def parent_checkpoint_of(run: Run) -> str | None:
    return str(run.seed["checkpoint_id"]) if run.seed else None


def build_links(run: Run) -> runs.RunLinks:
    path = run_path(run.id)
    return runs.RunLinks(
        self=path,
        events=f"{path}/events",
        steps=f"{path}/steps",
        artifacts=f"{path}/artifacts",
        artifacts_zip=f"{path}/artifacts.zip",
        export_json=f"{path}/export.json",
        export_md=f"{path}/export.md",
        checkpoints=f"{path}/checkpoints",
        children=f"{API_PREFIX}/runs?parent_run_id={run.id}",
        thread=thread_path(run.thread_id),
        cancel=f"{path}/cancel",
        pause=f"{path}/pause",
        resume=f"{path}/resume",
        retry=f"{path}/retry",
        fork=f"{path}/fork",
        answer=f"{path}/answer",
    )


def build_interaction(found: Interaction) -> interactions.Interaction:
    path = f"{API_PREFIX}/interactions/{found.id}"
    run = run_path(found.run_id)
    return interactions.Interaction(
        id=found.id,
        run_id=found.run_id,
        node=found.node,
        status=found.status,
        question=found.question["value"],
        schema=dict(found.schema) if found.schema is not None else None,
        has_default=found.default is not None,
        default=found.default["value"] if found.default else None,
        deadline_at=moment_of(found.deadline_at),
        answer=found.answer["value"] if found.answer else None,
        who=found.who,
        created_at=found.created_at,
        answered_at=found.answered_at,
        links=interactions.InteractionLinks(self=path, run=run, answer=f"{run}/answer"),
    )


async def load_steps(connection: AsyncConnection, run_id: str) -> list[details.Step]:
    steps = await repository.list_steps(connection, run_id)
    costs = costs_of_steps(steps, await repository.list_llm_attempts(connection, run_id))
    return [_step(step, cost) for step, cost in zip(steps, costs, strict=True)]


def costs_of_steps(steps: Sequence[repository.Step], attempts: Sequence[repository.LlmAttempt]) -> list[Decimal | None]:
    """What the calls of each try of a node cost; None when a part of that is unknown. A call counts for the try that was under way when it
    began."""
    costs: list[int | None] = [0] * len(steps)
    for attempt in attempts:
        if attempt.status == "started":
            continue
        index = _try_of(attempt, steps)
        if index is not None and (known := costs[index]) is not None:
            costs[index] = None if attempt.cost_nano_usd is None else known + attempt.cost_nano_usd
    return [None if cost is None else to_usd(cost) for cost in costs]


def _try_of(attempt: repository.LlmAttempt, steps: Sequence[repository.Step]) -> int | None:
    """None for a call that stands nowhere in the graph."""
    begun = {
        index: path
        for index, step in enumerate(steps)
        if step.started_at <= attempt.at and (path := _path_below(step, attempt.call_key))
    }
    own = [index for index, path in begun.items() if path.startswith(steps[index].path)] or list(begun)
    return max(own, key=lambda index: (len(steps[index].path), steps[index].attempt), default=None)


def _path_below(step: repository.Step, call_key: str) -> str:
    """Path and index of a call in this step; empty for a call elsewhere."""
    return call_key.partition(f"/{step.node}/{step.superstep}/")[2]


def _step(step: repository.Step, cost: Decimal | None) -> details.Step:
    return details.Step(
        node=step.node,
        superstep=step.superstep,
        path=step.path,
        attempt=step.attempt,
        status=step.status,
        started_at=step.started_at,
        finished_at=step.finished_at,
        summary=step.summary,
        error=build_error(step.error) if step.error else None,
        cost_usd=cost,
    )


def build_event(event: Event, *, run: runs.Run | None = None) -> details.RunEvent:
    """`run`: the whole run, for its last event."""
    data = dict(event.payload) | ({"run": run.model_dump(mode="json")} if run else {})
    if isinstance(error := data.get("error"), Mapping):
        data["error"] = build_error(error).model_dump(mode="json")
    return details.RunEvent(run_id=event.run_id, seq=event.seq, type=event.type, at=event.at, data=data)


def build_live_event(wake: Wake) -> details.RunEvent:
    assert wake.live is not None
    return details.RunEvent(run_id=wake.run_id, seq=None, type=OUTPUT_LIVE, at=None, data=wake.live.model_dump())


def build_artifact(artifact: repository.Artifact, *, run_id: str) -> details.Artifact:
    return details.Artifact(**asdict(artifact), link=f"{run_path(run_id)}/artifacts/{quote(artifact.path)}")


def build_workflow(
    workflow: repository.Workflow, *, serving: Mapping[str, int], active: Mapping[str, str]
) -> workflows.Workflow:
    """`serving`: how many workers can run each workflow. `active`: labels of their active versions."""
    link = f"{API_PREFIX}/workflows/{quote(workflow.name, safe='')}"
    said = asdict(workflow)
    default_budget = said.pop("default_budget_nano_usd")
    return workflows.Workflow(
        **said,
        version=active.get(workflow.name),
        default_budget_usd=None if default_budget is None else to_usd(default_budget),
        level=workflow.graph.get("level"),
        workers=serving.get(workflow.name, 0),
        links={"self": link},
    )


def build_broken_project(alert: Alert) -> workflows.BrokenProject:
    hint, errors = alert.data.get("hint"), alert.data.get("errors", [])
    return workflows.BrokenProject(project=alert.subject, message=alert.message, hint=hint, errors=errors, at=alert.at)


async def load_export(connection: AsyncConnection, run: Run) -> details.RunExport:
    found = await repository.list_artifacts(connection, run.id)
    attempts = await repository.list_llm_attempts(connection, run.id)
    calls = await repository.list_tool_calls(connection, run.id)
    return details.RunExport(
        run=await load_run(connection, run),
        steps=await load_steps(connection, run.id),
        events=[build_event(event) for event in await _all_events(connection, run.id)],
        artifacts=[build_artifact(artifact, run_id=run.id) for artifact in found],
        llm_attempts=[build_attempt(attempt) for attempt in attempts],
        tool_calls=[details.ToolCall(**asdict(call)) for call in calls],
    )


def build_attempt(attempt: repository.LlmAttempt) -> details.LlmAttempt:
    values = asdict(attempt)
    cost, units = values.pop("cost_nano_usd"), values.pop("unit_prices")
    return details.LlmAttempt(
        **values,
        cost_usd=None if cost is None else to_usd(cost),
        unit_prices={name: Decimal(price) for name, price in units.items()} if units else None,
    )


async def _all_events(connection: AsyncConnection, run_id: str) -> list[Event]:
    found: list[Event] = []
    while page := await repository.list_events(connection, run_id, after=found[-1].seq if found else 0):
        found += page
    return found
