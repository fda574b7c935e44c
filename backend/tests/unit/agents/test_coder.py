from collections.abc import Mapping
from typing import Any

import pytest

from shadowgraph.agents.nodes.coder import NoFiles, coder
from shadowgraph.agents.state import PipelineState
from tests.support.ports import TestPorts, ports_in_place
from tests.unit.agents.team import (
    FAILED,
    FILES,
    NOTES,
    PASSED,
    PLAN,
    PROGRAM,
    VALIDATION,
    ScriptedSandbox,
    block,
    build_ports,
)


async def _code(ports: TestPorts, **plan: object) -> Mapping[str, Any]:
    state: PipelineState = {
        "query": "Build f",
        "notes": dict(NOTES),
        "plan": {**PLAN, **plan},
        "validation": dict(VALIDATION),
    }
    with ports_in_place(ports):
        return await coder(state)


async def test_files_become_artifacts_and_the_state_holds_summaries_only() -> None:
    ports = build_ports({"coder": FILES})

    written = await _code(ports)

    assert set(ports.artifacts) == {"app.py", "test_app.py"}
    assert ports.artifacts["app.py"].startswith(b'"""Gives one."""')
    assert written["files"][0] == {"path": "app.py", "language": "python", "size_bytes": 41, "summary": "Gives one."}
    assert "def f" not in str(written)


async def test_tests_that_pass_are_counted() -> None:
    written = await _code(build_ports({"coder": FILES}, sandbox=ScriptedSandbox(PASSED)))

    assert written["checks"] == {"status": "passed", "tests": 3, "summary": "tests: 3 passed", "output": ""}


async def test_all_files_go_into_the_sandbox() -> None:
    sandbox = ScriptedSandbox(PASSED)

    await _code(build_ports({"coder": FILES + block("data.csv", "a,b", language="csv")}, sandbox=sandbox))

    assert set(sandbox.files[0]) == {"app.py", "test_app.py", "data.csv"}


async def test_failing_tests_are_repaired_once_and_the_files_are_merged() -> None:
    mended = block("app.py", "def f():\n    return 2")
    ports = build_ports({"coder": [FILES, mended]}, sandbox=ScriptedSandbox(FAILED, PASSED))

    written = await _code(ports)

    assert written["checks"]["status"] == "passed"
    assert set(ports.artifacts) == {"app.py", "test_app.py"}
    assert b"return 2" in ports.artifacts["app.py"]
    assert "AssertionError: 2 != 1" in ports.models.asked("coder")[1]


async def test_tests_that_fail_again_are_reported_and_not_repaired_for_ever() -> None:
    ports = build_ports({"coder": FILES}, sandbox=ScriptedSandbox(FAILED))

    written = await _code(ports)

    assert (written["checks"]["status"], written["checks"]["summary"]) == ("failed", "tests: 1 of 3 failed")
    assert len(ports.models.requests) == 2
    assert ports.artifacts


async def test_without_a_sandbox_the_files_are_kept_and_the_tests_are_not_run() -> None:
    ports = build_ports({"coder": FILES}, sandbox=ScriptedSandbox())

    written = await _code(ports)

    assert written["checks"]["status"] == "not_run"
    assert written["checks"]["summary"] == (
        "tests: were not run: no sandbox on this machine: bubblewrap is not installed (install the package bubblewrap)"
    )
    assert len(ports.models.requests) == 1
    assert ports.artifacts


async def test_python_that_cannot_be_parsed_is_repaired_before_anything_runs() -> None:
    sandbox = ScriptedSandbox(PASSED)
    broken = block("app.py", "def f(:\n    return") + block("test_app.py", "import unittest")
    ports = build_ports({"coder": [broken, FILES]}, sandbox=sandbox)

    written = await _code(ports)

    assert written["checks"]["status"] == "passed"
    assert "app.py, line 1: invalid syntax" in ports.models.asked("coder")[1]
    assert len(sandbox.files) == 1


@pytest.mark.parametrize(
    ("path", "body"),
    [("a.json", "{"), ("a.py", "\x0c("), ("a.py", "-" * 50_000 + "1"), ("a.json", "[" * 100_000)],
)
async def test_no_source_text_breaks_the_check(path: str, body: str) -> None:
    written = await _code(build_ports({"coder": block(path, body)}))

    assert written["checks"]["summary"] == "1 file cannot be parsed"


async def test_files_without_python_tests_are_not_run() -> None:
    sandbox = ScriptedSandbox(PASSED)

    written = await _code(build_ports({"coder": block("index.html", "<p>", language="html")}, sandbox=sandbox))

    assert written["checks"]["status"] == "none"
    assert not sandbox.files


async def test_an_answer_without_files_is_asked_for_again_with_the_reason() -> None:
    ports = build_ports({"coder": ["```python\nx = 1\n```", PROGRAM]})

    written = await _code(ports)

    assert [file["path"] for file in written["files"]] == ["app.py"]
    assert "1 fenced blocks carry no path" in ports.models.asked("coder")[1]


async def test_two_answers_without_files_fail_honestly() -> None:
    ports = build_ports({"coder": "I cannot do that."})

    with pytest.raises(NoFiles, match="there is no fenced block in it"):
        await _code(ports)

    assert len(ports.models.requests) == 2
    assert not ports.artifacts


async def test_a_file_name_that_climbs_out_is_reported_and_not_asked_about() -> None:
    ports = build_ports({"coder": FILES + block("../../etc/cron.d/x", "evil")})

    written = await _code(ports)

    assert [refusal["path"] for refusal in written["refused"]] == ["../../etc/cron.d/x"]
    assert len(ports.models.requests) == 1
    assert set(ports.artifacts) == {"app.py", "test_app.py"}


async def test_a_file_that_broke_off_and_came_whole_in_the_repair_is_not_reported() -> None:
    broken_off = FILES + "```python:extra.py\ndef g("
    ports = build_ports({"coder": [broken_off, block("extra.py", "x = 1")]}, sandbox=ScriptedSandbox(FAILED, PASSED))

    written = await _code(ports)

    assert written["refused"] == []
    assert "extra.py" in ports.artifacts


async def test_a_question_gets_no_files_and_costs_no_call() -> None:
    ports = build_ports({})

    written = await _code(ports, kind="answer", files=[])

    assert written == {
        "files": [],
        "refused": [],
        "checks": {"status": "none", "tests": 0, "summary": "", "output": ""},
    }
    assert not ports.models.requests
