"""The matrix as a table at the end of a run with --chaos: green or red.

A plugin of its own: of several processes it is needed in the first, which collects nothing and so never loads the conftest beside it.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import pytest

from tests.chaos.figures import PROPERTY
from tests.chaos.matrix import ROWS, Row, row_of


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [
        report for name in ("passed", "failed", "error", "skipped") for report in terminalreporter.getreports(name)
    ]
    terminalreporter.section("fault matrix")
    for line in lines_of(reports):
        terminalreporter.write_line(line)


def lines_of(reports: Sequence[pytest.TestReport]) -> Iterator[str]:
    by_row: defaultdict[int, list[pytest.TestReport]] = defaultdict(list)
    for report in reports:
        if (number := row_of(report.nodeid)) is not None:
            by_row[number].append(report)
    for row in ROWS:
        yield _line(row, by_row[row.number])
    yield from sorted({str(value) for report in reports for name, value in report.user_properties if name == PROPERTY})


def _line(row: Row, reports: Sequence[pytest.TestReport]) -> str:
    tests = len({report.nodeid for report in reports})
    seconds = sum(report.duration for report in reports)
    return f"{row.name:>4}  {_colour(reports):<11}  {tests:>3} tests {seconds:>6.1f} s  {row.fault}"


def _colour(reports: Sequence[pytest.TestReport]) -> str:
    if any(report.failed for report in reports):
        return "RED"
    if any(report.skipped for report in reports):
        return "skipped"
    return "green" if any(report.passed and report.when == "call" for report in reports) else "not run"
