"""The table that is drawn in place."""

from datetime import UTC, datetime
from io import StringIO
from typing import Any

from rich.console import Console

from shadowgraph.cli.display import render
from shadowgraph.cli.events import RunEvent
from shadowgraph.cli.progress import RunProgress
from shadowgraph.core.clock import ManualClock

CODER = {"node": "coder", "superstep": 1, "path": "0", "attempt": 1}


def drawn(*events: tuple[str, dict[str, Any]], now: ManualClock | None = None) -> str:
    progress = RunProgress()
    for kind, facts in events:
        progress.apply(RunEvent(kind, facts, at=datetime(2026, 1, 1, tzinfo=UTC)))
    console = Console(width=80, record=True, file=StringIO())
    console.print(render(progress, run_id="run_1", clock=now or ManualClock()))
    return console.export_text()


def test_a_running_step_shows_what_it_does_and_for_how_long() -> None:
    clock = ManualClock()
    clock.advance(12)

    text = drawn(("step.started", CODER), ("call.started", {**CODER, "kind": "tool", "tool": "web_search"}), now=clock)

    assert text.splitlines()[2].split() == ["coder", "running", "1", "12.0", "tool", "web_search"]


def test_before_the_first_step_there_is_only_the_state() -> None:
    assert drawn(("run.queued", {})).split() == ["run_1", "QUEUED"]


def test_the_last_lines_of_the_answer_stand_below() -> None:
    words = "\n".join(f"line {n}" for n in range(20))

    text = drawn(("step.started", CODER), ("output.live", {**CODER, "call": "c", "offset": 0, "text": words}))

    assert "line 11" not in text
    assert text.splitlines()[-1].strip() == "line 19"


def test_markup_in_a_models_text_is_only_text() -> None:
    text = drawn(
        ("step.started", CODER),
        ("output.live", {**CODER, "call": "c", "offset": 0, "text": "[red]not red[/red] \x1b[31m"}),
    )

    assert "[red]not red[/red] \\x1b[31m" in text
