"""`shadowgraph gc`, through the server on the storage folder or by itself."""

import json
import os
from contextlib import ExitStack
from datetime import timedelta

import pytest
from filelock import FileLock
from sqlalchemy import func, insert, select

from shadowgraph.cli.server import Server, announced
from shadowgraph.core.settings import load_settings
from shadowgraph.db.engine import build_sync_engine
from shadowgraph.models.idempotency_keys import idempotency_keys
from shadowgraph.wiring.migrate import migrate_all
from tests.integration.cli.conftest import Terminal
from tests.support.fake_api import FakeApi
from tests.support.runs import CLOCK


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> str:
    """The database that the command finds, with a key in it that is two days old."""
    if request.param == "sqlite":
        url = f"sqlite:///{terminal.home / 'storage' / 'shadowgraph.db'}"
        migrate_all(url)
    else:
        url = str(request.getfixturevalue("postgresql_url"))
        monkeypatch.setenv("DATABASE_URL", url)
    old = CLOCK.now() - timedelta(days=2)
    row = {"scope": "local", "key": "k", "request_hash": "", "response": {"run_id": "run_x"}, "created_at": old}
    engine = build_sync_engine(url)
    with engine.begin() as connection:
        connection.execute(insert(idempotency_keys).values(row))
    engine.dispose()
    return url


def count_keys(url: str) -> int:
    engine = build_sync_engine(url)
    with engine.begin() as connection:
        found = connection.scalar(select(func.count()).select_from(idempotency_keys)) or 0
    engine.dispose()
    return found


def rows_of(text: str) -> dict[str, int]:
    return {item["kind"]: item["rows"] for item in json.loads(text)["removed"] if item["rows"]}


def test_what_goes_is_shown_before_and_after(terminal: Terminal, url: str) -> None:
    foreseen = terminal.run("gc", "--preview")
    kept = count_keys(url)
    done = terminal.run("gc")
    again = terminal.run("gc")

    assert [(ended.code, kept) for ended in (foreseen, done, again)] == [(0, 1)] * 3
    assert foreseen.out == done.out
    assert [line.split() for line in done.out.splitlines()] == [["what", "rows", "size"], ["idempotency", "keys", "1"]]
    assert "nothing was changed" in foreseen.err
    assert (again.out, "nothing is past its age" in again.err) == ("", True)
    assert count_keys(url) == 0


def test_as_json_it_is_one_object(terminal: Terminal, url: str) -> None:
    foreseen = terminal.run("gc", "--preview", "--json")
    done = terminal.run("gc", "--json")

    assert rows_of(foreseen.out) == rows_of(done.out) == {"idempotency keys": 1}
    assert [json.loads(ended.out)["preview"] for ended in (foreseen, done)] == [True, False]
    assert count_keys(url) == 0


def test_the_server_on_the_folder_does_it(terminal: Terminal, api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    """It holds the database. `SHADOWGRAPH_URL` names a server whose database may be another one."""
    monkeypatch.delenv("SHADOWGRAPH_URL")
    answer = {"preview": True, "removed": [{"kind": "checkpoints", "rows": 1200, "bytes": 5_000_000}]}
    api.scripted["POST", "/gc"] = answer
    with ExitStack() as stack:
        stack.enter_context(announced(load_settings(home=terminal.home).settings, Server(api.url, os.getpid())))
        shown = terminal.run("gc", "--preview")
        as_json = terminal.run("gc", "--json")

    assert shown.out.split() == ["what", "rows", "size", "checkpoints", "1,200", "5.0", "MB"]
    assert json.loads(as_json.out) == answer
    assert [seen.query for seen in api.seen if seen.path.endswith("/gc")] == [[("preview", "true")], []]


def test_a_database_in_use_without_a_server_to_ask_is_left_alone(terminal: Terminal) -> None:
    migrate_all(f"sqlite:///{terminal.home / 'storage' / 'shadowgraph.db'}")
    with FileLock(terminal.home / "storage" / "shadowgraph.db.lock"):
        ended = terminal.run("gc", "--json")

    assert (ended.code, json.loads(ended.err)["code"]) == (3, "storage_locked")


def test_an_empty_folder_stays_empty(terminal: Terminal) -> None:
    ended = terminal.run("gc")

    assert ended.code == 0
    assert "nothing is past its age" in ended.err
    assert list((terminal.home / "storage").iterdir()) == []


def test_an_older_schema_is_refused(
    terminal: Terminal, blank_postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", blank_postgresql_url)

    ended = terminal.run("gc", "--json")

    assert (ended.code, json.loads(ended.err)["code"]) == (3, "schema_outdated")
