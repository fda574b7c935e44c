"""Finds the fenced code blocks of a model's answer, and the file name that each one goes by. Pure; takes any text."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_FENCE = re.compile(r" {0,3}(?P<mark>`{3,}|~{3,})[ \t]*(?P<info>.*)\Z")
_INFO_ATTRIBUTE = re.compile(r"\b(?:path|file|filename|title)\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s\"'}]+))", re.I)
_INFO_COLON = re.compile(r"[\w+#.\-]*:(?P<path>\S.*)\Z")
_LANGUAGE = re.compile(r"[\w+#\-]+")
_LABEL = re.compile(r"(?:file ?name|file ?path|file|path)\s*:\s*(?P<path>.+)\Z", re.I)
_COMMENT = re.compile(r"\s*(?:#|//|--|;|%|<!--|/\*)+\s*(?P<text>.*?)\s*(?:-->|\*/)?\s*\Z")
_LOOKS_LIKE_PATH = re.compile(r"(?:[\w.@\-]+[/\\])*(?:[\w@\-][\w.@\-]*\.[A-Za-z]\w{0,9}|Dockerfile|Makefile|LICENSE)\Z")
_DECORATION = "#*_`\"'>:-+ \t"
_DECORATION_IN_FRONT = re.compile(r"\A\s*(?:#{1,6}\s+|[-*+]\s+|>\s*|\d{1,3}[.)]\s+)*")
_MAX_NAME_LINE = 500
_MARKDOWN = {"md", "markdown", "mdx", "rst", "text", "txt"}


@dataclass(frozen=True, slots=True)
class CodeBlock:
    language: str
    path: str | None
    """As the model wrote it, unchecked; None for an example without a name."""
    body: str
    complete: bool
    """False: the answer ended, or the next file began, before the block was closed."""


@dataclass(frozen=True, slots=True)
class _Fence:
    mark: str
    info: str

    def closes(self, opening: "_Fence") -> bool:
        return not self.info and self._is_as_long_as(opening)

    def opens_inside(self, outer: "_Fence") -> bool:
        return bool(self.info) and self._is_as_long_as(outer)

    def _is_as_long_as(self, other: "_Fence") -> bool:
        return self.mark[0] == other.mark[0] and len(self.mark) >= len(other.mark)


def find_code_blocks(text: str) -> Iterator[CodeBlock]:
    """In order. A name may stand in the fence's info line, on the line above, or in a comment on the first line."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    at, name_above = 0, None
    while at < len(lines):
        opening = _fence(lines[at])
        if opening is None:
            if lines[at].strip():
                name_above = _name_in_line(lines[at])
            at += 1
            continue
        end, complete = _end_of_block(lines, at + 1, opening)
        body = lines[at + 1 : end]
        path = name_in_info(opening.info) or name_above or _name_in_comment(body)
        yield CodeBlock(_language(opening.info), path, "".join(f"{line}\n" for line in body), complete)
        at, name_above = end + 1 if complete else end, None


def _end_of_block(lines: Sequence[str], start: int, opening: _Fence) -> tuple[int, bool]:
    """Index of the closing fence and True, or of the first line that cannot belong to the block any more and False.

    Models nest fences of the same length: one that carries a language opens an inner block, except when it names a file of its own.
    """
    is_markdown = _language(opening.info).lower() in _MARKDOWN
    depth = 0
    for at in range(start, len(lines)):
        fence = _fence(lines[at])
        if fence is None:
            continue
        if fence.opens_inside(opening):
            if name_in_info(fence.info) and not is_markdown:
                return at, False
            depth += 1
        elif fence.closes(opening):
            if depth == 0:
                return at, True
            depth -= 1
    return len(lines), False


def _fence(line: str) -> _Fence | None:
    match = _FENCE.match(line)
    if match is None or (match["mark"][0] == "`" and "`" in match["info"]):
        return None
    return _Fence(match["mark"], match["info"].strip())


def name_in_info(info: str) -> str | None:
    """```` ```python:app/main.py ````, ```` ```python path="app/main.py" ````, ```` ```python app/main.py ````, ```` ```app/main.py ````."""
    if attribute := _INFO_ATTRIBUTE.search(info):
        return next(filter(None, attribute.groups()), None)
    words = info.split()
    if words and (colon := _INFO_COLON.match(words[0])):
        return colon["path"]
    return next((word for word in words[:2] if _LOOKS_LIKE_PATH.match(word)), None)


def _name_in_line(line: str) -> str | None:
    """`File: app/main.py`, `### app/main.py`, `**app/main.py**`, each with or without back-ticks."""
    if len(line) > _MAX_NAME_LINE:
        return None
    text = _DECORATION_IN_FRONT.sub("", line).strip(_DECORATION)
    if label := _LABEL.match(text):
        return label["path"].strip(_DECORATION) or None
    return text if _LOOKS_LIKE_PATH.match(text) else None


def _name_in_comment(body: Sequence[str]) -> str | None:
    comment = _COMMENT.match(body[0]) if body and len(body[0]) <= _MAX_NAME_LINE else None
    return _name_in_line(comment["text"]) if comment else None


def _language(info: str) -> str:
    match = _LANGUAGE.match(info)
    return match.group() if match else ""
