"""The tree of commands. A command's module is imported when it is called, so that `--help` answers at once."""

import logging
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from shadowgraph.cli import lazy
from shadowgraph.cli.exits import EPILOG, ExitCode
from shadowgraph.cli.groups import show_help

COMMANDS = {
    "demo": "Run the five agents once, without any key.",
    "up": "Start API and worker on this machine.",
    "run": "Start a run, watch it, print its result.",
    "runs": "List, watch, steer, compare and download runs.",
    "approvals": "Answer the questions of runs that wait for a person.",
    "threads": "List, show and delete conversations.",
    "costs": "Sum up what calls cost.",
    "budgets": "List, set and remove budgets.",
    "prices": "List, set and remove prices of models.",
    "new": "Write a small project to begin with.",
    "projects": "List what the workers serve; check a project of your own.",
    "versions": "Deploy, compare, promote and roll back versions.",
    "routes": "Show, change and try which models answer.",
    "request": "Send one raw request to the server.",
    "doctor": "Check what Shadowgraph needs, and say how to mend it.",
    "config": "Show settings and where they come from.",
    "migrate": "Bring the database to this version's schema.",
    "gc": "Remove what is past its age.",
    "api": "Start the API alone (PostgreSQL).",
    "worker": "Start one more worker (PostgreSQL).",
    "offline-server": "Serve the offline model over HTTP, as Groq's API.",
}

HELP = """Runs LangGraph graphs as durable jobs.

\b
Examples:
  shadowgraph demo
  shadowgraph run "Build a snake game" --out snake
"""

logger = logging.getLogger(__name__)


class LazyGroup(TyperGroup):
    """Its commands are names with one line of help, until one is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, found, rest = super().resolve_command(ctx, args)
        return (name, lazy.load_command(name), rest) if name and found else (name, found, rest)


def build_app() -> typer.Typer:
    app = typer.Typer(
        cls=LazyGroup,
        name="shadowgraph",
        help=HELP,
        epilog=EPILOG,
        invoke_without_command=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        pretty_exceptions_show_locals=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(show_help)
    for name, line in COMMANDS.items():
        app.command(name, help=line)(_nothing)
    return app


def _nothing() -> None: ...


def run(arguments: Sequence[str]) -> int:
    """The exit code."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a text stream of the interpreter
    try:
        code = build_app()(args=list(arguments), prog_name="shadowgraph", standalone_mode=False)
    except Exception as error:  # noqa: BLE001  the outermost loop of a command
        return lazy.report(error, as_json="--json" in arguments)
    return code if isinstance(code, int) else ExitCode.OK
