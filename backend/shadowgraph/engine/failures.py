"""Exceptions of a graph as the run's own error."""

import traceback
from types import TracebackType
from typing import Any

from shadowgraph.core.errors import ShadowgraphError
from shadowgraph.core.text import sanitise_text
from shadowgraph.engine.values import to_json

MAX_MESSAGE_CHARACTERS = 2_000
MAX_FRAMES = 5
_NOT_THE_AUTHORS = (
    "site-packages",
    "/shadowgraph/authoring/",
    "/shadowgraph/core/",
    "/shadowgraph/engine/",
    "/shadowgraph/llm/",
    "/shadowgraph/tools/",
    "/shadowgraph/worker/",
    "/lib/python",
)


def describe_failure(error: BaseException) -> dict[str, Any]:
    """{code, message, kind, retryable, exception, where}: ours keep their code, foreign exceptions are `node_failed`.

    `where`: the author's own lines, innermost last, as `file:line in function`.
    """
    described: dict[str, Any] = {
        "code": "node_failed",
        "message": sanitise_text(str(error) or type(error).__name__)[:MAX_MESSAGE_CHARACTERS],
        "kind": "permanent",
        "retryable": False,
        "exception": type(error).__name__,
        "where": _author_lines(error.__traceback__),
    }
    if isinstance(error, ShadowgraphError):
        kind = "infrastructure" if error.retryable else "permanent"
        described |= {"code": error.code, "kind": kind, "retryable": error.retryable, "hint": error.hint}
        described |= {key: to_json(value) for key, value in error.facts.items()}
    return {key: value for key, value in described.items() if value not in (None, [])}


def _author_lines(trace: TracebackType | None) -> list[str]:
    frames = [
        f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} in {frame.name}"
        for frame in traceback.extract_tb(trace)
        if not any(part in frame.filename for part in _NOT_THE_AUTHORS)
    ]
    return frames[-MAX_FRAMES:]
