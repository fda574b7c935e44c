"""What all commands have in common: their shared flags, and how they end."""

import asyncio
import inspect
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import typer

from shadowgraph.cli.exits import ExitCode
from shadowgraph.cli.output import Output
from shadowgraph.cli.problem import CommandFailed, failure, failure_of
from shadowgraph.core.errors import ShadowgraphError
from shadowgraph.core.settings import Loaded, load_settings

SHARED_PANEL = "Options of every command"


@dataclass(frozen=True, slots=True)
class Cli:
    """One call of one command: the flags that all commands share."""

    output: Output
    profile: str | None = None
    assume_yes: bool = False
    no_input: bool = False

    def load(self, **flags: Any) -> Loaded:
        """`flags` win over every other source."""
        return load_settings(profile=self.profile, **flags)

    def load_aloud(self, **flags: Any) -> Loaded:
        """The same, and says what is odd about them."""
        loaded = self.load(**flags)
        for warning in loaded.warnings:
            self.output.note(f"warning: {warning}")
        return loaded

    def require_consent(self, question: str, *, why: str) -> None:
        """Asks on a terminal; elsewhere only `--yes` is consent.

        Errors: `CommandFailed` with `why`, the sentence that says what stands in the way.
        """
        if self.assume_yes:
            return
        if self.may_ask() and typer.confirm(question, err=True):
            return
        raise failure(why, code="consent_needed", exit_code=ExitCode.CONFLICT, hint="--yes does it without asking")

    def may_ask(self) -> bool:
        """A person sits at the terminal, and wants to be asked."""
        return not self.no_input and not self.output.as_json and sys.stdin.isatty() and sys.stderr.isatty()


Body = TypeVar("Body", bound=Callable[..., ExitCode | Awaitable[ExitCode | None] | None])

_SHARED: dict[str, Any] = {
    "as_json": Annotated[
        bool,
        typer.Option(
            "--json", help="One JSON object on stdout; problems as JSON on stderr.", rich_help_panel=SHARED_PANEL
        ),
    ],
    "quiet": Annotated[
        bool, typer.Option("--quiet", "-q", help="Results and problems only.", rich_help_panel=SHARED_PANEL)
    ],
    "assume_yes": Annotated[
        bool, typer.Option("--yes", "-y", help="Answer every question with yes.", rich_help_panel=SHARED_PANEL)
    ],
    "no_input": Annotated[
        bool,
        typer.Option(
            "--no-input", help="Never ask; without a terminal nothing is asked.", rich_help_panel=SHARED_PANEL
        ),
    ],
    "profile": Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Profile of ~/.config/shadowgraph/config.toml.", rich_help_panel=SHARED_PANEL
        ),
    ],
}
_DEFAULTS: dict[str, Any] = {"profile": None}


def command(app: typer.Typer, name: str | None = None) -> Callable[[Body], Body]:
    """Registers a function `(cli, …)`, async or not, as a command with the shared flags. It may return an exit code."""

    def register(body: Body) -> Body:
        app.command(name or body.__name__.replace("_", "-"), help=inspect.getdoc(body))(_with_shared_flags(body))
        return body

    return register


def _with_shared_flags(body: Callable[..., Any]) -> Callable[..., None]:
    def run(**given: Any) -> None:
        cli = Cli(
            Output(as_json=given.pop("as_json"), quiet=given.pop("quiet")),
            profile=given.pop("profile"),
            assume_yes=given.pop("assume_yes"),
            no_input=given.pop("no_input"),
        )
        raise typer.Exit(_end(cli, lambda: body(cli, **given)))

    own = list(inspect.signature(body).parameters.values())[1:]
    shared = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=_DEFAULTS.get(name, False), annotation=annotation
        )
        for name, annotation in _SHARED.items()
    ]
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own] + shared
    # typer reads the signature and the annotations apart
    vars(run)["__signature__"] = inspect.Signature(parameters)
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _end(cli: Cli, call: Callable[[], Any]) -> ExitCode:
    try:
        result = call()
        code = asyncio.run(result) if inspect.iscoroutine(result) else result
    except CommandFailed as failed:
        return _tell(cli, failed)
    except ShadowgraphError as error:
        return _tell(cli, failure_of(error))
    return code if isinstance(code, ExitCode) else ExitCode.OK


def _tell(cli: Cli, failed: CommandFailed) -> ExitCode:
    cli.output.problem(failed.problem)
    return failed.exit_code
