"""What is wrong with a project, in the words and lines of its author."""

import builtins
import re
import traceback
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from pydantic import ValidationError

from shadowgraph.core.errors import Invalid
from shadowgraph.core.redaction import MASK, redact
from shadowgraph.core.text import sanitise_text

MAX_LINES = 8
MAX_MESSAGE_CHARACTERS = 2_000
_FOREIGN_FOLDERS = {"site-packages", "dist-packages", ".venv", "venv", "node_modules"}
_VARIABLE = re.compile(r"\b[A-Z][A-Z0-9_]*_(?:KEY|TOKEN|SECRET|PASSWORD|URL|ENDPOINT)\b")


class BadProject(Invalid):
    """The project cannot be loaded; the message names the file and the reason.

    `errors`: the author's own lines that led there, outermost first: [{pointer: "file.py:3", detail: the line}].
    """

    code = "bad_project"


def raised_by_author(
    doing: str,
    error: BaseException,
    *,
    roots: Sequence[Path],
    secrets: Sequence[str] = (),
    hint: str | None = None,
) -> BadProject:
    """`doing`: what was tried ("agent.py cannot be imported"). `roots`: the folders whose files are the author's."""
    why = str(error).strip()
    message = f"{doing}: {_name_of(error)}{f': {why}' if why else ''}"
    lines = _author_lines(error, roots)
    return BadProject(
        _clean(message, secrets)[:MAX_MESSAGE_CHARACTERS],
        hint=hint or _hint_of(error),
        errors=[{"pointer": pointer, "detail": _clean(line, secrets)} for pointer, line in lines],
    )


def still_running(message: str, frame: FrameType | None, *, roots: Sequence[Path], hint: str) -> BadProject:
    """For code that does not come to its end. `frame`: where it stands; None when nobody can see it."""
    lines = _lines_of_author(traceback.extract_stack(frame) if frame else (), roots)
    errors = [{"pointer": pointer, "detail": _clean(line, ())} for pointer, line in lines[-MAX_LINES:]]
    return BadProject(message, hint=hint, errors=errors)


def invalid_file(name: str, error: ValidationError) -> BadProject:
    """For a file of settings whose keys or values do not fit. Values are not shown: they may be secrets."""
    errors = [
        {"pointer": ".".join(str(part) for part in item["loc"]) or name, "detail": item["msg"]}
        for item in error.errors(include_input=False, include_context=False, include_url=False)
    ]
    first = errors[0]
    return BadProject(f"{name}: {first['pointer']}: {first['detail']}", errors=errors[:MAX_LINES])


def own_files(path: str, roots: Iterable[Path]) -> Path | None:
    """The path below the author's folders; None for a file of a library."""
    found = Path(path)
    for root in roots:
        if found.is_relative_to(root):
            below = found.relative_to(root)
            return None if _FOREIGN_FOLDERS & set(below.parts) else below
    return None


def _author_lines(error: BaseException, roots: Sequence[Path]) -> list[tuple[str, str]]:
    lines = _lines_of_author(traceback.extract_tb(error.__traceback__), roots)
    if isinstance(error, SyntaxError) and error.filename and (below := own_files(error.filename, roots)):
        lines.append((f"{below.as_posix()}:{error.lineno}", (error.text or "").strip()))
    return lines[-MAX_LINES:]


def _lines_of_author(frames: Iterable[traceback.FrameSummary], roots: Sequence[Path]) -> list[tuple[str, str]]:
    return [
        (f"{below.as_posix()}:{frame.lineno}", frame.line or "")
        for frame in frames
        if (below := own_files(frame.filename, roots))
    ]


def _name_of(error: BaseException) -> str:
    kind = type(error)
    return kind.__name__ if hasattr(builtins, kind.__name__) else f"{kind.__module__}.{kind.__name__}"


def _hint_of(error: BaseException) -> str | None:
    variable = _VARIABLE.search(str(error))
    if variable is None:
        return None
    return f'set {variable[0]} in the environment, or in the file that "env" of langgraph.json names'


def _clean(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, MASK)
    return redact(sanitise_text(text))


def facts_of(error: BadProject) -> Mapping[str, Any]:
    """The error as JSON."""
    return {"message": error.message, "hint": error.hint, "errors": error.facts.get("errors", [])}
