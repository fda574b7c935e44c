"""What went wrong, in the shape of the API's problem documents (RFC 9457), with the exit code that it leads to."""

from collections.abc import Mapping
from typing import Any

from shadowgraph.cli.exits import ExitCode, exit_of_kind
from shadowgraph.core.errors import ShadowgraphError

Problem = Mapping[str, Any]


class CommandFailed(Exception):
    """Ends a command: the problem goes to stderr, and stdout stays empty."""

    def __init__(self, problem: Problem, exit_code: ExitCode) -> None:
        super().__init__(problem.get("detail"))
        self.problem = problem
        self.exit_code = exit_code


def failure(
    detail: str, *, code: str, exit_code: ExitCode, hint: str | None = None, retryable: bool = False, **facts: Any
) -> CommandFailed:
    """A failure that this side found out itself; `code` is stable snake_case."""
    title = code.replace("_", " ").capitalize()
    problem = {"type": "about:blank", "title": title, "detail": detail, "code": code, "retryable": retryable, **facts}
    return CommandFailed({**problem, **({"hint": hint} if hint else {})}, exit_code)


def usage(detail: str, *, hint: str | None = None) -> CommandFailed:
    return failure(detail, code="usage", exit_code=ExitCode.USAGE, hint=hint)


def failure_of(error: ShadowgraphError, *, exit_code: ExitCode | None = None) -> CommandFailed:
    facts = {key: value for key, value in error.facts.items() if isinstance(value, str | int | float | list | None)}
    return failure(
        error.message,
        code=error.code,
        exit_code=exit_code or exit_of_kind(error.kind),
        hint=error.hint,
        retryable=error.retryable,
        **facts,
    )
