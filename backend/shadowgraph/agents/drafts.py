"""The coder's files as they come out of its answers."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from shadowgraph import tool
from shadowgraph.agents.state import FileSummary, RefusedFile

MAX_SUMMARY_CHARACTERS = 160


@dataclass(frozen=True, slots=True)
class File:
    path: str
    language: str
    body: str

    @property
    def is_python(self) -> bool:
        return self.path.endswith(".py")

    def summarise(self) -> FileSummary:
        return FileSummary(
            path=self.path,
            language=self.language,
            size_bytes=len(self.body.encode()),
            summary=_first_words(self),
        )


@dataclass(frozen=True, slots=True)
class Draft:
    """Files by path, and the names that could not become files."""

    files: Mapping[str, File]
    refused: tuple[RefusedFile, ...]
    unnamed: int = 0
    """Code blocks that carried no path."""

    def changed_by(self, later: "Draft") -> "Draft":
        """A repaired file replaces the earlier one; what was refused and came right afterwards is no longer refused."""
        files = {**self.files, **later.files}
        refused = {refusal["path"]: refusal for refusal in (*self.refused, *later.refused)}
        return Draft(files, tuple(refusal for path, refusal in refused.items() if path not in files))


async def read_draft(answer: str) -> Draft:
    parsed: dict[str, Any] = await tool("parse_files").ainvoke({"text": answer})
    return Draft(
        files={item["path"]: File(**item) for item in parsed["files"]},
        refused=tuple(RefusedFile(path=item["path"], reason=item["reason"]) for item in parsed["refused"]),
        unnamed=parsed["unnamed"],
    )


def _first_words(file: File) -> str:
    """A Python module's docstring, else the first line that says something; empty when there is none."""
    text = _docstring(file.body) if file.is_python else file.body
    lines = (line.strip(" #/*<>!-\t\"'") for line in text.splitlines())
    return next(filter(None, lines), "")[:MAX_SUMMARY_CHARACTERS]


def _docstring(source: str) -> str:
    try:
        return ast.get_docstring(ast.parse(source)) or ""
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ""
