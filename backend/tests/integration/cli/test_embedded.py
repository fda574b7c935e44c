"""Commands that bring their own server: `demo`, `run` without one, and `up` itself."""

import asyncio
import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from shadowgraph.cli.server import curl_line
from shadowgraph.core.settings import load_settings
from shadowgraph.db.migrate import migrate
from shadowgraph.wiring.embedded import embedded_stack
from tests.integration.cli.conftest import Terminal
from tests.support.projects import GRAPH, write_project

BACKEND = Path(__file__).parents[3]
STEPS = ["researcher", "planner", "executor", "coder", "finalizer"]
SLOW = "latency_ms=30000"


def statuses(home: Path) -> list[str]:
    with sqlite3.connect(home / "storage" / "shadowgraph.db") as connection:
        found = [status for (status,) in connection.execute("SELECT status FROM runs ORDER BY created_at")]
    connection.close()
    return found


@contextmanager
def started(*arguments: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "shadowgraph.main", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env={**os.environ, **environment}, text=True, cwd=BACKEND, stdout=pipe, stderr=pipe
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(stream: Iterator[str] | None, text: str) -> list[str]:
    lines: list[str] = []
    for line in stream or ():
        lines.append(line.rstrip("\n"))
        if text in line:
            return lines
    raise AssertionError(f"{text!r} was never said, but {lines}")


def test_demo_shows_the_steps_the_result_and_the_files(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("BROKER_URL", "amqp://127.0.0.1:1")
    monkeypatch.setenv("GROQ_API_KEY", "gsk_never_to_be_used_canary")

    ended = terminal.run("demo")

    assert ended.code == 0, ended.err
    finished = [line.split(":")[0].strip() for line in ended.err.splitlines() if ": finished" in line]
    assert finished == STEPS
    [folder] = (terminal.home / "storage" / "runs").iterdir()
    assert f"files in storage/runs/{folder.name}:" in ended.out
    files = {path.name for path in folder.iterdir()}
    assert {"game.py", "test_game.py", "README.md"} <= files
    assert not [name for name in files if name not in ended.out]
    assert ended.out.splitlines()[-1].startswith("tests: ")
    assert "canary" not in ended.out + ended.err
    assert statuses(terminal.home) == ["COMPLETED"]
    assert [path.name for path in terminal.home.iterdir()] == ["storage"]


def test_demo_as_json_is_one_object(terminal: Terminal) -> None:
    ended = terminal.run("demo", "Write a function that reverses a string", "--json")

    told = json.loads(ended.out)
    assert (ended.code, ended.err, told["run"]["status"]) == (0, "", "COMPLETED")
    assert [(Path(told["folder"]) / file["path"]).stat().st_size for file in told["files"]] == [
        file["size"] for file in told["files"]
    ]


def test_run_without_a_server_starts_one_for_this_run(terminal: Terminal) -> None:
    ended = terminal.run("run", "Build a to-do CLI", "--out", "todo")

    assert ended.code == 0, ended.err
    assert ended.out.strip()
    assert (terminal.home / "todo" / "todo.py").exists()
    assert not (terminal.home / "storage" / "server.json").exists()


@pytest.fixture
def trip(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a project, with what it prints."""
    folder = write_project(terminal.home / "trip", {"agent.py": f"print('importing')\n{GRAPH}"})
    monkeypatch.chdir(folder)
    return folder


def test_run_in_a_projects_folder_serves_that_project_for_this_run(terminal: Terminal, trip: Path) -> None:
    ended = terminal.run("run", "hello")
    quiet = terminal.run("run", "--input", '{"text": "you"}', "--quiet")

    assert (ended.code, quiet.code) == (0, 0), ended.err
    assert (ended.out, quiet.out) == ("HELLO\n", "YOU\n")
    assert f"starting one with the project in {trip} for this run" in ended.err
    assert "[trip] importing" in ended.err
    assert quiet.err == ""
    assert statuses(terminal.home) == ["COMPLETED", "COMPLETED"]


def test_run_serves_a_project_that_is_named_from_elsewhere(
    terminal: Terminal, trip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(terminal.home)

    ended = terminal.run("run", "hello", "--project", "trip", "--json")

    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out)["result"]["output"] == {"text": "HELLO"}


def test_run_of_a_project_that_cannot_be_loaded_says_why_and_ends(terminal: Terminal, trip: Path) -> None:
    (trip / "agent.py").write_text("x = 1\nimport no_such_module\n")

    ended = terminal.run("run", "hello")

    assert (ended.code, ended.out) == (2, "")
    assert "No module named 'no_such_module'\n  agent.py:2  import no_such_module\nfix: " in ended.err
    assert "tried again" not in ended.err


def test_a_run_that_was_left_is_kept_for_the_next_server(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OFFLINE_MODEL", SLOW)

    left = terminal.run("run", "x", "--timeout", "0.5")
    status_after_leaving = statuses(terminal.home)
    monkeypatch.delenv("OFFLINE_MODEL")
    terminal.run("demo", "-q")

    assert left.code == 124
    assert "the run is kept and goes on when a server starts" in left.err
    assert status_after_leaving == ["QUEUED"]
    assert statuses(terminal.home)[1] == "COMPLETED"


def test_two_ctrl_c_cancel_a_run_of_our_own(terminal: Terminal) -> None:
    with started("run", "x", OFFLINE_MODEL=SLOW) as process:
        read_until(process.stderr, "researcher: started")
        process.send_signal(signal.SIGINT)
        read_until(process.stderr, "Ctrl-C again")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=40)

    assert (process.returncode, out) == (130, "")
    assert "was asked to cancel" in err
    assert statuses(terminal.home) == ["CANCELLED"]


async def test_a_worker_that_cannot_start_ends_the_command(tmp_path: Path) -> None:
    settings = load_settings({}, home=tmp_path).settings
    settings.storage.mkdir(parents=True)
    await asyncio.to_thread(migrate, settings.effective_database_url)
    with sqlite3.connect(settings.storage / "shadowgraph.db") as connection:
        connection.execute("CREATE INDEX checkpoints ON runs (id)")  # takes the name of a table that the worker needs
    connection.close()

    with pytest.raises(sqlite3.OperationalError, match="checkpoints"):
        async with embedded_stack(settings):
            await asyncio.Event().wait()


def test_up_says_where_it_is_serves_the_other_commands_and_leaves_no_trace(terminal: Terminal) -> None:
    file = terminal.home / "storage" / "server.json"
    with started("up", "--port", "0") as process:
        banner = read_until(process.stdout, "stop ")
        server = json.loads(file.read_text())
        [line] = [text for text in banner if " try " in text]
        answer = send(shlex.split(line.removeprefix("  try")))
        demo = terminal.run("demo", "--json")
        listed = terminal.run("runs", "list", "--fields", "id")
        second = terminal.run("up")
        process.terminate()
        _, log = process.communicate(timeout=40)

    assert banner[0] == f"Shadowgraph is up at {server['url']}"
    assert line.strip().endswith(curl_line(server["url"]))
    assert (server["pid"], server["model"]) == (process.pid, "offline")
    assert answer["status"] in ("COMPLETED", "QUEUED", "RUNNING")
    assert (demo.code, second.code) == (0, 3)
    assert listed.out.splitlines() == [json.loads(demo.out)["run"]["id"], answer["id"]]
    assert process.returncode == 0
    assert "Traceback" not in log
    assert not file.exists()


def send(curl: list[str]) -> dict[str, str]:
    """What the shell's curl would do with these words, so that the test needs no curl."""
    name, silent, url, _, header, _, body = curl
    assert (name, silent) == ("curl", "-s")
    key, _, value = header.partition(": ")
    answer = httpx.post(url, content=body, headers={key: value}, timeout=60)
    sent: dict[str, str] = answer.raise_for_status().json()
    return sent
