"""Harmless differences between answers to the same prompt, as a real model has them: other words, another order. Which ones is a pure
function of the seed and of the place in the answer; level 0 changes nothing, whatever the seed."""

import ast
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from shadowgraph.llm.offline.templates.base import SourceFile

Item = TypeVar("Item")

_SYNONYMS = (
    ("keeps", "stores"),
    ("checks", "validates"),
    ("small", "compact"),
    ("shows", "displays"),
    ("creates", "makes"),
    ("because", "since"),
    ("several", "multiple"),
    ("starts", "begins"),
    ("ends", "stops"),
    ("wrong", "invalid"),
    ("refused", "rejected"),
    ("large", "big"),
    ("tests", "test cases"),
    ("changes", "updates"),
    ("simple", "plain"),
    ("Written", "Produced"),
    ("Write", "Create"),
    ("mend", "fix"),
    ("Restate", "Repeat"),
    ("folder", "directory"),
    ("cannot", "can't"),
    ("does not", "doesn't"),
    ("is not", "isn't"),
    ("there is no", "there's no"),
)
_OTHER_WORD = {word: other for pair in _SYNONYMS for word, other in (pair, pair[::-1])}
_SYNONYM = re.compile(r"(?<![\w`./-])(?:" + "|".join(map(re.escape, _OTHER_WORD)) + r")(?![\w`./(-])")


@dataclass(frozen=True, slots=True)
class Noise:
    level: float = 0.0
    """0 none … 1 as much as there is."""
    seed: str = ""

    def prose(self, text: str, place: str) -> str:
        """Other words with the same meaning."""
        if self.level <= 0:
            return text
        draw = self._random(f"prose/{place}")
        return _SYNONYM.sub(lambda found: _OTHER_WORD[found[0]] if draw.random() < self.level else found[0], text)

    def order(self, items: Sequence[Item], place: str) -> tuple[Item, ...]:
        """Neighbours may change places."""
        result = list(items)
        if self.level <= 0:
            return tuple(result)
        draw = self._random(f"order/{place}")
        for index in range(1, len(result)):
            if draw.random() < self.level:
                result[index - 1], result[index] = result[index], result[index - 1]
        return tuple(result)

    def happens(self, share: float, place: str) -> bool:
        """True in about `level * share` of all answers."""
        return self.level > 0 and self._random(f"happens/{place}").random() < self.level * share

    def file(self, file: SourceFile) -> SourceFile:
        """Another wording of what people read in a file, and another order of its tests; the program does the same."""
        if self.level <= 0:
            return file
        if file.path.endswith(".py"):
            return replace(file, content=self._python(file.content, file.path))
        return replace(file, content=self.prose(file.content, file.path)) if file.path.endswith(".md") else file

    def _python(self, source: str, place: str) -> str:
        lines = source.splitlines(keepends=True)
        tree = ast.parse(source)
        for number in sorted(_prose_lines(tree, lines)):
            lines[number] = self.prose(lines[number], f"{place}/{number}")
        for slots in _test_slots(tree):
            lines = self._reorder(lines, slots, place)
        return "".join(lines)

    def _reorder(self, lines: list[str], slots: list[tuple[int, int]], place: str) -> list[str]:
        """Puts the blocks of lines into each other's slots. Slots ascend; the number of lines stays the same."""
        blocks = self.order([lines[start:end] for start, end in slots], f"{place}/{slots[0][0]}")
        result, position = [], 0
        for (start, end), block in zip(slots, blocks, strict=True):
            result += [*lines[position:start], *block]
            position = end
        return [*result, *lines[position:]]

    def _random(self, place: str) -> random.Random:
        return random.Random(f"{self.seed}/{place}")


def _prose_lines(tree: ast.Module, lines: Sequence[str]) -> set[int]:
    """Line indexes of docstrings and of comments that have a line of their own."""
    docs = (node for node in ast.walk(tree) if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant))
    numbers = {number - 1 for node in docs for number in range(node.lineno, (node.end_lineno or node.lineno) + 1)}
    return numbers | {number for number, line in enumerate(lines) if line.lstrip().startswith("# ")}


def _test_slots(tree: ast.Module) -> list[list[tuple[int, int]]]:
    """Of each class: where its test methods stand, as line ranges."""
    classes = (node for node in tree.body if isinstance(node, ast.ClassDef))
    slots = [
        [
            (method.lineno - 1, method.end_lineno or method.lineno)
            for method in node.body
            if isinstance(method, ast.FunctionDef) and method.name.startswith("test_")
        ]
        for node in classes
    ]
    return [found for found in slots if len(found) > 1]
