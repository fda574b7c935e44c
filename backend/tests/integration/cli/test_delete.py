"""`runs delete` and `threads delete` over HTTP."""

import json
from typing import Any

import pytest

from tests.integration.cli.conftest import Terminal
from tests.support.fake_api import RUN_ID, FakeApi, problem

FORK_ID = "run_019a0000-0000-7000-8000-000000000001"
PLACES = [(("runs", "delete", RUN_ID), f"/runs/{RUN_ID}"), (("threads", "delete", "user 42"), "/threads/user 42")]


def script(api: FakeApi, path: str, answer: Any) -> None:
    api.scripted["DELETE", path] = answer


@pytest.mark.parametrize(("command", "path"), PLACES)
def test_what_is_gone_is_named(command: tuple[str, ...], path: str, terminal: Terminal, api: FakeApi) -> None:
    script(api, path, {"run_ids": [RUN_ID, FORK_ID], "scrubbed": True})

    plain = terminal.run(*command, "--yes", "--cascade")
    as_json = terminal.run(*command, "--yes", "--json")

    assert (plain.code, plain.out) == (0, f"{RUN_ID}  deleted\n{FORK_ID}  deleted\n")
    assert json.loads(as_json.out)["run_ids"] == [RUN_ID, FORK_ID]
    assert [seen.query for seen in api.seen if seen.method == "DELETE"] == [[("cascade", "1")], []]


@pytest.mark.parametrize(("command", "path"), PLACES)
def test_nothing_is_deleted_without_consent(
    command: tuple[str, ...], path: str, terminal: Terminal, api: FakeApi
) -> None:
    ended = terminal.run(*command)

    assert ended.code == 6
    assert "--yes" in ended.err
    assert [seen for seen in api.seen if seen.method == "DELETE"] == []


def test_a_refusal_is_exit_6_with_its_reason(terminal: Terminal, api: FakeApi) -> None:
    script(api, f"/runs/{RUN_ID}", problem(409, "has_forks", "forks began with its state", forks=[FORK_ID]))

    ended = terminal.run("runs", "delete", RUN_ID, "--yes", "--json")

    assert ended.code == 6
    assert json.loads(ended.err)["forks"] == [FORK_ID]
    assert ended.out == ""


def test_space_that_is_overwritten_later_is_said(terminal: Terminal, api: FakeApi) -> None:
    script(api, f"/runs/{RUN_ID}", {"run_ids": [RUN_ID], "scrubbed": False})

    assert "later" in terminal.run("runs", "delete", RUN_ID, "--yes").err
