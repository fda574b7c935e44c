"""A report over a CSV file: groups the rows by one column and sums another; the columns are read from the request."""

import re
from dataclasses import dataclass

from shadowgraph.llm.offline.names import identifier, singular, words
from shadowgraph.llm.offline.templates.base import UNIT_TESTS, Program, SourceFile, TemplateEntry, render

_CSV = re.compile(r"\bcsv\b|\bspreadsheet\b")
_REPORT = re.compile(
    r"\b(?:reports?|summar\w+|total\w*|sums?|averag\w+|aggregat\w+|group\w*|statistics|bericht|informe|rapport)\b"
)
_COLUMN = r"(?:the |each |every |their |its |of )*([a-z][\w-]*(?: [a-z][\w-]*)?)"
_GROUP = re.compile(rf"\b(?:grouped by|group by|by|per|for each|for every|nach|pro|por|par) {_COLUMN}")
_VALUE = re.compile(
    rf"\b(?:sums?(?: up)?|totals?(?: up)?|add(?:s|ing)? up|averag(?:e|es|ing)|aggregat(?:e|es|ing)|summari[sz](?:e|es|ing)) {_COLUMN}"
)
_TRAILING = re.compile(
    r" (?:by|per|from|in|of|for|and|with|to|as|using|grouped|file|files|data|report|csv|column|columns|that|which|on|is|into|a|an|the|then|values?)$"
)
_NO_COLUMN = {
    "csv",
    "data",
    "file",
    "report",
    "row",
    "column",
    "value",
    "it",
    "them",
    "all",
    "python",
    "each",
    "default",
    "the",
    "record",
    "a",
    "an",
}
_SAMPLE_GROUPS = {
    "region": ("North", "South", "East", "West"),
    "country": ("Austria", "Brazil", "Canada", "Denmark"),
    "category": ("Books", "Food", "Games", "Tools"),
    "product": ("Chair", "Desk", "Lamp", "Shelf"),
    "department": ("Finance", "Research", "Sales", "Support"),
    "month": ("2026-01", "2026-02", "2026-03", "2026-04"),
    "year": ("2023", "2024", "2025", "2026"),
    "city": ("Graz", "Lima", "Oslo", "Porto"),
    "customer": ("Ada", "Grace", "Linus", "Margaret"),
}
_SAMPLE_VALUES = ("120.50", "80.00", "42.25", "310.00", "99.99", "15.75", "200.00", "60.10")


@dataclass(frozen=True, slots=True)
class Columns:
    group: str
    value: str
    is_guessed: bool
    """True: the request does not name both."""


def match(text: str) -> int:
    return 5 if _CSV.search(text) and _REPORT.search(text) else 0


def build(request: str) -> Program:
    columns = read_columns(request.lower())
    values = {"group": columns.group, "value": columns.value}
    guessed = f"The request does not name both columns, so I chose {columns.group} and {columns.value}; options of the command change them."
    return Program(
        template="csv_report",
        title=f"CSV report: {columns.value} by {columns.group}",
        summary=f"Reads a CSV file, groups its rows by {columns.group} and reports number, total, average, smallest and largest {columns.value} of each group.",
        files=(
            SourceFile(
                "report.py", render(_REPORT_SOURCE, **values), "reads, groups and prints; also writes the report as CSV"
            ),
            SourceFile("sample.csv", _sample(columns), "made-up data to try it with"),
            SourceFile("test_report.py", render(_TESTS, **values), "tests of the sums, of bad data and of the command"),
        ),
        run_command="python3 report.py sample.csv",
        test_command=UNIT_TESTS,
        design=(
            "Amounts are decimals, not floats: cents add up exactly.",
            "The file is read row by row, so a large one does not have to fit into memory.",
            "A cell that is no number stops the report with its line: a silent gap would make every total doubtful.",
            "Reading, summing and printing are separate functions; tests need no files for the first two.",
        ),
        limitations=(guessed,) if columns.is_guessed else (),
    )


def read_columns(text: str) -> Columns:
    group = _first_column(_GROUP, text)
    value = _first_column(_VALUE, text)
    chosen_group = group or "category"
    chosen_value = value if value and value != chosen_group else "amount"
    return Columns(chosen_group, chosen_value, is_guessed=not (group and value))


def _first_column(pattern: re.Pattern[str], text: str) -> str | None:
    for found in pattern.finditer(text):
        phrase = found[1]
        while (shorter := _TRAILING.sub("", phrase)) != phrase:
            phrase = shorter
        name = identifier("_".join(words(phrase)), fallback="").rstrip("_")
        if name and singular(name) not in _NO_COLUMN:
            return name
    return None


def _sample(columns: Columns) -> str:
    groups = _SAMPLE_GROUPS.get(
        columns.group, tuple(f"{columns.group} {letter}".replace("_", " ") for letter in "ABCD")
    )
    rows = (f"2026-01-{day:02},{groups[day % 4]},{value}" for day, value in enumerate(_SAMPLE_VALUES, start=1))
    return "\n".join((f"date,{columns.group},{columns.value}", *rows)) + "\n"


_REPORT_SOURCE = '''
"""Groups the rows of a CSV file and sums a column: `python3 report.py sample.csv`."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

HEADER = ["rows", "total", "average", "smallest", "largest"]


class ReportError(Exception):
    """The file cannot be reported on; the message says which line or column is at fault."""


@dataclass
class Group:
    """What is known of the rows seen so far."""

    name: str
    rows: int = 0
    total: Decimal = Decimal(0)
    smallest: Decimal = Decimal("Infinity")
    largest: Decimal = Decimal("-Infinity")

    def add(self, amount: Decimal) -> None:
        self.rows += 1
        self.total += amount
        self.smallest = min(self.smallest, amount)
        self.largest = max(self.largest, amount)

    @property
    def average(self) -> Decimal:
        return self.total / self.rows

    def cells(self) -> list[str]:
        amounts = (self.total, self.average, self.smallest, self.largest)
        return [self.name, str(self.rows), *(f"{amount:.2f}" for amount in amounts)]


def read_rows(lines: Iterable[str], *, group_by: str, value: str) -> Iterator[tuple[str, Decimal]]:
    """The group and the amount of each row. Raises `ReportError` at the first row that has none."""
    reader = csv.DictReader(lines)
    for column in (group_by, value):
        if column not in (reader.fieldnames or []):
            raise ReportError(f"there is no column {column!r}; columns are {', '.join(reader.fieldnames or []) or 'none'}")
    for row in reader:
        yield (row[group_by] or "(empty)").strip(), parse_amount(row[value], line=reader.line_num)


def parse_amount(text: str | None, *, line: int) -> Decimal:
    try:
        amount = Decimal((text or "").strip().replace(" ", ""))
    except InvalidOperation:
        raise ReportError(f"line {line}: {text!r} is not a number") from None
    if not amount.is_finite():
        raise ReportError(f"line {line}: {text!r} is not a number that can be summed")
    return amount


def summarise(rows: Iterable[tuple[str, Decimal]]) -> list[Group]:
    """One group per name, the largest total first."""
    groups: dict[str, Group] = {}
    for name, amount in rows:
        groups.setdefault(name, Group(name)).add(amount)
    return sorted(groups.values(), key=lambda group: (-group.total, group.name))


def format_table(groups: Sequence[Group], *, group_by: str) -> str:
    rows = [[group_by, *HEADER], *(group.cells() for group in groups)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\\n".join("  ".join(pad(row, widths)) for row in rows)


def pad(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """The first column stands on the left, numbers on the right."""
    yield row[0].ljust(widths[0])
    yield from (cell.rjust(width) for cell, width in zip(row[1:], widths[1:]))


def write_csv(groups: Sequence[Group], path: Path, *, group_by: str) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([group_by, *HEADER])
        writer.writerows(group.cells() for group in groups)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 ok, 1 the data is at fault, 2 wrong usage (argparse)."""
    parser = argparse.ArgumentParser(description="Groups the rows of a CSV file and sums a column.")
    parser.add_argument("file", type=Path)
    parser.add_argument("--group-by", default="$group", help="column whose values make the groups (default: %(default)s)")
    parser.add_argument("--value", default="$value", help="column with the numbers (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="write the report to this CSV file too")
    options = parser.parse_args(arguments)
    try:
        with options.file.open(newline="", encoding="utf-8-sig") as file:
            groups = summarise(read_rows(file, group_by=options.group_by, value=options.value))
        print(format_table(groups, group_by=options.group_by))
        if options.output:
            write_csv(groups, options.output, group_by=options.group_by)
    except (ReportError, OSError, UnicodeDecodeError, csv.Error) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
'''

_TESTS = '''
"""Tests of the report. Run them with: python3 -m unittest -q"""

from __future__ import annotations

import io
import tempfile
import unittest
from contextlib import redirect_stderr, redirect_stdout
from decimal import Decimal
from pathlib import Path

from report import Group, ReportError, format_table, main, read_rows, summarise

DATA = "$group,$value\\nA,1.10\\nB,10\\nA,2.20\\n"


def groups_of(text: str) -> list[Group]:
    return summarise(read_rows(text.splitlines(), group_by="$group", value="$value"))


class SummaryTest(unittest.TestCase):
    def test_rows_are_summed_by_group_and_the_largest_total_comes_first(self) -> None:
        found = [(group.name, group.rows, group.total) for group in groups_of(DATA)]

        self.assertEqual(found, [("B", 1, Decimal("10")), ("A", 2, Decimal("3.30"))])

    def test_average_smallest_and_largest(self) -> None:
        group = groups_of(DATA)[1]

        self.assertEqual((group.average, group.smallest, group.largest), (Decimal("1.65"), Decimal("1.10"), Decimal("2.20")))

    def test_cents_add_up_exactly(self) -> None:
        rows = "\\n".join(["$group,$value", *["A,0.10"] * 1000])

        self.assertEqual(groups_of(rows)[0].total, Decimal("100.00"))

    def test_a_file_without_rows_has_no_groups(self) -> None:
        self.assertEqual(groups_of("$group,$value\\n"), [])

    def test_quoted_cells_may_contain_commas(self) -> None:
        self.assertEqual(groups_of('$group,$value\\n"A, B",2\\n')[0].name, "A, B")


class BadDataTest(unittest.TestCase):
    def test_a_cell_that_is_no_number_is_reported_with_its_line(self) -> None:
        for cell in ("many", "", "NaN", "Infinity"):
            with self.subTest(cell=cell), self.assertRaisesRegex(ReportError, "line 3"):
                groups_of(f"$group,$value\\nA,1\\nB,{cell}\\n")

    def test_a_missing_column_is_named(self) -> None:
        with self.assertRaisesRegex(ReportError, "$value"):
            groups_of("$group,other\\nA,1\\n")

    def test_an_empty_file_is_refused(self) -> None:
        with self.assertRaises(ReportError):
            groups_of("")


class CommandTest(unittest.TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "data.csv").write_text(DATA, encoding="utf-8")

    def run_main(self, *arguments: str) -> tuple[int, str]:
        """Exit status and everything that was printed."""
        output = io.StringIO()
        with redirect_stdout(output), redirect_stderr(output):
            status = main([str(self.folder / "data.csv"), *arguments])
        return status, output.getvalue()

    def test_the_table_is_printed(self) -> None:
        status, printed = self.run_main()

        self.assertEqual(status, 0)
        self.assertEqual(printed, format_table(groups_of(DATA), group_by="$group") + "\\n")

    def test_the_report_can_be_written_as_csv(self) -> None:
        self.run_main("--output", str(self.folder / "out.csv"))

        lines = (self.folder / "out.csv").read_text(encoding="utf-8").splitlines()
        self.assertEqual(lines[1], "B,1,10.00,10.00,10.00,10.00")

    def test_an_unknown_column_is_an_error(self) -> None:
        status, printed = self.run_main("--value", "nothing")

        self.assertEqual(status, 1)
        self.assertIn("nothing", printed)


if __name__ == "__main__":
    unittest.main()
'''

TEMPLATE = TemplateEntry("csv_report", match, build)
