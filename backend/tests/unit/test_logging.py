"""One record is one line, whatever is in it, and no secret is."""

import json
import logging
import subprocess
import sys

import pytest

from shadowgraph.core.logging import JsonFormatter, PlainFormatter, prefixed

CANARY = "gsk_canary1234567890abcdef"


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("shadowgraph.runs.relay", logging.WARNING, "relay.py", 1, message, args, None)
    vars(made).update(extra)
    return made


def record_of_error(error: Exception) -> logging.LogRecord:
    try:
        raise error
    except type(error):
        return logging.LogRecord("shadowgraph.x", logging.ERROR, "x.py", 1, "failed", (), sys.exc_info())


def test_json_has_time_level_logger_message_and_the_facts() -> None:
    line = json.loads(JsonFormatter().format(record("lost %s", "lease", run_id="run_1", n=3)))

    assert line.pop("at").endswith("+00:00")
    assert line == {
        "level": "WARNING",
        "logger": "shadowgraph.runs.relay",
        "message": "lost lease",
        "run_id": "run_1",
        "n": 3,
    }


def test_facts_cannot_replace_what_the_record_says_itself() -> None:
    line = json.loads(JsonFormatter().format(record("true", level="INFO", at="never", logger="other")))

    assert (line["level"], line["logger"], line["message"]) == ("WARNING", "shadowgraph.runs.relay", "true")


@pytest.mark.parametrize("formatter", [JsonFormatter(), PlainFormatter()])
def test_an_injected_line_stays_in_its_line(formatter: logging.Formatter) -> None:
    hostile = "ok\n12:00:00 ERROR relay: forged\r\x1b[2J\u2028end"

    line = formatter.format(record("name %s", hostile, path=hostile))

    assert len(line.splitlines()) == 1
    assert "\x1b" not in line


@pytest.mark.parametrize("formatter", [JsonFormatter(), PlainFormatter()])
def test_secrets_are_masked_in_messages_facts_and_tracebacks(formatter: logging.Formatter) -> None:
    pem = f"-----BEGIN PRIVATE KEY-----\n{CANARY}\n-----END PRIVATE KEY-----"

    lines = [
        formatter.format(record("calling with %s", CANARY)),
        formatter.format(record("calling", dsn=f"amqp://u:{CANARY}@h", password=f"plain {CANARY}")),
        formatter.format(record_of_error(ValueError(f"Bearer {CANARY}"))),
        formatter.format(record_of_error(ValueError(pem))),
    ]

    assert not [line for line in lines if "canary" in line]


def test_the_value_of_a_secret_name_is_masked_by_its_name() -> None:
    line = json.loads(JsonFormatter().format(record("x", password="plainword")))

    assert line["password"] == "***"


def test_lines_of_a_plain_traceback_cannot_pass_for_records() -> None:
    first, *rest = PlainFormatter().format(record_of_error(ValueError("a\n12:00:00 ERROR x: forged"))).splitlines()

    assert "ERROR x: failed" in first
    assert rest
    assert all(line.startswith("  | ") for line in rest)


def test_a_huge_message_is_cut() -> None:
    line = json.loads(JsonFormatter().format(record("x" * 1_000_000)))

    assert len(line["message"]) < 9_000
    assert line["message"].endswith("(1000000 characters)")


def test_uncaught_errors_of_the_process_and_its_threads_are_masked() -> None:
    program = f"""
import threading
from shadowgraph.core.logging import configure_logging
configure_logging("INFO")
def fail(): raise ValueError("{CANARY}")
thread = threading.Thread(target=fail); thread.start(); thread.join()
fail()
"""

    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)

    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [line["message"] for line in lines] == ["uncaught ValueError in a thread", "uncaught ValueError"]
    assert "canary" not in ended.stderr
    assert ended.returncode == 1


def test_a_line_of_another_process_is_marked_and_a_record_stays_one() -> None:
    record = '{"at": "2026-01-01T00:00:00Z", "message": "hello"}'

    assert json.loads(prefixed(record, 'my "project"')) == {**json.loads(record), "project": 'my "project"'}
    assert prefixed("plain \x1b[31mred", "mine") == "[mine] plain \\x1b[31mred"
