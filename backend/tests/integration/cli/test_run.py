"""`shadowgraph run` and `runs watch`: stay with a run, leave it, tell its end."""

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.conftest import Terminal
from tests.support.fake_api import RUN_ID, FakeApi, make_event, make_run
from tests.support.projects import write_project

PLACE = {"node": "planner", "superstep": 1, "path": "0", "attempt": 1}
STORY = [
    make_event(1, "run.queued", workflow="pipeline", why="created"),
    make_event(2, "run.started", worker="wrk_1", claim=1),
    make_event(3, "step.started", **PLACE),
    make_event(4, "call.finished", kind="llm", **PLACE, prompt_tokens=100, completion_tokens=20),
    make_event(5, "artifact.created", path="snake.py", size=2100, node="planner"),
    make_event(6, "step.finished", **PLACE, status="finished", summary="x"),
]


def play_story(api: FakeApi, **run: Any) -> None:
    """The run is over, and its whole story can be read."""
    ended = make_run(**run)
    api.runs[RUN_ID] = ended
    api.events = [*STORY, make_event(7, "run.finished", status=ended["status"], run=ended)]


def test_the_result_goes_to_stdout_and_each_change_to_stderr(terminal: Terminal, api: FakeApi) -> None:
    play_story(api)

    ended = terminal.run("run", "Build a snake game")

    assert ended.code == 0
    assert ended.out == "A snake game in one file.\n"
    assert ended.err.splitlines() == [
        f"{RUN_ID}  pipeline",
        "  queued",
        "  started",
        "  planner: started",
        "  file snake.py (2.1 kB)",
        "  planner: finished (3.0 s, 120 tokens)",
        "  COMPLETED",
    ]
    assert api.last("POST", "/api/v1/runs").json == {"query": "Build a snake game"}


def test_quiet_says_nothing_but_the_result(terminal: Terminal, api: FakeApi) -> None:
    play_story(api)

    ended = terminal.run("run", "x", "-q")

    assert (ended.out, ended.err) == ("A snake game in one file.\n", "")


def test_as_json_the_result_is_the_run(terminal: Terminal, api: FakeApi) -> None:
    play_story(api)

    ended = terminal.run("run", "x", "--json")

    assert (json.loads(ended.out), ended.err) == (make_run(), "")


def test_as_json_lines_every_event_is_an_object(terminal: Terminal, api: FakeApi) -> None:
    play_story(api)

    ended = terminal.run("run", "x", "--jsonl")

    assert [json.loads(line) for line in ended.out.splitlines()] == api.events


def test_a_workflow_gets_its_input_from_a_file_or_stdin(
    terminal: Terminal, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    play_story(api)
    (terminal.home / "input.json").write_text('{"topic": "file"}')
    monkeypatch.setattr(sys, "stdin", io.StringIO('{"topic": "stdin"}'))

    terminal.run("run", "--workflow", "w", "--input", "input.json", "--max-steps", "5")
    terminal.run("run", "--workflow", "w", "--input", "-")

    first, second = [seen.json for seen in api.seen if seen.method == "POST"]
    assert first == {"workflow": "w", "input": {"topic": "file"}, "max_steps": 5}
    assert second == {"workflow": "w", "input": {"topic": "stdin"}}


def test_a_workflow_gets_its_input_as_an_object_or_a_text(terminal: Terminal, api: FakeApi) -> None:
    play_story(api)
    api.scripted["GET", "/workflows/w"] = {"input_schema": {"properties": {"messages": {}}}}

    terminal.run("run", "--workflow", "w", "--input", '{"topic": "typed"}')
    terminal.run("run", "--workflow", "w", "Hello")

    first, second = [seen.json for seen in api.seen if seen.method == "POST"]
    assert first == {"workflow": "w", "input": {"topic": "typed"}}
    assert second == {"workflow": "w", "input": {"messages": [{"role": "user", "content": "Hello"}]}}


def test_in_the_folder_of_a_project_its_only_workflow_is_meant(terminal: Terminal, api: FakeApi) -> None:
    play_story(api)
    write_project(terminal.home, {}, graphs={"trip": "./trip.py:graph"})
    api.scripted["GET", "/workflows/trip"] = {"input_schema": {"properties": {"topic": {"type": "string"}}}}

    terminal.run("run", "Hello")

    assert api.last("POST", "/api/v1/runs").json == {"workflow": "trip", "input": {"topic": "Hello"}}


def test_the_pipeline_and_other_workflows_can_be_named_in_a_projects_folder(terminal: Terminal, api: FakeApi) -> None:
    play_story(api)
    write_project(terminal.home, {}, graphs={"trip": "./trip.py:graph"})

    terminal.run("run", "--workflow", "other", "--input", "{}")

    assert api.last("POST", "/api/v1/runs").json == {"workflow": "other", "input": {}}


def test_a_server_that_does_not_serve_the_project_is_named(terminal: Terminal, api: FakeApi) -> None:
    write_project(terminal.home, {}, graphs={"unknown": "./agent.py:graph"})

    ended = terminal.run("run", "--input", "{}")

    assert ended.code == 2
    assert ended.err.splitlines()[0] == "error: there is no workflow 'unknown'"
    assert f"fix: the server at {api.url} does not serve {terminal.home}" in ended.err


def test_which_workflow_of_several_has_to_be_said(terminal: Terminal, api: FakeApi) -> None:
    folder = write_project(terminal.home / "mine", {}, graphs={"a": "./a.py:graph", "b": "./b.py:graph"})

    unsaid = terminal.run("run", "x", "--project", str(folder))
    unknown = terminal.run("run", "x", "--project", str(folder), "--workflow", "c")
    no_project = terminal.run("run", "x", "--project", str(terminal.home))

    assert [ended.code for ended in (unsaid, unknown, no_project)] == [2, 2, 2]
    assert unsaid.err.splitlines()[1] == "fix: say which: --workflow a"
    assert unknown.err.splitlines() == ["error: mine has no workflow 'c'", "fix: it has a, b"]
    assert "has no langgraph.json" in no_project.err
    assert api.seen == []


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("x", "--input", "f"),
        ("x", "--workflow", "w", "--input", "{}"),
        ("--input", "{}"),
        ("--workflow", "w", "--input", "{"),
        ("--workflow", "w"),
        ("--workflow", "w", "--input", "absent.json"),
        ("--workflow", "w", "--input", "list.json"),
        ("x", "--max-steps", "0"),
        ("x", "--no-such-option"),
    ],
)
def test_a_run_that_is_none_is_wrong_usage(arguments: tuple[str, ...], terminal: Terminal, api: FakeApi) -> None:
    (terminal.home / "list.json").write_text("[1]")

    plain = terminal.run("run", *arguments)
    as_json = terminal.run("run", *arguments, "--json")

    assert (plain.code, plain.out, plain.err[:7]) == (2, "", "error: ")
    assert (as_json.code, as_json.out, json.loads(as_json.err)["code"]) == (2, "", "usage")
    assert api.seen == []


def test_a_refused_run_shows_each_place_that_is_wrong(terminal: Terminal, api: FakeApi) -> None:
    (terminal.home / "in.json").write_text("{}")

    ended = terminal.run("run", "--workflow", "unknown", "--input", "in.json")

    assert ended.code == 2
    assert ended.err.splitlines()[:3] == [
        "error: there is no workflow 'unknown'",
        "  /workflow: is not known",
        "fix: known: pipeline",
    ]


def test_detach_prints_the_id_only(terminal: Terminal, api: FakeApi) -> None:
    ended = terminal.run("run", "x", "--detach")

    assert (ended.code, ended.out, ended.err) == (0, f"{RUN_ID}\n", "")


def test_detach_without_a_server_is_refused(terminal: Terminal) -> None:
    ended = terminal.run("run", "x", "--detach")

    assert (ended.code, ended.out) == (3, "")


@pytest.mark.parametrize(
    ("status", "code"),
    [("FAILED", 10), ("CANCELLED", 11), ("BUDGET_EXCEEDED", 12), ("AWAITING_HUMAN", 13), ("PAUSED", 13)],
)
def test_the_exit_code_tells_how_the_run_rests(status: str, code: int, terminal: Terminal, api: FakeApi) -> None:
    kind = "run.finished" if status in ("FAILED", "CANCELLED") else f"run.{status.lower()}"
    api.runs[RUN_ID] = make_run(status=status, result=None)
    api.events = [*STORY, make_event(7, kind, status=status)]

    ended = terminal.run("runs", "watch", RUN_ID)

    assert (ended.code, ended.out) == (code, "")
    assert f"error: the run is {status}" in ended.err
    assert f"shadowgraph runs {'resume' if status == 'PAUSED' else 'show'} {RUN_ID}" in ended.err


def test_a_failed_run_says_where_and_why(terminal: Terminal, api: FakeApi) -> None:
    error = {"code": "provider_down", "detail": "Groq is away", "step": "coder", "retryable": True, "hint": "try later"}
    play_story(api, status="FAILED", result=None, error=error)

    ended = terminal.run("run", "x")

    assert "error: the run FAILED in coder: Groq is away" in ended.err


def test_an_earlier_end_of_a_run_that_goes_on_is_not_its_end(terminal: Terminal, api: FakeApi) -> None:
    play_story(api)
    api.events[6:6] = [make_event(None, "run.paused"), make_event(None, "run.resumed")]
    api.runs[RUN_ID] = make_run(status="RUNNING")
    api.runs = Later(api.runs, then=make_run())

    assert terminal.run("runs", "watch", RUN_ID).code == 0


def test_a_retried_run_is_shown_to_its_last_end(terminal: Terminal, api: FakeApi) -> None:
    api.runs[RUN_ID] = make_run()
    failed, completed = (
        make_event(seq, "run.finished", status=status) for seq, status in ((7, "FAILED"), (9, "COMPLETED"))
    )
    api.events = [*STORY, failed, make_event(8, "run.queued"), completed]

    ended = terminal.run("runs", "watch", RUN_ID)

    assert ended.code == 0
    assert ended.err.splitlines()[-3:] == ["  FAILED", "  queued", "  COMPLETED"]


class Later(dict[str, Any]):
    """The run is seen running the first time that somebody asks for it by its id, and ended afterwards."""

    def __init__(self, runs: dict[str, Any], *, then: Any) -> None:
        super().__init__(runs)
        self._then = then

    def get(self, key: str, default: Any = None) -> Any:
        now = super().get(key, default)
        self[key] = self._then
        return now


def test_a_broken_stream_goes_on_without_gap_or_double(terminal: Terminal, api: FakeApi) -> None:
    play_story(api)
    api.cut_stream_after = [2, 0, 3]

    ended = terminal.run("runs", "watch", RUN_ID, "--jsonl")

    assert [json.loads(line)["seq"] for line in ended.out.splitlines()] == [1, 2, 3, 4, 5, 6, 7]
    streams = [seen.headers.get("last-event-id") for seen in api.seen if seen.path.endswith("/events")]
    assert streams == [None, "2", "2", "5"]


def test_an_ended_run_whose_events_were_all_read_is_told_at_once(terminal: Terminal, api: FakeApi) -> None:
    api.runs[RUN_ID] = make_run()

    assert terminal.run("runs", "watch", RUN_ID).out == "A snake game in one file.\n"


def test_watching_an_unknown_run_is_exit_5(terminal: Terminal, api: FakeApi) -> None:
    assert terminal.run("runs", "watch", "run_x").code == 5


def test_timeout_leaves_the_run_alone(terminal: Terminal, api: FakeApi) -> None:
    api.runs[RUN_ID] = make_run(status="RUNNING", result=None)

    ended = terminal.run("run", "x", "--timeout", "0.2")

    assert (ended.code, ended.out) == (124, "")
    assert f"fix: shadowgraph runs watch {RUN_ID}" in ended.err
    assert not [seen for seen in api.seen if seen.path.endswith("/cancel")]


def test_out_writes_the_files_of_a_completed_run(terminal: Terminal, api: FakeApi) -> None:
    play_story(api)
    api.artifacts = {"src/snake.py": b"print()\n"}

    ended = terminal.run("run", "x", "--out", "there")

    assert ended.out == "A snake game in one file.\n"
    assert (terminal.home / "there" / "src" / "snake.py").read_bytes() == b"print()\n"


def test_out_replaces_nothing_without_consent_but_the_result_is_told(terminal: Terminal, api: FakeApi) -> None:
    play_story(api)
    api.artifacts = {"README.md": b"theirs"}
    (terminal.home / "README.md").write_bytes(b"mine")

    ended = terminal.run("run", "x", "--out", ".")

    assert (ended.code, ended.out) == (6, "A snake game in one file.\n")
    assert (terminal.home / "README.md").read_bytes() == b"mine"


# --- Ctrl-C and terminals need a process of their own --------------------------------------------------------------------------


@contextmanager
def started(terminal: Terminal, api: FakeApi, *arguments: str, **streams: Any) -> Iterator["subprocess.Popen[str]"]:
    env = {**os.environ, "SHADOWGRAPH_URL": api.url, "TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-m", "shadowgraph.main", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **streams}
    folder = Path(__file__).parents[3]
    with subprocess.Popen(command, env=env, text=True, cwd=folder, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def read_until(process: "subprocess.Popen[str]", text: str) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        if text in line:
            return
    raise AssertionError(f"{text!r} was never said")


def test_ctrl_c_leaves_the_run_and_says_how_to_come_back(terminal: Terminal, api: FakeApi) -> None:
    api.runs[RUN_ID] = make_run(status="RUNNING", result=None)
    api.events = STORY[:3]

    with started(terminal, api, "run", "x") as process:
        read_until(process, "planner: started")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)

    assert (process.returncode, out) == (130, "")
    assert f"left {RUN_ID}; the run goes on" in err
    assert f"fix: shadowgraph runs watch {RUN_ID}" in err
    assert not [seen for seen in api.seen if seen.path.endswith("/cancel")]


def test_a_second_ctrl_c_cancels_the_run(terminal: Terminal, api: FakeApi) -> None:
    api.runs[RUN_ID] = make_run(status="RUNNING", result=None)
    api.events = STORY[:3]

    with started(terminal, api, "runs", "watch", RUN_ID) as process:
        read_until(process, "planner: started")
        process.send_signal(signal.SIGINT)
        read_until(process, "Ctrl-C again")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)

    assert (process.returncode, out) == (130, "")
    assert "was asked to cancel" in err
    assert api.last("POST", f"/api/v1/runs/{RUN_ID}/cancel")


def test_on_a_terminal_a_table_is_drawn_in_place(terminal: Terminal, api: FakeApi) -> None:
    play_story(api)
    live = make_event(None, "output.live", **PLACE, call="c1", offset=0, text="Thinking\x1b]0;evil\x07 aloud")
    api.events[4:4] = [live]
    screen, theirs = pty.openpty()
    drawn: list[bytes] = []
    reader = threading.Thread(target=read_all, args=(screen, drawn))
    reader.start()

    with started(terminal, api, "run", "x", stderr=theirs) as process:
        out, _ = process.communicate(timeout=20)
        os.close(theirs)
        reader.join(timeout=10)
    os.close(screen)

    text = b"".join(drawn).decode()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    assert out == "A snake game in one file.\n"
    assert re.search(r"planner\s+finished\s+1\s+120\s+3\.0", plain)
    assert "COMPLETED" in plain
    assert "\x1b]0;evil" not in text


def read_all(screen: int, drawn: list[bytes]) -> None:
    while True:
        try:
            piece = os.read(screen, 65_536)
        except OSError:  # the last writer is gone
            return
        if not piece:
            return
        drawn.append(piece)
