"""Logs go to stderr: one JSON object per line for machines, one plain line per record for people. Both without secrets.

What belongs to a record stands in `extra`: `logger.warning("lease lost", extra={"run_id": run_id})`.
"""

import json
import logging
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal

from shadowgraph.core.redaction import printable, redact

Format = Literal["auto", "plain", "json"]

MAX_MESSAGE_CHARACTERS = 8_000
MAX_VALUE_CHARACTERS = 2_000
_MAX_SCANNED_CHARACTERS = 100_000
"""A longer text is cut before secrets are looked for, so that one huge message cannot hold the process up."""

QUIET_LIBRARIES = (
    "httpx",
    "httpcore",
    "aio_pika",
    "alembic",
    "asyncio",
    "uvicorn",
    "urllib3",
    "primp",
)
"""Libraries that report every request at INFO; they are heard from WARNING on, unless everything was asked for."""

SILENT_LIBRARIES = ("aiormq",)
"""Libraries that report as an error, with a traceback, what our own code reports in a line: a broker that is away."""

_RECORD_START = '{"at": '
_TAB = "\t"
_OWN_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"asctime", "color_message"}
_OWN_KEYS = frozenset({"at", "level", "logger", "message", "error"})

logger = logging.getLogger(__name__)


def configure_logging(level: str, *, log_format: Format = "auto") -> None:
    """Sets up the whole process, its uncaught exceptions included. `auto` is plain on a terminal and JSON elsewhere."""
    handler = StderrHandler()
    handler.setFormatter(_formatter(log_format))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(logging.NOTSET if level == "DEBUG" else logging.WARNING)
    for name in SILENT_LIBRARIES:
        logging.getLogger(name).setLevel(logging.NOTSET if level == "DEBUG" else logging.CRITICAL)
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def _formatter(log_format: Format) -> logging.Formatter:
    if log_format == "auto":
        log_format = "plain" if sys.stderr.isatty() else "json"
    return PlainFormatter() if log_format == "plain" else JsonFormatter()


class StderrHandler(logging.Handler):
    """Writes to what `sys.stderr` is at that moment: a live table on the terminal replaces it while it is shown."""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(OSError, ValueError):  # a closed terminal must not end the work
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()


class JsonFormatter(logging.Formatter):
    """`{"at", "level", "logger", "message", …extra, "error"}` on one line, ASCII only."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": _time_of(record).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": _clean(record.getMessage(), MAX_MESSAGE_CHARACTERS),
            **_facts_of(record),
        }
        if trace := _trace_of(self, record):
            line["error"] = trace
        return json.dumps(line, ensure_ascii=True)


class PlainFormatter(logging.Formatter):
    """`14:02:11 WARNING runs.relay: message key=value`. A traceback follows, each line marked, so that none can pass for a record."""

    def format(self, record: logging.LogRecord) -> str:
        name = record.name.removeprefix("shadowgraph.")
        message = printable(_clean(record.getMessage(), MAX_MESSAGE_CHARACTERS), keep="")
        facts = "".join(f" {key}={printable(str(value), keep='')}" for key, value in _facts_of(record).items())
        line = f"{_time_of(record).astimezone():%H:%M:%S} {record.levelname} {name}: {message}{facts}"
        trace = _trace_of(self, record)
        return "\n  | ".join([line, *(printable(part, keep="\t") for part in trace.splitlines())])


def prefixed(line: str, project: str) -> str:
    """A line of another process of ours, marked with what it belongs to; a JSON record stays one."""
    if line.startswith(_RECORD_START):
        return f'{{"project": {json.dumps(project)}, {line[1:]}'
    return f"[{project}] {printable(line, keep=_TAB)}"


def _time_of(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _clean(text: str, limit: int) -> str:
    clean = redact(text[:_MAX_SCANNED_CHARACTERS])
    return clean if len(clean) <= limit else f"{clean[:limit]}… ({len(text)} characters)"


def _facts_of(record: logging.LogRecord) -> Mapping[str, object]:
    """What the caller put into `extra`."""
    return {
        key: value if isinstance(value, int | float | None) else _clean_value(key, str(value))
        for key, value in vars(record).items()
        if key not in _OWN_ATTRIBUTES and key not in _OWN_KEYS
    }


def _clean_value(key: str, value: str) -> str:
    """Looks at the name too: the value of a `password` looks like any other word."""
    return _clean(f"{key}={value}", MAX_VALUE_CHARACTERS).removeprefix(f"{key}=")


def _trace_of(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    if not record.exc_info:
        return ""
    trace = redact(formatter.formatException(record.exc_info)[-_MAX_SCANNED_CHARACTERS:])
    return trace[-MAX_MESSAGE_CHARACTERS:]  # the end of a long traceback names the error


def _log_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        return
    logger.critical("uncaught %s", kind.__name__, exc_info=(kind, error, trace))


def _log_uncaught_in_thread(failure: threading.ExceptHookArgs) -> None:
    if failure.exc_value is not None:
        trace = (failure.exc_type, failure.exc_value, failure.exc_traceback)
        logger.critical("uncaught %s in a thread", failure.exc_type.__name__, exc_info=trace)
