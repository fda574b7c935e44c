"""Lists on stdout: columns for people, JSON for programs."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from shutil import get_terminal_size
from typing import Any

from shadowgraph.cli.output import Output, pick
from shadowgraph.core.redaction import printable

GAP = "  "
MIN_CUT_WIDTH = 10


Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    value: Callable[[Json], str]
    is_number: bool = False
    may_be_cut: bool = False
    """On a terminal, to keep a line a line. Only the last column can be."""


def print_table(
    output: Output,
    page: Json,
    columns: Sequence[Column],
    *,
    fields: Sequence[str] | None = None,
    as_json_lines: bool = False,
) -> None:
    """`page` is the API's list: `{"items", "next_cursor"}`. `fields` of items are values between tabs, for scripts."""
    items = page["items"]
    if as_json_lines:
        for item in items:
            output.json_line(pick(item, fields))
    elif output.as_json:
        output.json({"items": [pick(item, fields) for item in items], "next_cursor": page["next_cursor"]})
    elif fields is not None:
        for item in items:
            output.text("\t".join(_plain(item.get(name)) for name in fields))
    elif items:
        for line in lay_out(items, columns, width=get_terminal_size().columns if sys.stdout.isatty() else None):
            output.text(line)
    else:
        output.note("nothing found")


def lay_out(items: Sequence[Json], columns: Sequence[Column], *, width: int | None) -> list[str]:
    """A head line and one line per item. `width` None: nothing is cut."""
    rows = [[column.title for column in columns]]
    rows += [[printable(column.value(item), keep="") for column in columns] for item in items]
    widths = [max(len(row[at]) for row in rows) for at in range(len(columns))]
    if width is not None and columns[-1].may_be_cut:
        taken = sum(widths[:-1]) + len(GAP) * (len(columns) - 1)
        widths[-1] = max(MIN_CUT_WIDTH, min(widths[-1], width - taken))
    return [GAP.join(_cells(row, columns, widths)).rstrip() for row in rows]


def _cells(row: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> list[str]:
    return [
        _cut(text, size).rjust(size) if column.is_number else _cut(text, size).ljust(size)
        for text, column, size in zip(row, columns, widths, strict=True)
    ]


def _cut(text: str, size: int) -> str:
    return text if len(text) <= size else text[: size - 1] + "…"


def _plain(value: object) -> str:
    if value is None:
        return ""
    return printable(value if isinstance(value, str) else str(value), keep="")
