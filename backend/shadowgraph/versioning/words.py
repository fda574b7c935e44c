"""Differences between two texts, word by word."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

Change = Literal["same", "added", "removed"]

MAX_WORDS = 20_000
"""A longer text is compared line by line: the time grows with the square."""
_WORD = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class Span:
    change: Change
    text: str


def compare_words(before: str, after: str) -> list[Span]:
    """Spans that make `before` without those added, and `after` without those removed."""
    a, b = _split(before), _split(after)
    if len(a) + len(b) > MAX_WORDS:
        a, b = before.splitlines(keepends=True), after.splitlines(keepends=True)
    return list(_spans(a, b))


def _split(text: str) -> list[str]:
    return _WORD.findall(text)


def _spans(a: Sequence[str], b: Sequence[str]) -> Iterator[Span]:
    for tag, a_start, a_end, b_start, b_end in SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if tag == "equal":
            yield Span("same", "".join(a[a_start:a_end]))
            continue
        if a_end > a_start:
            yield Span("removed", "".join(a[a_start:a_end]))
        if b_end > b_start:
            yield Span("added", "".join(b[b_start:b_end]))
