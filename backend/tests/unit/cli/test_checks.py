"""What `doctor` makes of what it finds."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from shadowgraph.cli.checks import (
    Check,
    check_broker_url,
    check_clock,
    check_key,
    check_other_providers,
    check_python,
    check_settings,
    judge_disk,
)
from shadowgraph.cli.parts import judge_revision
from shadowgraph.cli.provider import judge_models
from shadowgraph.core.clock import ManualClock
from shadowgraph.core.settings import load_settings

KEY = "gsk_" + "a" * 40


def settings(**environment: str) -> Any:
    return load_settings(environment, home=Path("/nowhere")).settings


def test_a_line_says_level_what_and_how_to_mend_it() -> None:
    assert Check("ok", "Python 3.11.7").line == "ok    Python 3.11.7"
    assert Check("FAIL", "port 8000: in use", "set PORT").line == "FAIL  port 8000: in use -> set PORT"


def test_an_old_python_fails() -> None:
    assert check_python((3, 10, 4)).level == "FAIL"
    assert check_python((3, 11, 0)).level == "ok"


@pytest.mark.parametrize(("free", "level"), [(5e10, "ok"), (5e8, "WARN"), (5e6, "FAIL")])
def test_a_full_disk_is_told_before_it_is_full(free: float, level: str) -> None:
    assert judge_disk(Path("storage"), int(free)).level == level


def test_parts_that_do_not_fit_fail_with_the_fix() -> None:
    loaded = load_settings({"BROKER_URL": "amqp://h"}, home=Path("/nowhere"))

    [check] = check_settings(loaded)

    assert check.level == "FAIL"
    assert "DATABASE_URL" in check.fix


def test_odd_settings_warn() -> None:
    loaded = load_settings({"SHADOWGRAPH_PROT": "1"}, home=Path("/nowhere"))

    assert [check.level for check in check_settings(loaded)] == ["WARN"]


def test_no_key_is_well_because_the_offline_model_serves() -> None:
    assert check_key(settings()).level == "ok"


def test_a_key_of_another_provider_fails_without_being_shown() -> None:
    check = check_key(settings(GROQ_API_KEY="sk-canary-of-somebody-else"))

    assert check.level == "FAIL"
    assert "canary" not in check.line


def test_any_key_will_do_for_a_server_of_ones_own() -> None:
    assert check_key(settings(GROQ_API_KEY="any", GROQ_BASE_URL="http://127.0.0.1:8010")).level == "ok"
    assert check_key(settings(GROQ_API_KEY=KEY)).level == "ok"


@pytest.mark.parametrize(
    ("answer", "level"),
    [
        (httpx.Response(401), "FAIL"),
        (httpx.Response(500), "WARN"),
        (httpx.Response(200, json={"data": [{"id": "other"}]}), "WARN"),
        (httpx.Response(200, text="<html>"), "WARN"),
        (httpx.Response(200, json=["m"]), "WARN"),
        (httpx.Response(200, json={"data": [{"id": "m"}]}), "ok"),
    ],
)
def test_the_providers_answer_tells_whether_the_key_works(answer: httpx.Response, level: str) -> None:
    assert judge_models(answer, model="m").level == level


def test_a_clock_that_stands_before_our_own_files_warns() -> None:
    clock = ManualClock()
    built = clock.now() + timedelta(days=1)

    assert check_clock(clock, built=built).level == "WARN"
    clock.advance(2 * 86_400)
    assert check_clock(clock, built=built).level == "ok"


def test_the_brokers_well_known_user_warns_on_another_machine_only() -> None:
    assert check_broker_url("amqp://guest:guest@127.0.0.1/") is None
    assert check_broker_url("amqp://app:x@mq.example.test/") is None
    assert check_broker_url("amqp://guest:guest@mq.example.test/").level == "WARN"  # type: ignore[union-attr]
    assert check_broker_url("amqp://mq.example.test/") is not None


@pytest.mark.parametrize(
    ("found", "embedded", "level"),
    [
        ("0002", False, "ok"),
        ("0003", False, "ok"),
        ("0001", False, "FAIL"),
        (None, False, "FAIL"),
        ("0001", True, "ok"),
    ],
)
def test_an_older_schema_fails_where_nobody_brings_it_up(found: str | None, embedded: bool, level: str) -> None:
    check = judge_revision("database", found=found, needed="0002", is_embedded=embedded)

    assert check.level == level
    assert (check.fix == "./shadowgraph migrate") == (level == "FAIL")


def test_other_providers_are_checked_where_they_have_a_key() -> None:
    found = list(check_other_providers(settings(OPENAI_API_BASE="http://127.0.0.1:11434/v1", GROQ_API_KEY=KEY)))

    assert [(check.level, "openai_compatible" in check.what) for check in found] == [("ok", True)]
    assert list(check_other_providers(settings())) == []
