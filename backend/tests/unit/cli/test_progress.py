"""A run put together from its events."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from shadowgraph.cli.events import RunEvent
from shadowgraph.cli.progress import RunProgress, describe, size_text

START = datetime(2026, 1, 1, tzinfo=UTC)
PLANNER: dict[str, Any] = {"node": "planner", "superstep": 1, "path": "0", "attempt": 1}


def event(kind: str, /, at: float = 0, **facts: Any) -> RunEvent:
    return RunEvent(kind, facts, at=START + timedelta(seconds=at))


def told(*events: RunEvent) -> list[str]:
    """The lines that a person reads."""
    progress = RunProgress()
    lines = []
    for one in events:
        progress.apply(one)
        lines.append(describe(one, progress))
    return lines


def shown(*events: RunEvent) -> RunProgress:
    progress = RunProgress()
    for one in events:
        progress.apply(one)
    return progress


def test_a_step_is_told_with_its_seconds_and_tokens() -> None:
    assert told(
        event("step.started", at=1, **PLANNER),
        event("call.finished", at=2, **PLANNER, prompt_tokens=1000, completion_tokens=234),
        event("step.finished", at=3.5, **PLANNER, status="finished"),
    ) == ["planner: started", "", "planner: finished (2.5 s, 1,234 tokens)"]


def test_a_failed_step_is_told_with_the_reason() -> None:
    failed = event("step.failed", at=1, **PLANNER, status="failed", error={"code": "c", "message": "no model"})

    assert told(event("step.started", **PLANNER), failed)[1] == "planner: failed (1.0 s): no model"


def test_a_second_attempt_is_told_as_one() -> None:
    assert told(event("step.started", **{**PLANNER, "attempt": 2})) == ["planner: started, attempt 2"]


def test_a_retry_is_told_with_the_wait_and_its_cause() -> None:
    retried = event("call.retried", **PLANNER | {"attempt": 2}, waited_seconds=8.04, error_class="rate_limited")

    assert told(event("step.started", **PLANNER), retried)[1] == "planner: attempt 2 after 8.0 s: rate_limited"


def test_a_tool_is_told_when_it_starts_and_when_it_fails() -> None:
    lines = told(
        event("call.started", kind="tool", tool="web_search", **PLANNER),
        event("call.failed", kind="tool", tool="web_search", error="no network", **PLANNER),
    )

    assert lines == ["planner: tool web_search", "planner: web_search failed: no network"]


@pytest.mark.parametrize(
    ("kind", "facts", "line"),
    [
        ("run.queued", {"why": "created"}, "queued"),
        ("run.queued", {"why": "lease_expired"}, "queued again: lease_expired"),
        ("run.taken_over", {}, "taken over by another worker; finished steps are not run again"),
        ("run.parked", {"reason": "rate_limited", "message": "Groq asks for 60 s"}, "waits: Groq asks for 60 s"),
        ("run.finished", {"status": "FAILED"}, "FAILED"),
        ("artifact.created", {"path": "a/b.py", "size": 12}, "file a/b.py (12 B)"),
        ("note", {"message": "no web"}, "no web"),
        ("output.delta", {"text": "x"}, ""),
        ("something.new", {"status": "odd"}, ""),
    ],
)
def test_what_happens_to_a_run_is_one_line_or_none(kind: str, facts: dict[str, Any], line: str) -> None:
    assert told(event(kind, **facts)) == [line]


def test_an_unknown_event_changes_nothing() -> None:
    assert shown(event("something.new", status="odd")) == RunProgress()


def test_live_frames_and_stored_pieces_of_one_text_are_put_together_once() -> None:
    progress = shown(
        event("output.live", **PLANNER, call="c", offset=0, text="Hel"),
        event("output.live", **PLANNER, call="c", offset=3, text="lo "),
        event("output.delta", **PLANNER, call="c", offset=0, text="Hello "),
        event("output.live", **PLANNER, call="c", offset=4, text="o you"),
    )

    assert progress.text == "Hello you"


def test_a_new_call_starts_a_new_text() -> None:
    progress = shown(
        event("output.live", **PLANNER, call="c", offset=0, text="old"),
        event("output.live", **PLANNER, call="c~1", offset=0, text="new"),
    )

    assert progress.text == "new"


def test_the_text_is_gone_when_its_step_has_ended() -> None:
    progress = shown(
        event("output.live", **PLANNER, call="c", offset=0, text="words"),
        event("step.finished", **PLANNER, status="finished"),
    )

    assert progress.text == ""


def test_only_the_end_of_a_long_text_is_kept() -> None:
    progress = shown(*[event("output.live", call="c", offset=n * 1000, text="x" * 1000) for n in range(10)])

    assert len(progress.text) == 4_000


def test_the_tasks_of_a_fan_out_are_steps_of_their_own() -> None:
    tasks: list[dict[str, Any]] = [{"node": "part", "superstep": 2, "path": str(n), "attempt": 1} for n in range(3)]

    progress = shown(*[event("step.started", **task) for task in tasks], event("step.finished", **tasks[1]))

    assert [step.state for step in progress.steps.values()] == ["running", "finished", "running"]


def test_a_call_is_shown_at_its_step_while_it_is_open() -> None:
    started = event("call.started", kind="tool", tool="web_search", **PLANNER)
    ended = event("call.finished", kind="tool", tool="web_search", **PLANNER)

    [open_step] = shown(event("step.started", **PLANNER), started).steps.values()
    [closed_step] = shown(event("step.started", **PLANNER), started, ended).steps.values()

    assert (open_step.doing, closed_step.doing) == ("tool web_search", "")


def test_a_running_step_grows_older_and_an_ended_one_does_not() -> None:
    [step] = shown(event("step.started", at=1, **PLANNER)).steps.values()
    [ended] = shown(event("step.started", at=1, **PLANNER), event("step.finished", at=3, **PLANNER)).steps.values()
    later = START + timedelta(seconds=61)

    assert (step.seconds(later), ended.seconds(later)) == (60, 2)


def test_the_state_follows_the_run() -> None:
    states = ["run.queued", "run.started", "run.parked", "run.taken_over", "run.paused", "run.resumed"]

    assert [shown(event(kind)).status for kind in states] == [
        "QUEUED",
        "RUNNING",
        "QUEUED",
        "RUNNING",
        "PAUSED",
        "QUEUED",
    ]


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (999, "999 B"), (1_500, "1.5 kB"), (2_000_000, "2.0 MB")])
def test_sizes_are_read_by_people(size: int, text: str) -> None:
    assert size_text(size) == text
