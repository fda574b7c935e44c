"""What to say when a command did not even get as far as its own errors: wrong usage, a broken pipe, a defect of ours."""

import errno
import logging
import os
import sys

import typer

from shadowgraph.cli.exits import ExitCode
from shadowgraph.cli.output import Output
from shadowgraph.cli.problem import CommandFailed, failure, usage
from shadowgraph.core.logging import configure_logging

logger = logging.getLogger(__name__)


def report_error(error: Exception, *, as_json: bool) -> int:
    """The exit code."""
    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        return _reader_is_gone()
    failed = _describe(error)
    Output(as_json=as_json).problem(failed.problem)
    return failed.exit_code


def _describe(error: Exception) -> CommandFailed:
    if isinstance(error, typer.Abort):
        return failure("stopped at a question", code="aborted", exit_code=ExitCode.INTERRUPTED)
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        return usage(error.format_message(), hint=f"{context.command_path if context else 'shadowgraph'} --help")
    return _defect(error)


def _defect(error: Exception) -> CommandFailed:
    configure_logging("INFO", log_format="plain")
    logger.error("this is a defect of Shadowgraph; please report it", exc_info=error)
    return failure(f"{type(error).__name__}: {error}", code="internal", exit_code=ExitCode.UNEXPECTED)


def _reader_is_gone() -> int:
    """`shadowgraph runs list | head -1`: nothing more can be said, and Python must not try to at its exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ExitCode.UNEXPECTED
