"""The README, word for word: every block marked `sh run` is run in a checkout of its own, in order, as a reader would.

Only the surroundings differ: the packages that are installed already stand in for a download, and curl's own configuration leads port 8000
to the port that the server got.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from shadowgraph.tools.sandbox import sandbox_status
from tests.support.processes import free_port
from tests.support.requirements import skip_or_fail
from tests.support.waiting import wait_until

pytestmark = pytest.mark.xdist_group("readme")

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(r"^```(?P<kind>\w+)(?P<run> run)?\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)

EXEMPT = {
    "./shadowgraph test": "it is what runs this test",
    "export GROQ_API_KEY=gsk_…": "needs somebody's key, and costs money",
    "export DATABASE_URL=": "needs somebody's PostgreSQL and RabbitMQ; the other end-to-end tests start these processes",
    "./shadowgraph up --project briefing": "a server runs already; test_your_graph.py and test_projects.py start projects",
}
"""Beginnings of the blocks that are not run, and why."""

COMMAND_SECONDS = 120

FAKE_UV = """#!/bin/sh
# uv venv -q --python PYTHON FOLDER | uv pip install … --python FOLDER/bin/python …
case "$1" in
venv) exec "$4" -m venv --without-pip "$5" ;;
pip) for folder in "{venv}"/lib/python*/site-packages; do echo "{packages}" >"$folder/installed.pth"; done ;;
esac
"""


def blocks() -> list[re.Match[str]]:
    return [block for block in BLOCK.finditer(README) if block["kind"] == "sh"]


def test_every_block_is_run_or_left_out_for_a_reason() -> None:
    left_out = [block["body"] for block in blocks() if not block["run"]]

    unexplained = [body for body in left_out if not body.startswith(tuple(EXEMPT))]
    assert unexplained == []
    assert len(left_out) == len(EXEMPT)


@dataclass(frozen=True)
class Checkout:
    """The start script and the code as they are, in a folder where nothing was ever started."""

    folder: Path
    environment: dict[str, str]

    def run(self, script: str) -> str:
        """All that it says; it has to succeed."""
        ended = subprocess.run(
            ["sh", "-euc", script],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        assert ended.returncode == 0, f"{script}\nended with {ended.returncode}:\n{ended.stdout}"
        return ended.stdout

    @contextmanager
    def serving(self, script: str) -> Iterator[None]:
        """Runs while the block is open, from the moment when it answers."""
        log = self.folder / "up.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                ["sh", "-euc", script],
                cwd=self.folder,
                env=self.environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text()
            return (self.folder / "storage" / "server.json").exists()

        try:
            asyncio.run(wait_until(is_ready, timeout_seconds=COMMAND_SECONDS, what="up to be ready"))
            yield
        finally:
            os.killpg(process.pid, signal.SIGTERM)  # the shell and what it started
            process.wait(timeout=COMMAND_SECONDS)


def make_checkout(folder: Path, *, port: int) -> Checkout:
    root, tools = folder / "shadowgraph", folder / "tools"
    root.mkdir()
    tools.mkdir()
    shutil.copy(ROOT / "shadowgraph", root)
    (root / "backend").symlink_to(ROOT / "backend")
    (tools / "uv").write_text(FAKE_UV.format(venv=root / ".venv", packages=sysconfig.get_path("purelib")))
    (tools / "uv").chmod(0o755)
    (folder / ".curlrc").write_text(f"connect-to = 127.0.0.1:8000:127.0.0.1:{port}\n")
    environment = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "HOME": str(folder),
        "PYTHON": sys.executable,
        "PORT": str(port),
        "COLUMNS": "200",
    }
    return Checkout(root, environment)


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What each block that is run says, by its first line."""
    if shutil.which("curl") is None:
        skip_or_fail("no curl; install it (apt-get install curl)")
    checkout = make_checkout(tmp_path_factory.mktemp("readme"), port=free_port())
    outputs: dict[str, str] = {}
    with ExitStack() as until_the_end:
        for body in (block["body"] for block in blocks() if block["run"]):
            first_line = body.splitlines()[0]
            if first_line == "./shadowgraph up":
                until_the_end.enter_context(checkout.serving(body))
            else:
                outputs[first_line] = checkout.run(body)
        yield outputs


def test_the_demo_shows_what_the_readme_shows(said: dict[str, str]) -> None:
    shown = next(block["body"] for block in BLOCK.finditer(README) if block["kind"] == "text")
    can_run_tests = asyncio.run(sandbox_status()).available
    output = _without_numbers(said["./shadowgraph demo"])

    lines = [line for line in shown.splitlines() if line.strip() and (can_run_tests or "tests:" not in line)]

    assert [line for line in lines if not _occurs(_without_numbers(line), output)] == []


def _without_numbers(text: str) -> str:
    return re.sub(r"\d+", "0", text)


def _occurs(line: str, output: str) -> bool:
    """`…` stands for anything within the line."""
    return re.search(".*".join(map(re.escape, line.split("…"))), output) is not None


def test_the_run_over_http_is_over_when_the_answer_comes(said: dict[str, str]) -> None:
    run = json.loads(next(output for line, output in said.items() if "?wait=30" in line))

    assert run["status"] == "COMPLETED", run
    assert run["query"] == "Build a snake game"


def test_the_events_end_with_the_runs_end(said: dict[str, str]) -> None:
    output = next(output for line, output in said.items() if "limit=5" in line)

    assert "event: step.finished" in output
    assert output.count("event: run.finished") == 1


def test_the_last_run_is_in_the_list(said: dict[str, str]) -> None:
    output = next(output for line, output in said.items() if "--out todo" in line)

    listed = [line for line in output.splitlines() if line.startswith("run_") and "COMPLETED" in line]
    assert "Build a to-do CLI" in listed[0]
