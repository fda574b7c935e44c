"""`runs pause|resume|retry|fork|checkpoints|diff`, `approvals …` and `threads …` over HTTP."""

import io
import json
import os
import pty
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.integration.cli.conftest import Terminal
from tests.support.fake_api import (
    CREATED_AT,
    QUESTION_ID,
    RUN_ID,
    FakeApi,
    make_event,
    make_question,
    make_run,
    problem,
)

FORK_ID = "run_019a0000-0000-7000-8000-000000000001"
CHECKPOINT = {
    "checkpoint_id": "1f0c",
    "superstep": 1,
    "source": "loop",
    "created_at": CREATED_AT,
    "next_nodes": ["work"],
}
STATE = {"plan": "dig", "log": ["one"]}
DOUBT: dict[str, Any] = {"anyOf": [{"enum": ["repeat", "fail"]}, {"type": "object", "required": ["result"]}]}
OBJECT: dict[str, Any] = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}


def script(api: FakeApi, method: str, path: str, answer: Any) -> None:
    api.scripted[method, path] = answer


def script_question(api: FakeApi, **changes: Any) -> None:
    question = make_question(**changes)
    script(api, "GET", f"/interactions/{QUESTION_ID}", question)
    script(api, "GET", "/interactions", {"items": [question], "next_cursor": None})
    script(api, "POST", f"/runs/{RUN_ID}/answer", make_run(status="QUEUED", result=None))


def sent_answer(api: FakeApi) -> Any:
    return api.last("POST", f"/api/v1/runs/{RUN_ID}/answer").json


@pytest.mark.parametrize(
    ("verb", "run", "said"),
    [
        ("pause", {"status": "RUNNING", "control": "pause"}, "RUNNING, pausing at the next node"),
        ("pause", {"status": "PAUSED"}, "PAUSED"),
        ("resume", {"status": "QUEUED"}, "QUEUED"),
        ("retry", {"status": "QUEUED"}, "QUEUED"),
    ],
)
def test_a_verb_tells_the_state(verb: str, run: dict[str, Any], said: str, terminal: Terminal, api: FakeApi) -> None:
    script(api, "POST", f"/runs/{RUN_ID}/{verb}", make_run(**run))

    plain = terminal.run("runs", verb, RUN_ID)
    as_json = terminal.run("runs", verb, RUN_ID, "--json")

    assert (plain.code, plain.out) == (0, f"{RUN_ID}  {said}\n")
    assert json.loads(as_json.out)["status"] == run["status"]


@pytest.mark.parametrize("verb", ["pause", "resume", "retry"])
def test_a_verb_at_the_wrong_time_is_exit_6(verb: str, terminal: Terminal, api: FakeApi) -> None:
    refusal = problem(409, "wrong_state", "cannot do that", hint="possible now: fork", possible=["fork"])
    script(api, "POST", f"/runs/{RUN_ID}/{verb}", refusal)

    ended = terminal.run("runs", verb, RUN_ID)

    assert (ended.code, ended.out) == (6, "")
    assert "fix: possible now: fork" in ended.err


def test_checkpoints_are_listed(terminal: Terminal, api: FakeApi) -> None:
    script(api, "GET", f"/runs/{RUN_ID}/checkpoints", {"items": [CHECKPOINT], "next_cursor": "x"})

    ended = terminal.run("runs", "checkpoints", RUN_ID, "--limit", "1")

    assert ended.out.splitlines()[0].split() == ["checkpoint", "superstep", "source", "created", "next"]
    assert ended.out.splitlines()[1].split()[0] == "1f0c"
    assert ended.err == "more: --cursor x\n"


def test_the_state_at_a_checkpoint_is_shown(terminal: Terminal, api: FakeApi) -> None:
    script(api, "GET", f"/runs/{RUN_ID}/checkpoints/1f0c", {**CHECKPOINT, "state": STATE})

    plain = terminal.run("runs", "checkpoints", RUN_ID, "--show", "1f0c")
    as_json = terminal.run("runs", "checkpoints", RUN_ID, "--show", "1f0c", "--json")

    assert json.loads(plain.out) == STATE
    assert json.loads(as_json.out) == {**CHECKPOINT, "state": STATE}


@pytest.mark.parametrize(
    ("options", "stdin", "state"),
    [
        ((), "", None),
        (("--set", 'plan=["a"]', "--set", "text=plain words=more"), "", {"plan": ["a"], "text": "plain words=more"}),
        (("--state", "-"), '{"plan": "climb"}', {"plan": "climb"}),
    ],
)
def test_fork_sends_the_changed_state(
    options: tuple[str, ...],
    stdin: str,
    state: Any,
    terminal: Terminal,
    api: FakeApi,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script(api, "POST", f"/runs/{RUN_ID}/fork", make_run(FORK_ID, status="QUEUED", result=None))
    monkeypatch.setattr("sys.stdin", io.StringIO(stdin))

    ended = terminal.run("runs", "fork", RUN_ID, "--checkpoint", "1f0c", *options)

    assert api.last("POST", f"/api/v1/runs/{RUN_ID}/fork").json == {"checkpoint_id": "1f0c", "state": state}
    assert ended.out == f"{FORK_ID}  QUEUED\n"
    assert ended.err == f"follow it: shadowgraph runs watch {FORK_ID}\n"


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--checkpoint", "x", "--set", "plan"),
        ("--checkpoint", "x", "--set", "=1"),
        ("--checkpoint", "x", "--state", "no-such-file"),
        ("--checkpoint", "x", "--set", "a=1", "--edit"),
        ("--checkpoint", "x", "--edit"),
    ],
)
def test_a_fork_that_is_none_is_wrong_usage(options: tuple[str, ...], terminal: Terminal, api: FakeApi) -> None:
    ended = terminal.run("runs", "fork", RUN_ID, *options)

    assert (ended.code, ended.out) == (2, "")
    assert api.seen == []


def on_a_terminal(terminal: Terminal, api: FakeApi, *arguments: str, typed: str = "", **environment: str) -> int:
    """The exit code of a command whose stdin and stderr are a terminal on which somebody typed that."""
    screen, theirs = pty.openpty()
    env = {**os.environ, "SHADOWGRAPH_HOME": str(terminal.home), "SHADOWGRAPH_URL": api.url, "TERM": "dumb"}
    command = [sys.executable, "-m", "shadowgraph.main", *arguments]
    cwd = Path(__file__).parents[3]
    with subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs, env={**env, **environment}, cwd=cwd
    ) as process:
        reader = threading.Thread(target=read_all, args=(screen,))
        reader.start()
        os.write(screen, typed.encode())
        code = process.wait(timeout=60)
    os.close(theirs)
    reader.join(timeout=10)
    os.close(screen)
    return code


def read_all(screen: int) -> None:
    """Nobody may wait for a screen that is full."""
    try:
        while os.read(screen, 4096):
            pass
    except OSError:  # the other side is closed
        return


def editor(folder: Path, replacement: str) -> str:
    """A command that edits as somebody would."""
    script_file = folder / "editor.sh"
    script_file.write_text(f"#!/bin/sh\nsed -i '{replacement}' \"$1\"\n")
    script_file.chmod(script_file.stat().st_mode | stat.S_IXUSR)
    return str(script_file)


def test_the_state_is_edited_in_an_editor_and_only_changes_are_sent(terminal: Terminal, api: FakeApi) -> None:
    script(api, "GET", f"/runs/{RUN_ID}/checkpoints/1f0c", {**CHECKPOINT, "state": STATE})
    script(api, "POST", f"/runs/{RUN_ID}/fork", make_run(FORK_ID, status="QUEUED", result=None))
    fork = ("runs", "fork", RUN_ID, "--checkpoint", "1f0c", "--edit")

    code = on_a_terminal(terminal, api, *fork, VISUAL=editor(terminal.home, "s/dig/climb/"))

    assert code == 0
    assert api.last("POST", f"/api/v1/runs/{RUN_ID}/fork").json["state"] == {"plan": "climb"}


@pytest.mark.parametrize("replacement", ["", "s/dig/dig/", "/plan/d", "s/{/[/"])
def test_an_edit_that_changes_nothing_or_breaks_the_state_is_not_sent(
    replacement: str, terminal: Terminal, api: FakeApi
) -> None:
    script(api, "GET", f"/runs/{RUN_ID}/checkpoints/1f0c", {**CHECKPOINT, "state": STATE})
    fork = ("runs", "fork", RUN_ID, "--checkpoint", "1f0c", "--edit")

    code = on_a_terminal(terminal, api, *fork, VISUAL=editor(terminal.home, replacement))

    assert code == 2
    assert [seen.method for seen in api.seen] == ["GET"]


def test_diff_tells_what_differs(terminal: Terminal, api: FakeApi) -> None:
    side = {"status": "COMPLETED", "workflow": "w", "parent_run_id": None, "parent_checkpoint_id": None}
    step = {"superstep": 2, "node": "work", "path": "", "change": "changed", "run_status": "finished"}
    found = {
        "run": {"id": RUN_ID, **side},
        "other": {"id": FORK_ID, **side},
        "lineage": {"relation": "ancestor", "common_ancestor": RUN_ID},
        "input": [],
        "output": [
            {"key": "plan", "change": "changed", "run": "dig", "other": "climb"},
            {"key": "new", "change": "added", "run": None, "other": 1},
        ],
        "files": [{"path": "a.py", "change": "removed", "run_sha256": "1", "other_sha256": None}],
        "steps": [{**step, "other_status": "failed", "run_summary": "", "other_summary": ""}],
    }
    script(api, "GET", f"/runs/{RUN_ID}/diff/{FORK_ID}", found)

    plain = terminal.run("runs", "diff", RUN_ID, FORK_ID)
    as_json = terminal.run("runs", "diff", RUN_ID, FORK_ID, "--json")

    assert plain.out.splitlines() == [
        f"run    {RUN_ID}  COMPLETED",
        f"other  {FORK_ID}  COMPLETED",
        "the other was forked from it",
        "~ output.plan",
        '    - "dig"',
        '    + "climb"',
        "+ output.new",
        "    + 1",
        "- a.py",
        "~ step 2 work: finished / failed",
    ]
    assert json.loads(as_json.out) == found


def test_what_waits_for_an_answer_is_listed(terminal: Terminal, api: FakeApi) -> None:
    script_question(api)

    ended = terminal.run("approvals", "list", "--status", "open", "--workflow", "w", "--run", RUN_ID)

    head, line = ended.out.splitlines()
    assert head.split() == ["id", "status", "run", "node", "until", "question"]
    assert line.startswith(f"{QUESTION_ID}  open    {RUN_ID}  approve")
    assert line.endswith("Publish it?")
    assert sorted(api.last("GET", "/api/v1/interactions").query) == [
        ("limit", "20"),
        ("run_id", RUN_ID),
        ("status", "open"),
        ("workflow", "w"),
    ]


def test_a_question_is_shown_with_the_command_that_answers_it(terminal: Terminal, api: FakeApi) -> None:
    script_question(api)

    ended = terminal.run("approvals", "show", QUESTION_ID)

    assert "question  Publish it?" in ended.out
    assert "then      the run fails" in ended.out
    assert 'fits      {"type": "boolean"}' in ended.out
    assert ended.err == f"answer it: shadowgraph approvals answer {QUESTION_ID} --yes (or --no)\n"


def test_what_a_graph_tells_beside_its_question_is_shown(terminal: Terminal, api: FakeApi) -> None:
    asked = {"question": "Sent?", "tool": "send", "arguments": {"to": "ann"}, "schema": {}, "status": "not the row's"}
    script_question(api, question=asked, schema=DOUBT)

    ended = terminal.run("approvals", "show", QUESTION_ID)

    facts = dict(line.split(None, 1) for line in ended.out.splitlines())
    assert (facts["tool"], facts["arguments"], facts["status"]) == ("send", '{"to": "ann"}', "open")
    command = f"shadowgraph approvals answer {QUESTION_ID} --text repeat (or fail, or --value JSON)"
    assert ended.err == f"answer it: {command}\n"


@pytest.mark.parametrize(
    ("schema", "options", "value"),
    [
        (DOUBT, ("--text", "repeat"), "repeat"),
        (DOUBT, ("--value", '{"result": 3}'), {"result": 3}),
        ({"type": "boolean"}, ("--yes",), True),
        ({"type": "boolean"}, ("--no",), False),
        (None, ("--yes",), True),
        (OBJECT, ("--no",), {"ok": False}),
        ({"type": "string"}, ("--text", "true"), "true"),
        ({"type": "array"}, ("--value", "[1]"), [1]),
        (None, ("--value", "null"), None),
    ],
)
def test_an_answer_has_the_shape_that_the_question_wants(
    schema: Any, options: tuple[str, ...], value: Any, terminal: Terminal, api: FakeApi
) -> None:
    script_question(api, schema=schema)

    ended = terminal.run("approvals", "answer", QUESTION_ID, *options)

    assert (ended.code, ended.out) == (0, f"{RUN_ID}  QUEUED\n")
    assert sent_answer(api) == {"interaction_id": QUESTION_ID, "value": value}


@pytest.mark.parametrize(
    ("schema", "options"),
    [
        (None, ()),
        (None, ("--yes", "--no")),
        (None, ("--value", "yes")),
        ({"type": "string"}, ("--yes",)),
        ({**OBJECT, "required": ["ok", "why"]}, ("--no",)),
    ],
)
def test_an_answer_that_is_none_is_wrong_usage(
    schema: Any, options: tuple[str, ...], terminal: Terminal, api: FakeApi
) -> None:
    script_question(api, schema=schema)

    ended = terminal.run("approvals", "answer", QUESTION_ID, *options)

    assert (ended.code, ended.out) == (2, "")
    assert "POST" not in {seen.method for seen in api.seen}


def test_the_run_may_be_named_instead_of_its_only_question(terminal: Terminal, api: FakeApi) -> None:
    script_question(api)
    api.runs = {RUN_ID: make_run(status="AWAITING_HUMAN", interactions=[make_question()])}

    ended = terminal.run("approvals", "answer", RUN_ID, "--yes")

    assert ended.code == 0
    assert sent_answer(api)["interaction_id"] == QUESTION_ID


@pytest.mark.parametrize("asked", [[], [make_question(), make_question(id="int_b")]])
def test_a_run_that_does_not_ask_exactly_one_question_is_not_enough(
    asked: list[Any], terminal: Terminal, api: FakeApi
) -> None:
    api.runs = {RUN_ID: make_run(status="AWAITING_HUMAN", interactions=asked)}

    ended = terminal.run("approvals", "answer", RUN_ID, "--yes")

    assert ended.code == 2
    assert all(item["id"] in ended.err for item in asked)


@pytest.mark.parametrize(
    ("schema", "typed", "value"),
    [
        ({"type": "boolean"}, "y\n", True),
        ({"enum": ["red", "blue"]}, "7\n2\n", "blue"),
        ({"type": "integer"}, "many\n3\n", 3),
        (DOUBT, "again\nfail\n", "fail"),
        (DOUBT, '{"result": "sent"}\n', {"result": "sent"}),
        (
            {**OBJECT, "properties": {**OBJECT["properties"], "why": {"type": "string"}}},
            "n\ny\nno\n",
            {"ok": False, "why": "no"},
        ),
        (None, "just so\n", "just so"),
    ],
)
def test_on_a_terminal_the_answer_is_asked_for(
    schema: Any, typed: str, value: Any, terminal: Terminal, api: FakeApi
) -> None:
    script_question(api, schema=schema)

    code = on_a_terminal(terminal, api, "approvals", "answer", QUESTION_ID, typed=typed)

    assert code == 0
    assert sent_answer(api)["value"] == value


@pytest.mark.parametrize(
    ("run", "fix"),
    [
        ({"status": "PAUSED"}, f"shadowgraph runs resume {RUN_ID}"),
        (
            {"status": "AWAITING_HUMAN", "interactions": [make_question()]},
            f"shadowgraph approvals answer {QUESTION_ID} --yes (or --no)",
        ),
        (
            {"status": "AWAITING_HUMAN", "interactions": [make_question(schema={"type": "string"})]},
            f"shadowgraph approvals answer {QUESTION_ID} --value JSON",
        ),
    ],
)
def test_a_run_that_needs_a_person_says_what_to_do(
    run: dict[str, Any], fix: str, terminal: Terminal, api: FakeApi
) -> None:
    api.runs[RUN_ID] = make_run(result=None, **run)
    api.events = [make_event(1, "run.paused" if run["status"] == "PAUSED" else "run.awaiting_human")]

    ended = terminal.run("runs", "watch", RUN_ID)

    assert (ended.code, ended.out) == (13, "")
    assert ended.err.splitlines()[-1] == f"fix: {fix}"


def test_show_tells_what_a_run_asks(terminal: Terminal, api: FakeApi) -> None:
    asked = [make_question()]
    api.runs[RUN_ID] = make_run(status="AWAITING_HUMAN", result=None, interactions=asked, thread_id="talk")

    out = terminal.run("runs", "show", RUN_ID).out

    assert "thread    talk\n" in out
    assert out.endswith(f"\nPublish it?\nanswer it: shadowgraph approvals answer {QUESTION_ID} --yes (or --no)\n")


def test_run_sends_thread_and_time_limit(terminal: Terminal, api: FakeApi) -> None:
    terminal.run("run", "x", "--thread", "talk", "--enqueue", "--time-limit", "60", "--detach")

    assert api.last("POST", "/api/v1/runs").json == {
        "query": "x",
        "thread_id": "talk",
        "on_busy": "enqueue",
        "timeout_s": 60.0,
    }


THREAD = {
    "thread_id": "a/b",
    "workflow": "w",
    "run_count": 2,
    "created_at": CREATED_AT,
    "updated_at": CREATED_AT,
    "links": {},
}


def test_threads_are_listed(terminal: Terminal, api: FakeApi) -> None:
    script(api, "GET", "/threads", {"items": [THREAD], "next_cursor": None})

    head, line = terminal.run("threads", "list").out.splitlines()

    assert head.split() == ["thread", "workflow", "runs", "latest"]
    assert line.split()[:3] == ["a/b", "w", "2"]


def test_a_thread_is_shown_with_its_runs_and_its_state(terminal: Terminal, api: FakeApi) -> None:
    thread = {**THREAD, "runs": [make_run()], "state_run_id": RUN_ID, "state": STATE}
    script(api, "GET", "/threads/a/b", thread)

    plain = terminal.run("threads", "show", "a/b")
    as_json = terminal.run("threads", "show", "a/b", "--json")

    assert f"state of  {RUN_ID}" in plain.out
    assert json.loads(plain.out[plain.out.index("\n{") :]) == STATE
    assert json.loads(as_json.out) == thread
