"""A text that matches a regular expression, for the patterns that schemas use: literals, classes, groups, repetitions."""

import re
from dataclasses import dataclass, field

_CLASSES = {"d": "0", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a"}
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
MAX_REPEATS = 64


class _TooHard(Exception):
    """Lookarounds, backreferences and the like."""


def text_for_pattern(pattern: str) -> str | None:
    """The first simple text that matches; None when the pattern is too hard."""
    try:
        text = _Reader(pattern).read_all()
        return text if re.search(pattern, text) else None
    except (_TooHard, re.error, IndexError, RecursionError):
        return None


@dataclass(slots=True)
class _Reader:
    pattern: str
    position: int = field(default=0)

    def read_all(self) -> str:
        text = self._alternatives()
        if self.position < len(self.pattern):
            raise _TooHard
        return text

    def _alternatives(self) -> str:
        """The first alternative; the others are read past."""
        first = self._sequence()
        while self._peek() == "|":
            self.position += 1
            self._sequence()
        return first

    def _sequence(self) -> str:
        parts = []
        while self._peek() not in {"", "|", ")"}:
            atom = self._atom()
            parts.append(atom * self._repeats())
        return "".join(parts)

    def _atom(self) -> str:
        char = self._take()
        if char in "^$":
            return ""
        if char == ".":
            return "a"
        if char == "(":
            return self._group()
        if char == "[":
            return self._set()
        return self._escaped(self._take()) if char == "\\" else char

    def _group(self) -> str:
        if self._peek() == "?":
            opening = re.match(r"\?(?::|P<\w+>)", self.pattern[self.position :])
            if not opening:
                raise _TooHard
            self.position += opening.end()
        text = self._alternatives()
        if self._take() != ")":
            raise _TooHard
        return text

    def _set(self) -> str:
        end = self.pattern.index("]", self.position + 1) if "]" in self.pattern[self.position + 1 :] else -1
        if end < 0:
            raise _TooHard
        while self.pattern[end - 1] == "\\":
            end = self.pattern.index("]", end + 1)
        inside, self.position = self.pattern[self.position : end], end + 1
        matcher = re.compile(f"[{inside}]")
        return next((char for char in "a0A-_ .xyz19Z/:@#" if matcher.match(char)), None) or self._first_of(matcher)

    @staticmethod
    def _first_of(matcher: re.Pattern[str]) -> str:
        found = next((chr(code) for code in range(32, 0x3100) if matcher.match(chr(code))), None)
        if found is None:
            raise _TooHard
        return found

    def _escaped(self, char: str) -> str:
        if char.isdigit():
            raise _TooHard
        return "" if char in "bBAZ" else _CLASSES.get(char) or _ESCAPES.get(char) or char

    def _repeats(self) -> int:
        found = re.match(r"([*+?]|\{(\d*)(?:,\d*)?\})[?+]?", self.pattern[self.position :])
        if not found:
            return 1
        self.position += found.end()
        if found[1] in {"*", "?"}:
            return 0
        return 1 if found[1] == "+" else min(int(found[2] or 0), MAX_REPEATS)

    def _peek(self) -> str:
        return self.pattern[self.position : self.position + 1]

    def _take(self) -> str:
        char = self.pattern[self.position]
        self.position += 1
        return char
