"""What a command imports before it says its first word."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from shadowgraph.cli.app import COMMANDS
from tests.integration.cli.conftest import Terminal

HEAVY = {"langgraph", "langchain_core", "sqlalchemy", "fastapi", "alembic", "aio_pika", "pydantic", "httpx"}
HEAVIEST = HEAVY - {"pydantic", "httpx"}
GROUPS = {
    "runs": [
        *("list", "show", "watch", "files", "download", "export", "checkpoints", "diff"),
        *("cancel", "pause", "resume", "retry", "fork"),
    ],
    "approvals": ["list", "show", "answer"],
    "threads": ["list", "show", "delete"],
    "projects": ["list", "check"],
    "config": ["show"],
    "budgets": ["list", "set", "remove"],
    "prices": ["list", "set", "remove"],
    "routes": ["list", "show", "set", "reset", "test"],
    "versions": [
        *("list", "show", "diff", "deploy", "export", "import", "verify", "history"),
        *("promote", "rollback", "withdraw", "revoke", "keep"),
    ],
}
PROGRAM = """
import json, sys
from shadowgraph.cli.app import run
for words in json.loads(sys.argv[1]):
    code = run([*words, "--help"])
    print(json.dumps({"words": words, "code": code, "modules": sorted({name.split(".")[0] for name in sys.modules})}), file=sys.stderr)
"""

ALL_COMMANDS = [
    [name, *rest] for name in COMMANDS for rest in ([[verb] for verb in GROUPS[name]] if name in GROUPS else [[]])
]


def modules_after_help(*commands: list[str]) -> list[dict[str, Any]]:
    """One report per command, in one process: what was imported by then."""
    command = [sys.executable, "-c", PROGRAM, json.dumps(commands)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in ended.stderr.splitlines()]


def test_help_imports_nothing_heavy() -> None:
    [report] = modules_after_help([])

    assert report["code"] == 0
    assert not HEAVY & set(report["modules"])


def test_the_help_of_each_command_imports_no_graph_library_and_no_database() -> None:
    reports = modules_after_help(*ALL_COMMANDS)

    assert [report["words"] for report in reports] == ALL_COMMANDS
    assert [report["words"] for report in reports if report["code"] != 0 or HEAVIEST & set(report["modules"])] == []


def test_demo_says_its_first_line_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    env = {**os.environ, "SHADOWGRAPH_HOME": str(tmp_path), "HOME": str(tmp_path)}
    command = [sys.executable, "-X", "importtime", "-m", "shadowgraph.main", "demo"]

    with subprocess.Popen(command, env=env, text=True, stderr=subprocess.PIPE) as process:
        assert process.stderr is not None
        before = []
        for line in process.stderr:
            if line.startswith("demo:"):
                break
            before.append(line.rsplit("|", 1)[-1].strip().split(".")[0])
        process.kill()

    assert "typer" in before  # imports really were reported
    assert not set(before) & (HEAVIEST | {"httpx"})


@pytest.mark.parametrize("words", ALL_COMMANDS, ids=" ".join)
def test_every_command_takes_the_shared_flags(words: list[str], terminal: Terminal) -> None:
    text = terminal.run(*words, "--help").out

    assert not [flag for flag in ("--json", "--quiet", "--yes", "--no-input", "--profile") if flag not in text]


def test_the_help_page_leads_with_two_examples_and_ends_with_the_exit_codes(terminal: Terminal) -> None:
    ended = terminal.run("--help")

    lines = ended.out.splitlines()
    assert [line.strip().split()[0] for line in lines[5:7]] == ["shadowgraph", "shadowgraph"]
    assert lines[-1].split() == ["130", "Ctrl-C"]
    assert not [line for line in lines[1:] if line.endswith("...")]  # no line of help is cut


@pytest.mark.parametrize("words", [[], *[[name] for name in GROUPS]], ids=" ".join)
def test_a_name_with_commands_below_it_shows_them(words: list[str], terminal: Terminal) -> None:
    ended = terminal.run(*words)

    assert (ended.code, ended.err) == (0, "")
    assert ended.out == terminal.run(*words, "--help").out


def test_every_group_shows_its_verbs(terminal: Terminal) -> None:
    for name, verbs in GROUPS.items():
        text = terminal.run(name, "--help").out

        assert [verb for verb in verbs if f"  {verb} " not in text] == []


def test_a_misspelt_command_is_wrong_usage_with_a_guess(terminal: Terminal) -> None:
    ended = terminal.run("dmeo")

    assert (ended.code, ended.out) == (2, "")
    assert "Did you mean 'demo'?" in ended.err


def test_a_misspelt_option_is_a_problem_for_programs_too(terminal: Terminal) -> None:
    ended = terminal.run("runs", "list", "--json", "--statsu", "FAILED")

    problem = json.loads(ended.err)
    assert (ended.code, ended.out) == (2, "")
    assert (problem["code"], problem["hint"]) == ("usage", "shadowgraph runs list --help")


def test_a_wrong_setting_is_wrong_usage(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "eight")

    ended = terminal.run("config", "show", "--json")

    assert (ended.code, json.loads(ended.err)["code"]) == (2, "invalid_setting")


def test_a_defect_of_ours_is_exit_1_with_a_traceback_without_secrets() -> None:
    program = """
import sys
from shadowgraph.cli.unexpected import report_error
try:
    raise RuntimeError("sent gsk_canary1234567890abcdef")
except RuntimeError as error:
    sys.exit(report_error(error, as_json=False))
"""

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    assert (ended.returncode, ended.stdout) == (1, "")
    assert "this is a defect of Shadowgraph" in ended.stderr
    assert "Traceback" in ended.stderr
    assert ended.stderr.splitlines()[-1] == "error: RuntimeError: sent gsk_***"


def test_a_reader_that_left_is_no_traceback(tmp_path: Path) -> None:
    env = {**os.environ, "SHADOWGRAPH_HOME": str(tmp_path), "HOME": str(tmp_path)}
    command = f"{sys.executable} -m shadowgraph.main config show | head -1"

    ended = subprocess.run(command, shell=True, env=env, capture_output=True, text=True, check=False)

    assert ended.stderr == ""
