"""What a run has done so far, put together from its events. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shadowgraph.cli.events import RunEvent

MAX_LIVE_CHARACTERS = 4_000


@dataclass(slots=True)
class StepProgress:
    node: str
    state: str = "running"
    attempt: int = 1
    started_at: datetime | None = None
    finished_at: datetime | None = None
    tokens: int = 0
    doing: str = ""
    """What it waits for now: a tool, a second attempt."""

    def seconds(self, now: datetime) -> float | None:
        if self.started_at is None:
            return None
        return max(0.0, ((self.finished_at or now) - self.started_at).total_seconds())


@dataclass(slots=True)
class RunProgress:
    status: str = "QUEUED"
    reason: str = ""
    started_at: datetime | None = None
    steps: dict[tuple[Any, ...], StepProgress] = field(default_factory=dict)
    """By superstep, node and path."""
    text: str = ""
    """Of the answer that is being written now; its end, when it is long."""
    _call: str = ""
    _offset: int = 0

    def apply(self, event: RunEvent) -> None:
        if event.type.startswith("step."):
            self._apply_step(event)
        elif event.type.startswith("call."):
            self._apply_call(event)
        elif event.type in ("output.live", "output.delta"):
            self._apply_text(event.facts)
        elif event.type.startswith("run."):
            self._apply_run(event)

    def _apply_run(self, event: RunEvent) -> None:
        self.status = _STATUS_AFTER.get(event.type) or str(event.facts.get("status") or self.status)
        self.reason = str(event.facts.get("reason") or "")
        if event.type == "run.started":
            self.started_at = self.started_at or event.at
        if self.status != "RUNNING":
            self.text = ""

    def _apply_step(self, event: RunEvent) -> None:
        step = self.steps.setdefault(_key(event.facts), StepProgress(event.node))
        step.attempt = int(event.facts.get("attempt") or 1)
        step.doing = ""
        if event.type == "step.started":
            step.state, step.started_at, step.finished_at = "running", event.at, None
            return
        step.state = str(event.facts.get("status") or event.type.removeprefix("step."))
        step.finished_at = event.at
        self.text = ""

    def _apply_call(self, event: RunEvent) -> None:
        step = self._open_step(event.facts)
        if step is None:
            return
        step.tokens += sum(int(event.facts.get(name) or 0) for name in ("prompt_tokens", "completion_tokens"))
        step.doing = describe_call(event) if event.type in ("call.started", "call.retried") else ""

    def _open_step(self, facts: Mapping[str, Any]) -> StepProgress | None:
        """Calls name node and superstep but not the path: of several tasks of one node any that runs will do."""
        place = (facts.get("superstep"), facts.get("node"))
        found = [step for key, step in self.steps.items() if key[:2] == place]
        return next((step for step in found if step.state == "running"), found[-1] if found else None)

    def _apply_text(self, facts: Mapping[str, Any]) -> None:
        """The live frame and the stored piece tell the same text: what lies below the offset has been seen."""
        call, offset, text = str(facts.get("call")), int(facts.get("offset") or 0), str(facts.get("text") or "")
        if call != self._call:
            self._call, self._offset, self.text = call, 0, ""
        new = text[max(0, self._offset - offset) :]
        self._offset = max(self._offset, offset + len(text))
        self.text = (self.text + new)[-MAX_LIVE_CHARACTERS:]


_STATUS_AFTER = {
    "run.queued": "QUEUED",
    "run.parked": "QUEUED",
    "run.started": "RUNNING",
    "run.taken_over": "RUNNING",
    "run.paused": "PAUSED",
    "run.awaiting_human": "AWAITING_HUMAN",
    "run.budget_exceeded": "BUDGET_EXCEEDED",
    "run.resumed": "QUEUED",
}


def _key(facts: Mapping[str, Any]) -> tuple[Any, ...]:
    return (facts.get("superstep"), facts.get("node"), facts.get("path"))


def describe_call(event: RunEvent) -> str:
    """What a step does while this call is open; empty for the ordinary first attempt of an LLM call."""
    facts = event.facts
    if event.type == "call.retried":
        waited = float(facts.get("waited_seconds") or 0)
        shortened = f", {left_out:,} characters left out" if (left_out := facts.get("left_out_characters")) else ""
        return f"attempt {facts.get('attempt')} after {waited:.1f} s: {facts.get('error_class') or 'error'}{shortened}"
    return f"tool {facts['tool']}" if facts.get("tool") else ""


def describe(event: RunEvent, progress: RunProgress) -> str:
    """One line for people, or nothing. `progress` has seen the event already."""
    if event.type.startswith("step."):
        return _describe_step(event, progress)
    if event.type in ("call.started", "call.retried"):
        return _with_node(event, describe_call(event))
    if event.type == "call.failed":
        return _with_node(event, f"{event.facts.get('tool') or 'call'} failed: {_why(event.facts)}")
    if event.type == "artifact.created":
        return f"file {event.facts.get('path')} ({size_text(int(event.facts.get('size') or 0))})"
    if event.type == "note":
        return _with_node(event, str(event.facts.get("message") or ""))
    return _describe_run(event, progress)


def _describe_step(event: RunEvent, progress: RunProgress) -> str:
    step = progress.steps[_key(event.facts)]
    if event.type == "step.started":
        return f"{step.node}: started" if step.attempt == 1 else f"{step.node}: started, attempt {step.attempt}"
    seconds = step.seconds(step.finished_at) if step.finished_at else None
    facts = [f"{seconds:.1f} s" if seconds is not None else "", f"{step.tokens:,} tokens" if step.tokens else ""]
    extra = f" ({', '.join(filter(None, facts))})" if any(facts) else ""
    why = f": {_why(event.facts)}" if event.type == "step.failed" else ""
    return f"{step.node}: {step.state}{extra}{why}"


def _describe_run(event: RunEvent, progress: RunProgress) -> str:
    facts = event.facts
    lines = {
        "run.queued": "queued"
        if facts.get("why") in (None, "created")
        else f"queued again: {facts.get('cause') or facts.get('why')}",
        "run.started": "started",
        "run.taken_over": "taken over by another worker; finished steps are not run again",
        "run.parked": f"waits: {facts.get('message') or facts.get('reason')}",
        "run.finished": progress.status,
    }
    return lines.get(event.type, progress.status if event.type in _STATUS_AFTER else "")


def _with_node(event: RunEvent, text: str) -> str:
    return f"{event.node}: {text}" if event.node and text else text


def _why(facts: Mapping[str, Any]) -> str:
    error = facts.get("error")
    if isinstance(error, Mapping):
        return str(error.get("message") or error.get("code") or "unknown")
    return str(error or facts.get("error_class") or "unknown")


def size_text(size_bytes: int) -> str:
    if size_bytes < 1_000:
        return f"{size_bytes} B"
    return f"{size_bytes / 1_000:.1f} kB" if size_bytes < 1_000_000 else f"{size_bytes / 1_000_000:.1f} MB"
