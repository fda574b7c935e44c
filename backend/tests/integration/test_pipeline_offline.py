"""The built-in pipeline as an author would try it: outside any run, with the offline model and the real tools."""

import pytest

from shadowgraph.agents.graph import graph
from shadowgraph.tools.sandbox import sandbox_status
from shadowgraph.wiring.standalone import standalone_ports
from tests.support.requirements import skip_or_fail


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("Build a snake game", "game.py"),
        ("Build a REST API for managing books with title, author and year", "store.py"),
    ],
)
async def test_a_program_is_written_and_its_tests_pass(query: str, path: str) -> None:
    status = await sandbox_status()
    if not status.available:
        skip_or_fail(f"no sandbox: {status.reason} ({status.fix})")

    result = await graph.ainvoke({"query": query})

    assert result["checks"]["status"] == "passed"
    assert f"- tests: {result['checks']['tests']} passed" in result["answer"]
    assert path in standalone_ports().artifacts


async def test_a_request_that_no_template_fits_is_not_called_done() -> None:
    result = await graph.ainvoke({"query": "Write a quantum chess engine in Haskell"})

    assert result["checks"]["status"] in ("failed", "not_run")
    assert "Not done" in result["answer"]


async def test_small_talk_gets_an_answer_and_no_files() -> None:
    result = await graph.ainvoke({"query": "Hello, who are you?"})

    assert result["files"] == []
    assert "rule-based" in result["answer"]
