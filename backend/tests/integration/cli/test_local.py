"""Commands that work on this machine: `config`, `doctor`, `migrate`, and what keeps a server from starting."""

import json
import os
import socket
from collections.abc import Iterator

import pytest
from filelock import FileLock

from shadowgraph.core.settings import Settings, variable_of
from shadowgraph.db.migrate import current_revision, newest_revision
from tests.integration.cli.conftest import Terminal
from tests.support.fake_api import PROVIDER_KEY, FakeApi

SECRET_VALUES = {
    "GROQ_API_KEY": "gsk_canary1234567890abcdef",
    "SECRET_KEY": "canary-canary-canary-canary-canary-canary",
    "DATABASE_URL": "postgresql://app:canary@127.0.0.1:1/none",
    "BROKER_URL": "amqp://app:canary@127.0.0.1:1/",
    "REDIS_URL": "redis://app:canary@127.0.0.1:1/0",
}


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRET_VALUES.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_config_show_tells_each_value_and_its_origin(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    (terminal.home / ".env").write_text("WORKER_SLOTS=4\n")
    monkeypatch.setenv("PORT", "9000")

    settings = json.loads(terminal.run("config", "show", "--json").out)["settings"]

    assert set(settings) == {variable_of(name) for name in Settings.model_fields if name != "home"}
    assert "SHADOWGRAPH_URL" in settings
    assert settings["PORT"] == {"value": 9000, "source": "env"}
    assert settings["WORKER_SLOTS"] == {"value": 4, "source": ".env"}
    assert settings["HOST"] == {"value": "127.0.0.1", "source": "default"}


def test_config_show_for_people_is_one_line_per_setting(terminal: Terminal) -> None:
    lines = terminal.run("config", "show", "--fields", "PORT,HOST").out.splitlines()

    assert [line.split() for line in lines] == [
        ["setting", "from", "value"],
        ["HOST", "default", "127.0.0.1"],
        ["PORT", "default", "8000"],
    ]


@pytest.mark.usefixtures("secrets")
@pytest.mark.parametrize(
    "command", [("config", "show"), ("config", "show", "--json"), ("doctor",), ("doctor", "--json")]
)
def test_no_secret_is_ever_shown(command: tuple[str, ...], terminal: Terminal) -> None:
    ended = terminal.run(*command)

    assert ended.out
    assert "canary" not in ended.out + ended.err


def test_doctor_is_well_on_an_empty_folder(terminal: Terminal) -> None:
    ended = terminal.run("doctor", "--json")

    report = json.loads(ended.out)
    assert (ended.code, report["ok"]) == (0, True)
    whats = " ".join(check["what"] for check in report["checks"])
    assert [
        word for word in ("Python", "storage", "clock", "port", "model", "database", "sandbox") if word not in whats
    ] == []
    assert not (terminal.home / "storage" / "shadowgraph.db").exists()


@pytest.mark.usefixtures("secrets")
def test_doctor_names_every_part_that_is_away_with_the_fix(terminal: Terminal) -> None:
    ended = terminal.run("doctor")

    failed = [line for line in ended.out.splitlines() if line.startswith("FAIL")]
    assert ended.code == 3
    assert [line.split()[1].rstrip(":") for line in failed] == ["redis", "database", "broker"]
    assert all(" -> " in line for line in failed)


def test_doctor_tells_a_folder_that_cannot_be_written(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    (terminal.home / "file").write_text("")
    monkeypatch.setenv("STORAGE_DIR", "file/storage")

    ended = terminal.run("doctor")

    assert ended.code == 3
    assert "FAIL  storage" in ended.out


def test_doctor_tells_a_port_that_was_asked_for_and_is_taken(
    terminal: Terminal, taken_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PORT", str(taken_port))

    ended = terminal.run("doctor")

    assert ended.code == 3
    assert f"FAIL  port {taken_port}: in use" in ended.out


def test_doctor_tells_a_setting_that_cannot_be_read(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEASE_SECONDS", "soon")

    ended = terminal.run("doctor", "--json")

    assert ended.code == 3
    assert "LEASE_SECONDS" in json.loads(ended.err)["detail"]


def test_doctor_on_postgresql_checks_schema_clock_and_presence(
    terminal: Terminal, direct_postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", direct_postgresql_url)

    ended = terminal.run("doctor")

    assert ended.code == 0
    lines = ended.out.splitlines()
    assert "ok    clock: agrees with the database's" in lines
    assert "ok    presence: a dead worker is noticed within a second" in lines


@pytest.mark.parametrize(
    ("goes_past", "line"),
    [
        (False, "WARN  presence: session locks do not work through this pooler"),
        (True, "ok    presence: a dead worker is noticed within a second"),
    ],
)
def test_doctor_says_what_a_pooler_costs_and_what_mends_it(
    terminal: Terminal,
    pooled_postgresql_url: str,
    direct_postgresql_url: str,
    monkeypatch: pytest.MonkeyPatch,
    goes_past: bool,
    line: str,
) -> None:
    monkeypatch.setenv("DATABASE_URL", pooled_postgresql_url)
    monkeypatch.setenv("LEASE_SECONDS", "20")
    if goes_past:
        monkeypatch.setenv("DATABASE_DIRECT_URL", direct_postgresql_url)

    ended = terminal.run("doctor")

    assert ended.code == 0
    assert line in ended.out
    assert ("after up to 22 s" in ended.out) is not goes_past
    assert ("-> set DATABASE_DIRECT_URL" in ended.out) is not goes_past


def test_doctor_on_an_empty_postgresql_says_to_migrate(
    terminal: Terminal, blank_postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", blank_postgresql_url)

    ended = terminal.run("doctor")

    assert ended.code == 3
    assert "this version needs" in ended.out
    assert "-> ./shadowgraph migrate" in ended.out


def test_doctor_asks_the_broker_and_redis(
    terminal: Terminal, postgresql_url: str, broker_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", postgresql_url)
    monkeypatch.setenv("BROKER_URL", broker_url)
    monkeypatch.setenv("REDIS_URL", redis_url)

    lines = terminal.run("doctor").out.splitlines()

    assert "ok    broker: answers" in lines
    assert "ok    redis: answers" in lines


@pytest.mark.parametrize(
    ("key", "code", "line"), [(PROVIDER_KEY, 0, "ok    model: the key works"), ("gsk_x", 3, "FAIL  model")]
)
def test_doctor_asks_the_provider_only_when_told_to(
    key: str, code: int, line: str, terminal: Terminal, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", key)
    monkeypatch.setenv("GROQ_BASE_URL", f"{api.url}/openai/v1")

    quiet = terminal.run("doctor")
    asked = terminal.run("doctor", "--live")

    assert (quiet.code, asked.code) == (0, code)
    assert line not in quiet.out
    assert line in asked.out


def test_migrate_brings_sqlite_to_the_newest_revision(terminal: Terminal) -> None:
    ended = terminal.run("migrate", "--json")

    url = f"sqlite:///{terminal.home}/storage/shadowgraph.db"
    assert json.loads(ended.out) == {"database": url, "revision": newest_revision()}
    assert current_revision(url) == newest_revision()


def test_migrate_refuses_while_somebody_works_on_the_database(terminal: Terminal) -> None:
    with FileLock(terminal.home / "storage" / "shadowgraph.db.lock"):
        ended = terminal.run("migrate")

    assert (ended.code, ended.out) == (3, "")
    assert "another process works on" in ended.err


def test_a_second_up_is_refused_in_one_line(terminal: Terminal) -> None:
    with FileLock(terminal.home / "storage" / "shadowgraph.db.lock"):
        ended = terminal.run("up", "--json")

    assert (ended.code, ended.out) == (3, "")
    assert json.loads(ended.err)["code"] == "storage_locked"


def test_a_second_up_names_the_server_that_runs(terminal: Terminal, api: FakeApi) -> None:
    (terminal.home / "storage" / "server.json").write_text(json.dumps({"url": api.url, "pid": os.getpid()}))

    ended = terminal.run("up", "-q")

    assert (ended.code, ended.out) == (3, "")
    assert api.url in ended.err
    assert (terminal.home / "storage" / "server.json").exists()


@pytest.mark.parametrize(
    ("arguments", "environment", "code"),
    [
        (("up", "--host", "0.0.0.0"), {}, "insecure_bind"),
        (("up", "--host", "0.0.0.0"), {"INSECURE_BIND": "1", "SECRET_KEY": "changeme"}, "unsafe_secret_key"),
        (("up",), {"BROKER_URL": "amqp://127.0.0.1"}, "incompatible_parts"),
        (("up",), {"DATABASE_URL": "mysql://h/n"}, "incompatible_parts"),
        (("api",), {}, "needs_postgresql"),
        (("worker",), {}, "needs_postgresql"),
        (("migrate",), {"DATABASE_URL": "mysql://h/n"}, "incompatible_parts"),
    ],
)
def test_what_keeps_a_server_from_starting_is_exit_3(
    arguments: tuple[str, ...],
    environment: dict[str, str],
    code: str,
    terminal: Terminal,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    ended = terminal.run(*arguments, "--json")

    assert (ended.code, ended.out) == (3, "")
    assert json.loads(ended.err)["code"] == code
    assert not (terminal.home / "storage" / "server.json").exists()


def test_a_port_that_was_asked_for_and_is_taken_is_exit_3(terminal: Terminal, taken_port: int) -> None:
    ended = terminal.run("up", "--port", str(taken_port), "--json")

    assert (ended.code, json.loads(ended.err)["code"]) == (3, "port_taken")


def test_demo_with_the_real_model_needs_a_key(terminal: Terminal) -> None:
    ended = terminal.run("demo", "--live", "--json")

    assert (ended.code, json.loads(ended.err)["code"]) == (3, "key_missing")


def test_demo_refuses_a_server_that_would_spend_money(terminal: Terminal, api: FakeApi) -> None:
    content = {"url": api.url, "pid": os.getpid(), "model": "groq:openai/gpt-oss-120b"}
    (terminal.home / "storage" / "server.json").write_text(json.dumps(content))

    ended = terminal.run("demo")

    assert (ended.code, ended.out) == (3, "")
    assert "which costs money" in ended.err
    assert api.seen == []


def test_demo_with_the_real_model_refuses_a_server_without_a_key(
    terminal: Terminal, api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GROQ_API_KEY", "gsk_x")
    (terminal.home / "storage" / "server.json").write_text(json.dumps({"url": api.url, "pid": os.getpid()}))

    assert terminal.run("demo", "--live").code == 3
    assert api.seen == []
