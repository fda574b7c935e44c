"""`YOUR_GRAPH.md` and the way out of `MOVING_HERE.md`, word for word: files are written, commands run and compared, in the order of the pages.

Only the surroundings differ: the wheel is built without a download, packages that are installed already stand in for those that pip would
fetch, and a free port for the one that the page names.
"""

import asyncio
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

from tests.support.pages import DOCS, ROOT, write_blocks
from tests.support.processes import free_port
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.xdist_group("your_graph"), pytest.mark.timeout(240)]

BLOCK = re.compile(r"^```(?P<kind>\w+)(?: (?P<name>\S+))?\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
PORT_OF_THE_PAGE = "8010"
COMMAND_SECONDS = 60

EXEMPT = {
    "git clone": "test_installed_wheel.py clones a project, installs it and runs it",
    "python3 -m pip wheel": "downloads the tool that builds; the test builds the same wheel with the installed one",
    "./shadowgraph up --project": "the folders are somebody's; test_projects.py starts two",
}
"""Beginnings of the blocks that are not run, and why."""

STAYS = {"shadowgraph up": "worker process trip is ready", "shadowgraph offline-server": "answers at http"}
"""Commands that run until somebody stops them, and what they say when they are ready."""

FAKE_PYTHON = """#!/bin/sh
# python3 -m venv FOLDER
"{python}" -m venv --without-pip "$3"
cp "{pip}" "$3/bin/pip"
"""
FAKE_PIP = """#!/bin/sh
# pip install WHEEL
venv=$PWD/.venv
for packages in "$venv"/lib/python*/site-packages; do
    "{python}" -m zipfile -e "$2" "$packages"
    echo "{packages}" >"$packages/installed.pth"
done
printf '#!%s/bin/python\\nfrom shadowgraph.main import main\\nmain()\\n' "$venv" >"$venv/bin/shadowgraph"
chmod +x "$venv/bin/shadowgraph"
"""


@dataclass(frozen=True, slots=True)
class Said:
    script: str
    shown: str
    """What the page shows; `…` stands for anything within a line, alone on a line for any lines."""
    output: str


@dataclass(frozen=True, slots=True)
class Block:
    kind: str
    name: str | None
    """A file's name, or `run`."""
    body: str


def blocks(page: str, *, port: str = PORT_OF_THE_PAGE) -> list[Block]:
    text = (DOCS / page).read_text().replace(PORT_OF_THE_PAGE, port)
    return [Block(found["kind"], found["name"], found["body"]) for found in BLOCK.finditer(text)]


def test_every_block_is_run_or_left_out_for_a_reason() -> None:
    found = [*blocks("YOUR_GRAPH.md"), *blocks("MOVING_HERE.md")]

    left_out = [block.body for block in found if block.kind == "sh" and block.name != "run"]

    assert [body for body in left_out if not body.startswith(tuple(EXEMPT))] == []
    assert len(left_out) == len(EXEMPT)


class Reader:
    """Somebody who follows a page in a folder, with a terminal for each command that stays."""

    def __init__(self, folder: Path, environment: dict[str, str], until_the_end: ExitStack) -> None:
        self.folder = folder
        self._environment = environment
        self._until_the_end = until_the_end
        self._up = until_the_end.enter_context(ExitStack())
        self._started = 0

    def follow(self, found: list[Block]) -> Iterator[Said]:
        """What was said, for each command whose output the page shows."""
        script = output = ""
        for block in found:
            if block.name == "run":
                script, output = block.body, self._do(block.body)
            elif block.name is not None:
                write_blocks(self.folder, {block.name: block.body})
            elif block.kind == "text":
                yield Said(script, block.body, output)

    def _do(self, script: str) -> str:
        ready = next((ready for command, ready in STAYS.items() if script.startswith(command)), None)
        if ready is None:
            return self._run(script)
        if script.startswith("shadowgraph up"):
            self.stop_serving()
            self._up.enter_context(self._staying(script, ready))
        else:
            self._until_the_end.enter_context(self._staying(script, ready))
        return ""

    def stop_serving(self) -> None:
        self._up.close()

    def _run(self, script: str) -> str:
        ended = subprocess.run(
            ["sh", "-euc", script],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
        )
        assert ended.returncode == 0, f"{script}\nended with {ended.returncode}:\n{ended.stdout}"
        return ended.stdout

    @contextmanager
    def _staying(self, script: str, ready: str) -> Iterator[None]:
        self._started += 1
        log = self.folder.parent / f"terminal-{self._started}.log"
        with log.open("w") as output:
            process = subprocess.Popen(
                ["sh", "-euc", f"exec {script}"],
                cwd=self.folder,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

        def is_ready() -> bool:
            assert process.poll() is None, log.read_text()
            return ready in log.read_text()

        try:
            asyncio.run(wait_until(is_ready, timeout_seconds=COMMAND_SECONDS, what=f"{script.strip()} to be ready"))
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=COMMAND_SECONDS)


def surroundings(folder: Path) -> dict[str, str]:
    """A home with a wheel, and an empty folder for the project."""
    tools = folder / "tools"
    tools.mkdir()
    build = ["-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "wheels")]
    subprocess.run([sys.executable, *build], cwd=ROOT / "backend", check=True, capture_output=True)
    facts = {"python": sys.executable, "pip": tools / "pip", "packages": sysconfig.get_path("purelib")}
    for name, script in (("python3", FAKE_PYTHON), ("pip", FAKE_PIP)):
        (tools / name).write_text(script.format(**facts))
        (tools / name).chmod(0o755)
    path = f"{folder / 'trip' / '.venv' / 'bin'}:{tools}:{os.environ['PATH']}"
    return {"PATH": path, "HOME": str(folder), "PORT": "0", "COLUMNS": "200"}


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Said]]:
    folder = tmp_path_factory.mktemp("your_graph")
    environment = surroundings(folder)
    (folder / "trip").mkdir()
    port = str(free_port())
    with ExitStack() as until_the_end:
        reader = Reader(folder / "trip", environment, until_the_end)
        found = list(reader.follow(blocks("YOUR_GRAPH.md", port=port)))
        reader.stop_serving()
        for package in (folder / "trip" / ".venv").glob("lib/python*/site-packages/shadowgraph"):
            shutil.rmtree(package)
        found += reader.follow(blocks("MOVING_HERE.md", port=port))
        yield found


def test_every_command_says_what_the_pages_show(said: list[Said]) -> None:
    assert len(said) > 8
    for one in said:
        missing = first_missing_line(one.shown, one.output)
        assert missing is None, f"{one.script}\ndid not say {missing!r} (in this place) but\n{one.output}"


def first_missing_line(shown: str, output: str) -> str | None:
    """Columns may be wider than on the page: they are as wide as what stands in them."""
    lines = map(one_space, output.splitlines())
    for wanted in filter(None, map(one_space, shown.splitlines())):
        pattern = ".*".join(map(re.escape, wanted.split("…")))
        if wanted != "…" and not any(re.fullmatch(pattern, line) for line in lines):
            return wanted
    return None


def one_space(line: str) -> str:
    return " ".join(line.split())
