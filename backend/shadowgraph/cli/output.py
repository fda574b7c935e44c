"""Results go to stdout, everything else to stderr. Text from elsewhere cannot steer the terminal."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from shadowgraph.cli.problem import Problem
from shadowgraph.core.redaction import printable, redact


@dataclass(frozen=True, slots=True)
class Output:
    as_json: bool = False
    """One JSON object on stdout; stderr holds nothing but a problem, if there is one."""
    quiet: bool = False
    """Results and problems only."""

    @property
    def is_live(self) -> bool:
        """True when somebody watches stderr, so that a table may be drawn anew in place."""
        return sys.stderr.isatty() and not self.as_json and not self.quiet

    def note(self, text: str = "") -> None:
        """Something that the user may want to know; no part of the result."""
        if not self.quiet and not self.as_json:
            _write(sys.stderr, redact(printable(text)))

    def text(self, text: str) -> None:
        """A result for people. To a pipe it goes as it is."""
        _write(sys.stdout, printable(text.replace("\r\n", "\n")) if sys.stdout.isatty() else text)

    def bytes(self, body: bytes) -> None:
        """A document as the server sent it."""
        if sys.stdout.isatty():
            self.text(body.decode(errors="replace").rstrip("\n"))
            return
        sys.stdout.flush()
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()

    def json(self, value: object) -> None:
        """One object: indented on a terminal, one line elsewhere."""
        _write(
            sys.stdout, json.dumps(value, indent=2 if sys.stdout.isatty() else None, ensure_ascii=sys.stdout.isatty())
        )

    def json_line(self, value: object) -> None:
        _write(sys.stdout, json.dumps(value, ensure_ascii=sys.stdout.isatty()))

    def problem(self, problem: Problem) -> None:
        if self.as_json:
            _write(sys.stderr, redact(json.dumps(problem)))
            return
        for line in _describe(problem):
            _write(sys.stderr, redact(printable(line)))


def pick(value: Mapping[str, Any], fields: Sequence[str] | None) -> Mapping[str, Any]:
    """The chosen fields of an object; all of them when none were chosen. An unknown one is null."""
    return value if fields is None else {name: value.get(name) for name in fields}


def _describe(problem: Problem) -> Iterable[str]:
    yield f"error: {problem.get('detail') or problem.get('title')}"
    for error in problem.get("errors") or []:
        yield f"  {error.get('pointer') or ''}: {error.get('detail')}"
    if hint := problem.get("hint"):
        yield f"fix: {hint}"
    if request_id := problem.get("request_id"):
        yield f"request id: {request_id}"


def _write(stream: TextIO, text: str) -> None:
    stream.write(text + "\n")
    stream.flush()
