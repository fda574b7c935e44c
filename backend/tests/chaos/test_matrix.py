"""The table says the truth about the tests that there are."""

import ast
from pathlib import Path

from tests.chaos.matrix import ROWS, row_of

HERE = Path(__file__).parent


def rows_with_tests() -> set[int]:
    names = [
        node.name
        for path in HERE.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return {number for name in names if (number := row_of(f"::{name}")) is not None}


def test_every_row_has_tests() -> None:
    assert [row.number for row in ROWS] == list(range(1, 34))
    assert rows_with_tests() == {row.number for row in ROWS}
