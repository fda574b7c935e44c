"""`shadowgraph runs …` and `request` over HTTP."""

import json
import os
from pathlib import Path

import pytest
from starlette.responses import Response

from tests.integration.cli.conftest import Terminal
from tests.support.fake_api import RUN_ID, FakeApi, describe_artifact, make_run, problem


def test_list_shows_one_line_per_run(terminal: Terminal, api: FakeApi) -> None:
    api.runs = {"run_a": make_run("run_a"), "run_b": make_run("run_b", status="FAILED")}

    ended = terminal.run("runs", "list")

    head, *lines = ended.out.splitlines()
    assert head.split() == ["id", "status", "workflow", "version", "created", "seconds", "request"]
    assert [line.split()[:2] for line in lines] == [["run_a", "COMPLETED"], ["run_b", "FAILED"]]
    assert (ended.code, ended.err) == (0, "")


def test_list_sends_its_filters(terminal: Terminal, api: FakeApi) -> None:
    terminal.run(
        *("runs", "list", "--status", "FAILED", "--status", "CANCELLED", "--workflow", "w", "--search", "snake"),
        *("--since", "2026-01-01T00:00:00Z", "--limit", "7", "--cursor", "1"),
    )

    assert sorted(api.last("GET", "/api/v1/runs").query) == [
        ("cursor", "1"),
        ("limit", "7"),
        ("q", "snake"),
        ("since", "2026-01-01T00:00:00+00:00"),
        ("status", "CANCELLED"),
        ("status", "FAILED"),
        ("workflow", "w"),
    ]


def test_list_as_json_is_the_apis_page(terminal: Terminal, api: FakeApi) -> None:
    api.runs = {f"run_{n}": make_run(f"run_{n}") for n in range(3)}
    api.page_size = 2

    ended = terminal.run("runs", "list", "--json", "--fields", "id,status")

    assert json.loads(ended.out) == {
        "items": [{"id": "run_0", "status": "COMPLETED"}, {"id": "run_1", "status": "COMPLETED"}],
        "next_cursor": "2",
    }
    assert ended.err == ""


def test_list_says_how_to_see_more(terminal: Terminal, api: FakeApi) -> None:
    api.runs = {f"run_{n}": make_run(f"run_{n}") for n in range(3)}
    api.page_size = 2

    assert terminal.run("runs", "list").err == "more: --cursor 2\n"
    assert terminal.run("runs", "list", "-q").err == ""


def test_list_as_lines_is_one_object_per_line(terminal: Terminal, api: FakeApi) -> None:
    api.runs = {"run_a": make_run("run_a"), "run_b": make_run("run_b")}

    ended = terminal.run("runs", "list", "--jsonl", "--fields", "id")

    assert [json.loads(line) for line in ended.out.splitlines()] == [{"id": "run_a"}, {"id": "run_b"}]


def test_fields_alone_are_values_for_scripts(terminal: Terminal, api: FakeApi) -> None:
    api.runs = {"run_a": make_run("run_a", preview="two\nlines")}

    assert terminal.run("runs", "list", "--fields", "id,reason,preview").out == "run_a\t\ttwo\\x0alines\n"


def test_text_of_a_request_cannot_steer_the_terminal(terminal: Terminal, api: FakeApi) -> None:
    api.runs = {"run_a": make_run("run_a", preview="\x1b[2Jgone\nrun_b COMPLETED")}

    ended = terminal.run("runs", "list")

    assert len(ended.out.splitlines()) == 2
    assert "\x1b" not in ended.out


def test_show_tells_facts_steps_and_result(terminal: Terminal, api: FakeApi) -> None:
    api.runs = {RUN_ID: make_run()}
    step = {"node": "planner", "status": "finished", "attempt": 2, "started_at": None, "finished_at": None}
    api.steps = [{**step, "summary": "plan: 3 items"}]

    out = terminal.run("runs", "show", RUN_ID).out

    assert "status    COMPLETED" in out
    assert "planner" in out
    assert out.endswith("A snake game in one file.\n")


def test_show_tells_why_a_run_failed(terminal: Terminal, api: FakeApi) -> None:
    error = {"code": "provider_down", "detail": "Groq is away", "step": "coder", "retryable": True}
    api.runs = {RUN_ID: make_run(status="FAILED", result=None, error=error)}

    ended = terminal.run("runs", "show", RUN_ID)

    assert ended.out.endswith("the run FAILED in coder: Groq is away\n")
    assert ended.code == 0


def test_show_as_json_is_the_run_with_its_steps(terminal: Terminal, api: FakeApi) -> None:
    api.runs = {RUN_ID: make_run()}

    shown = json.loads(terminal.run("runs", "show", RUN_ID, "--json").out)

    assert shown == {**make_run(), "steps": []}
    assert json.loads(terminal.run("runs", "show", RUN_ID, "--json", "--fields", "status").out) == {
        "status": "COMPLETED"
    }


def test_an_unknown_run_is_exit_5_with_the_servers_problem(terminal: Terminal, api: FakeApi) -> None:
    plain = terminal.run("runs", "show", "run_x")
    as_json = terminal.run("runs", "show", "run_x", "--json")

    assert (plain.code, plain.out) == (5, "")
    assert plain.err == "error: there is nothing at /api/v1/runs/run_x\nrequest id: req_1\n"
    assert (as_json.code, as_json.out) == (5, "")
    assert json.loads(as_json.err)["code"] == "run_not_found"


def test_an_id_cannot_lead_to_another_route(terminal: Terminal, api: FakeApi) -> None:
    ended = terminal.run("runs", "export", f"x/../{RUN_ID}")

    assert ended.code == 5


def test_cancel_tells_the_state(terminal: Terminal, api: FakeApi) -> None:
    api.runs = {RUN_ID: make_run(status="RUNNING")}
    api.ends_on_cancel = False

    assert terminal.run("runs", "cancel", RUN_ID).out == f"{RUN_ID}  RUNNING, cancelling\n"


def test_cancelling_an_ended_run_is_exit_6(terminal: Terminal, api: FakeApi) -> None:
    api.runs = {RUN_ID: make_run()}

    assert terminal.run("runs", "cancel", RUN_ID).code == 6


@pytest.mark.parametrize(
    ("status", "code"),
    [(401, 4), (403, 4), (404, 5), (409, 6), (400, 2), (413, 2), (422, 2), (429, 3), (503, 3), (500, 1)],
)
def test_a_refusal_ends_with_the_code_of_its_status(status: int, code: int, terminal: Terminal, api: FakeApi) -> None:
    api.answer_all_with = problem(status, "some_code", "some detail", hint="do this")

    ended = terminal.run("runs", "list", "--json")

    assert (ended.code, ended.out) == (code, "")
    assert json.loads(ended.err)["hint"] == "do this"


def test_an_answer_of_something_in_between_is_told_as_it_is(terminal: Terminal, api: FakeApi) -> None:
    api.answer_all_with = Response("<html>bad gateway</html>", status_code=502)

    ended = terminal.run("runs", "list")

    assert ended.code == 3
    assert ended.err.startswith("error: HTTP 502 Bad Gateway from http://127.0.0.1")


def test_no_server_is_exit_3_with_the_command_that_starts_one(terminal: Terminal) -> None:
    ended = terminal.run("runs", "list")

    assert (ended.code, ended.out) == (3, "")
    assert ended.err.splitlines()[1] == "fix: start one: ./shadowgraph up"


def test_a_named_server_that_does_not_answer_is_exit_3(terminal: Terminal) -> None:
    ended = terminal.run("runs", "list", "--url", "http://127.0.0.1:1", "--json")

    assert ended.code == 3
    assert json.loads(ended.err)["code"] == "server_unreachable"


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "http://", "://", "http://[::1"])
def test_an_address_that_is_none_is_wrong_usage(url: str, terminal: Terminal) -> None:
    assert terminal.run("runs", "list", "--url", url).code == 2


def write_server_file(home: Path, url: str, pid: int) -> None:
    (home / "storage" / "server.json").write_text(json.dumps({"url": url, "pid": pid, "model": "offline"}))


def test_the_server_that_up_started_is_found(terminal: Terminal, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHADOWGRAPH_URL")
    write_server_file(terminal.home, api.url, os.getpid())

    assert terminal.run("runs", "list").code == 0


def test_the_file_of_a_server_that_was_killed_is_not_believed(
    terminal: Terminal, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SHADOWGRAPH_URL")
    write_server_file(terminal.home, api.url, 2**22 + 1)  # above the highest process id

    assert terminal.run("runs", "list").code == 3


def test_the_file_of_a_process_that_does_not_answer_is_not_believed(terminal: Terminal) -> None:
    write_server_file(terminal.home, "http://127.0.0.1:1", os.getpid())

    assert terminal.run("runs", "list").code == 3


@pytest.mark.parametrize("content", ["", "[]", '{"url": 1}', '{"pid": "x", "url": "y"}', "{"])
def test_a_damaged_server_file_counts_as_none(content: str, terminal: Terminal) -> None:
    (terminal.home / "storage" / "server.json").write_text(content)

    assert terminal.run("runs", "list").code == 3


def test_files_lists_all_pages(terminal: Terminal, api: FakeApi) -> None:
    api.runs = {RUN_ID: make_run()}
    api.artifacts = {"a.py": b"1", "b/c.py": b"22"}
    api.page_size = 1

    ended = terminal.run("runs", "files", RUN_ID, "--fields", "path,size")

    assert ended.out == "a.py\t1\nb/c.py\t2\n"


def test_download_writes_all_files_into_a_folder_named_like_the_run(terminal: Terminal, api: FakeApi) -> None:
    api.runs = {RUN_ID: make_run()}
    api.artifacts = {"snake.py": b"print()\n", "tests/test snake.py": b"\x00\xff"}

    ended = terminal.run("runs", "download", RUN_ID)

    assert ended.code == 0
    assert (terminal.home / RUN_ID / "snake.py").read_bytes() == b"print()\n"
    assert (terminal.home / RUN_ID / "tests" / "test snake.py").read_bytes() == b"\x00\xff"


def test_download_of_one_file_takes_only_that(terminal: Terminal, api: FakeApi) -> None:
    api.runs = {RUN_ID: make_run()}
    api.artifacts = {"a.py": b"1", "b.py": b"2"}

    terminal.run("runs", "download", RUN_ID, "b.py", "--out", "there")

    assert [path.name for path in (terminal.home / "there").iterdir()] == ["b.py"]
    assert terminal.run("runs", "download", RUN_ID, "c.py").code == 5


def test_download_replaces_nothing_without_consent(terminal: Terminal, api: FakeApi) -> None:
    api.runs = {RUN_ID: make_run()}
    api.artifacts = {"a.py": b"new", "b.py": b"same"}
    (terminal.home / "a.py").write_bytes(b"mine")
    (terminal.home / "b.py").write_bytes(b"same")

    refused = terminal.run("runs", "download", RUN_ID, "--out", ".")
    after_refusal = (terminal.home / "a.py").read_bytes()
    agreed = terminal.run("runs", "download", RUN_ID, "--out", ".", "--yes")

    assert (refused.code, after_refusal) == (6, b"mine")
    assert "a.py in . would be replaced" in refused.err
    assert "--yes" in refused.err
    assert (agreed.code, (terminal.home / "a.py").read_bytes()) == (0, b"new")


def test_a_damaged_file_is_refused(terminal: Terminal, api: FakeApi) -> None:
    api.runs = {RUN_ID: make_run()}
    api.artifacts = {"a.py": b"tampered"}
    api.listed_artifacts = [describe_artifact("a.py", b"original")]

    ended = terminal.run("runs", "download", RUN_ID)

    assert ended.code == 1
    assert not (terminal.home / RUN_ID).exists()


@pytest.mark.parametrize("path", ["../evil.py", "/etc/evil", "a/../../evil", ".bashrc", "a\x00b"])
def test_a_name_that_leads_outside_is_refused(path: str, terminal: Terminal, api: FakeApi) -> None:
    api.runs = {RUN_ID: make_run()}
    api.listed_artifacts = [describe_artifact(path, b"x")]
    api.artifacts = {path: b"x"}

    ended = terminal.run("runs", "download", RUN_ID, "--out", "folder")

    assert ended.code != 0
    assert not list(terminal.home.rglob("evil*"))
    assert not list(terminal.home.rglob(".bashrc"))


def test_export_prints_the_document_as_it_came(terminal: Terminal, api: FakeApi) -> None:
    assert terminal.run("runs", "export", RUN_ID, "--format", "md").out == "# Snake\r\n"


def test_export_into_a_file_replaces_nothing_without_consent(terminal: Terminal, api: FakeApi) -> None:
    first = terminal.run("runs", "export", RUN_ID, "--out", "run.json")
    second = terminal.run("runs", "export", RUN_ID, "--out", "run.json")

    assert (first.code, first.out) == (0, "")
    assert (terminal.home / "run.json").read_bytes() == b'{"format": "x"}'
    assert second.code == 6


def test_request_sends_the_body_and_prints_the_answer(terminal: Terminal, api: FakeApi) -> None:
    ended = terminal.run("request", "post", "/runs", "--data", '{"query": "x"}')

    assert api.last("POST", "/runs").json == {"query": "x"}
    assert json.loads(ended.out)["id"] == RUN_ID


def test_request_reads_the_body_from_a_file(terminal: Terminal, api: FakeApi) -> None:
    (terminal.home / "body.json").write_text('{"query": "from a file"}')

    terminal.run("request", "POST", "/runs", "--data", "@body.json")

    assert api.last("POST", "/runs").json == {"query": "from a file"}


def test_request_ends_with_the_code_of_a_refusal(terminal: Terminal, api: FakeApi) -> None:
    ended = terminal.run("request", "GET", "/runs/run_x")

    assert (ended.code, ended.out) == (5, "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("BREW", "/runs"),
        ("GET", "runs"),
        ("GET", "http://evil.test/runs"),
        ("GET", "//evil.test/runs"),
        ("POST", "/runs", "--data", "{"),
        ("POST", "/runs", "--data", "@absent.json"),
    ],
)
def test_a_request_that_is_none_is_wrong_usage(arguments: tuple[str, ...], terminal: Terminal, api: FakeApi) -> None:
    assert terminal.run("request", *arguments).code == 2
    assert api.seen == []


def test_a_proxy_of_the_environment_is_not_asked_for_this_machine(
    terminal: Terminal, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")

    assert terminal.run("runs", "list").code == 0
