"""Exit codes. Users script against them."""

from enum import IntEnum

from shadowgraph.core.errors import Kind


class ExitCode(IntEnum):
    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    UNAVAILABLE = 3
    AUTH = 4
    NOT_FOUND = 5
    CONFLICT = 6
    RUN_FAILED = 10
    RUN_CANCELLED = 11
    BUDGET_EXCEEDED = 12
    NEEDS_PERSON = 13
    TIMED_OUT = 124
    INTERRUPTED = 130


MEANINGS: dict[ExitCode, str] = {
    ExitCode.OK: "ok",
    ExitCode.UNEXPECTED: "unexpected error",
    ExitCode.USAGE: "wrong usage, or a request that cannot be processed as sent",
    ExitCode.UNAVAILABLE: "server unreachable, or a prerequisite is missing",
    ExitCode.AUTH: "not allowed",
    ExitCode.NOT_FOUND: "not found",
    ExitCode.CONFLICT: "the state forbids it now",
    ExitCode.RUN_FAILED: "the run FAILED",
    ExitCode.RUN_CANCELLED: "the run was CANCELLED",
    ExitCode.BUDGET_EXCEEDED: "BUDGET_EXCEEDED",
    ExitCode.NEEDS_PERSON: "the run waits for a person: AWAITING_HUMAN or PAUSED",
    ExitCode.TIMED_OUT: "--timeout ran out",
    ExitCode.INTERRUPTED: "Ctrl-C",
}

EPILOG = "\b\nExit codes:\n" + "\n".join(f"  {code.value:>3}  {meaning}" for code, meaning in MEANINGS.items())
"""The mark at its start keeps the help page from joining the lines."""

_OF_RUN = {
    "COMPLETED": ExitCode.OK,
    "FAILED": ExitCode.RUN_FAILED,
    "CANCELLED": ExitCode.RUN_CANCELLED,
    "BUDGET_EXCEEDED": ExitCode.BUDGET_EXCEEDED,
    "AWAITING_HUMAN": ExitCode.NEEDS_PERSON,
    "PAUSED": ExitCode.NEEDS_PERSON,
}

AT_REST = frozenset(_OF_RUN)
"""States in which nothing goes on by itself: whoever waits for the run has an answer."""

_OF_KIND: dict[Kind, ExitCode] = {
    "not_found": ExitCode.NOT_FOUND,
    "conflict": ExitCode.CONFLICT,
    "invalid": ExitCode.USAGE,
    "forbidden": ExitCode.AUTH,
    "over_budget": ExitCode.BUDGET_EXCEEDED,
    "unavailable": ExitCode.UNAVAILABLE,
    "internal": ExitCode.UNEXPECTED,
}


def exit_of_run(status: str) -> ExitCode:
    """For a run at rest."""
    return _OF_RUN.get(status, ExitCode.UNEXPECTED)


def exit_of_kind(kind: Kind) -> ExitCode:
    return _OF_KIND[kind]


def exit_of_http(status: int) -> ExitCode:
    """For the status of a refused request."""
    if status in (401, 403):
        return ExitCode.AUTH
    if status in (404, 410):
        return ExitCode.NOT_FOUND
    if status in (409, 412):
        return ExitCode.CONFLICT
    if status in (408, 429, 502, 503, 504):
        return ExitCode.UNAVAILABLE
    return ExitCode.USAGE if 400 <= status < 500 else ExitCode.UNEXPECTED
