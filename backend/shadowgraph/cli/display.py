"""Shows a run while it goes on: a table drawn in place on a terminal, else one line per change, or one JSON object per event."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from shadowgraph.cli.events import RunEvent
from shadowgraph.cli.output import Output
from shadowgraph.cli.progress import RunProgress, StepProgress, describe
from shadowgraph.core.clock import Clock, SystemClock
from shadowgraph.core.redaction import printable

REFRESHES_PER_SECOND = 8
LIVE_LINES = 8
"""How many of the last lines of the answer that is being written stand below the table."""

LASTING_EVENTS = frozenset({"note", "artifact.created", "run.parked", "run.taken_over", "call.failed", "step.failed"})
"""What has no place in the table and stays above it."""

_COLOURS = {
    "running": "cyan", "finished": "green", "failed": "red", "lost": "red",
    "RUNNING": "cyan", "COMPLETED": "green", "FAILED": "red", "CANCELLED": "yellow",
}  # fmt: skip


class Display(Protocol):
    def show(self, event: RunEvent) -> None: ...


class Silent:
    def show(self, event: RunEvent) -> None: ...


class JsonLines:
    """Every event as one object on stdout."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def show(self, event: RunEvent) -> None:
        self._output.json_line(event.wire)


class Lines:
    """One line per change on stderr."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._progress = RunProgress()

    def show(self, event: RunEvent) -> None:
        self._progress.apply(event)
        if line := describe(event, self._progress):
            self._output.note(f"  {printable(line, keep='')}")


class LiveTable:
    """Steps with state, attempt, tokens and seconds, and the text as it is written, on stderr."""

    def __init__(self, run_id: str, *, clock: Clock) -> None:
        self._progress = RunProgress()
        self._run_id = run_id
        self._clock = clock
        console = Console(stderr=True, highlight=False)
        self._live = Live(console=console, refresh_per_second=REFRESHES_PER_SECOND, get_renderable=self._render)

    def show(self, event: RunEvent) -> None:
        self._progress.apply(event)
        if event.type in LASTING_EVENTS:
            self._live.console.print(Text(f"  {printable(describe(event, self._progress), keep='')}", style="dim"))

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def _render(self) -> RenderableType:
        return render(self._progress, run_id=self._run_id, clock=self._clock)


def render(progress: RunProgress, *, run_id: str, clock: Clock) -> RenderableType:
    head = Text.assemble(f"{run_id}  ", _coloured(progress.status), f"  {progress.reason}")
    steps = list(progress.steps.values())  # it is drawn in a thread of its own
    tail = [line for line in progress.text.splitlines() if line.strip()][-LIVE_LINES:]
    text = Text(printable("\n".join(tail)), style="dim", no_wrap=True, overflow="ellipsis")
    return Group(head, *([_table(steps, clock=clock)] if steps else []), *([text] if tail else []))


def _table(steps: Sequence[StepProgress], *, clock: Clock) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("step", "state", "attempt", "tokens", "seconds", ""):
        table.add_column(column, justify="right" if column in ("attempt", "tokens", "seconds") else "left")
    for step in steps:
        table.add_row(*_row(step, clock=clock))
    return table


def _row(step: StepProgress, *, clock: Clock) -> list[Text | str]:
    seconds = step.seconds(clock.now())
    return [
        Text(printable(step.node, keep="")),
        _coloured(step.state),
        str(step.attempt),
        f"{step.tokens:,}" if step.tokens else "",
        f"{seconds:.1f}" if seconds is not None else "",
        Text(printable(step.doing, keep=""), style="yellow"),
    ]


def _coloured(state: str) -> Text:
    return Text(state, style=_COLOURS.get(state, ""))


@contextmanager
def open_display(output: Output, run_id: str, *, as_json_lines: bool = False) -> Iterator[Display]:
    """The display that fits the flags and the terminal."""
    if as_json_lines:
        yield JsonLines(output)
    elif output.as_json or output.quiet:
        yield Silent()
    elif output.is_live:
        with LiveTable(run_id, clock=SystemClock()) as table:
            yield table
    else:
        yield Lines(output)
