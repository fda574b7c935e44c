import logging
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from shadowgraph.cli.app import run
from tests.support.fake_api import FakeApi, FakeServer


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: str
    err: str


@dataclass(frozen=True, slots=True)
class Terminal:
    """Runs commands in this process, in a home folder of their own, without a terminal."""

    home: Path
    capture: pytest.CaptureFixture[str]

    def run(self, *arguments: str) -> Ended:
        self.capture.readouterr()
        code = run(arguments)
        out, err = self.capture.readouterr()
        return Ended(code, out, err)


@pytest.fixture
def _logging_as_before() -> Iterator[None]:
    """Commands set up the logs of their process, and here that is the tests' own."""
    root = logging.getLogger()
    before = root.level, root.handlers[:], sys.excepthook, threading.excepthook
    yield
    root.level, root.handlers[:], sys.excepthook, threading.excepthook = before
    logging.captureWarnings(False)


@pytest.fixture
def terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], _logging_as_before: None
) -> Terminal:
    monkeypatch.setenv("SHADOWGRAPH_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "storage").mkdir()
    return Terminal(tmp_path, capsys)


@pytest.fixture(scope="session")
def fake_server() -> Iterator[FakeServer]:
    with FakeServer().listening() as server:
        yield server


@pytest.fixture
def api(terminal: Terminal, fake_server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> FakeApi:
    """A fake server that the commands find by SHADOWGRAPH_URL."""
    fake = FakeApi()
    fake_server.play(fake)
    monkeypatch.setenv("SHADOWGRAPH_URL", fake.url)
    return fake
